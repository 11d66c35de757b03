"""Many chunks out of few: windows of real passages, their vectors moved a little. Pure.

Random vectors would not do: in them nothing is near anything, and an index of signs finds half of what it finds among
real ones (reference/services.md 4.1).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

MOVED = 0.45
"""Length of the random part that is added to a vector of length 1: a copy keeps a cosine of about 0.91 to its original,
as neighbouring chunks of one page have."""

WINDOW = 600


def drawn(texts: Sequence[str], vectors: Any, count: int, *, seed: int) -> Iterator[tuple[str, list[float]]]:
    """`count` chunks: a text of at most `WINDOW` characters and its vector, of length 1; the same for a `seed`."""
    import numpy as np

    draw, noise = random.Random(seed), np.random.default_rng(seed)
    scale = MOVED / math.sqrt(vectors.shape[1])
    for _ in range(count):
        n = draw.randrange(len(texts))
        start = draw.randrange(max(1, len(texts[n]) - WINDOW))
        moved = vectors[n] + noise.normal(scale=scale, size=vectors.shape[1])
        yield texts[n][start : start + WINDOW], (moved / np.linalg.norm(moved)).tolist()
