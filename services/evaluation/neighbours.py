"""The exactly nearest chunks of each question, and how many of them a search has found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SAME = 0.01
"""Recalls that differ by less are called equal: of a hundred questions with ten chunks each, ten chunks."""


class Neighbours:
    """The `k` nearest of all chunks that were added; keeps these and no vectors."""

    def __init__(self, questions: Sequence[Sequence[float]], k: int) -> None:
        import numpy as np

        self._questions = np.asarray(questions, dtype=np.float32)
        self._cosines: Any = np.empty((len(questions), 0), dtype=np.float32)
        self._numbers: Any = np.empty((len(questions), 0), dtype=np.int64)
        self._rows = 0
        self._k = k

    def add(self, vectors: Sequence[Sequence[float]]) -> None:
        """The next chunks, in their order; vectors of length 1."""
        import numpy as np

        new = self._questions @ np.asarray(vectors, dtype=np.float32).T
        numbers = np.broadcast_to(np.arange(self._rows, self._rows + len(vectors)), new.shape)
        cosines = np.concatenate((self._cosines, new), axis=1)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : self._k]
        self._numbers = np.take_along_axis(np.concatenate((self._numbers, numbers), axis=1), best, axis=1)
        self._cosines = np.take_along_axis(cosines, best, axis=1)
        self._rows += len(vectors)

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Of all questions' nearest chunks, the share that is in `found`, which has an entry for each question."""
        held = [len(set(exact) & set(got)) for exact, got in zip(self._numbers.tolist(), found, strict=True)]
        return sum(held) / max(1, int(self._numbers.size))


def unequal(recalls: dict[str, float]) -> str:
    """Says whose recall is not the best one's; empty where all are equal, so that their times compare the same work."""
    best = max(recalls.values(), default=0.0)
    less = [f"{name} {recall:.3f}" for name, recall in recalls.items() if best - recall >= SAME]
    return f"not equal: {', '.join(less)}; the best is {best:.3f}" if less else ""
