"""What a ranked list is worth where one passage is right, and how sure a mean or a difference of means is. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DRAWS, SEED = 4000, 1
SURE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over questions with the interval that holds 95 % of its resampled ones."""

    value: float
    low: float
    high: float


def rank_of(gold: int, ranked: Sequence[int]) -> int | None:
    """From 1; None where it was not found."""
    return next((place for place, key in enumerate(ranked, start=1) if key == gold), None)


def ndcg(rank: int | None, *, depth: int = 10) -> float:
    """nDCG at `depth` where exactly one passage is relevant (Jaervelin and Kekaelaeinen 2002)."""
    return 1 / math.log2(1 + rank) if rank is not None and rank <= depth else 0.0


def recall(rank: int | None, *, depth: int = 20) -> float:
    """1 where the relevant passage is among the first `depth`, else 0."""
    return float(rank is not None and rank <= depth)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean and its interval by bootstrap over questions. Given differences of pairs, it is the paired bootstrap.

    Raises `ValueError` for no values: no data is no figure.
    """
    import numpy as np

    if not values:
        raise ValueError("no values, so no estimate")
    drawn: Any = np.random.default_rng(SEED).integers(0, len(values), size=(DRAWS, len(values)))
    means = np.asarray(values)[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Estimate(value=float(np.mean(values)), low=float(low), high=float(high))


def separation(higher: Sequence[float], lower: Sequence[float]) -> float:
    """How often a value of `higher` is above one of `lower`, ties by half: the area under the ROC curve."""
    wins = sum((a > b) + 0.5 * (a == b) for a in higher for b in lower)
    return wins / (len(higher) * len(lower))
