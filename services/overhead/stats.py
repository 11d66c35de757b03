"""Medians over rounds with bootstrap intervals. Pure and seeded.

A round is resampled whole (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8): what its subjects
share, the state of the machine in those seconds, stays paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES, LEVEL, SEED = 4000, 0.95, 1
FEWEST_ROUNDS = 5
"""Below this an interval would claim to know what it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A statistic and its two-sided 95 % percentile interval; the bounds are None below `FEWEST_ROUNDS` rounds.

    Infinite where a ratio's divisor is not above zero.
    """

    value: float
    low: float | None
    high: float | None


def estimate(statistic: Callable[..., Floats], *columns: Floats) -> Estimate:
    """`statistic` of `columns`, one number per round each, paired by position.

    It is given arrays of shape (resamples, rounds) and gives back one number per resample.
    """
    count = len(columns[0])
    value = float(statistic(*(c[None, :] for c in columns))[0])
    if count < FEWEST_ROUNDS:
        return Estimate(value=value, low=None, high=None)
    drawn = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    tail = (1 - LEVEL) / 2
    found = np.sort(statistic(*(c[drawn] for c in columns)))  # no interpolation: between two infinities there is none
    low, high = found[int(tail * RESAMPLES)], found[int((1 - tail) * RESAMPLES) - 1]
    return Estimate(value=value, low=float(low), high=float(high))


def median(a: Floats) -> Floats:
    return np.asarray(np.median(a, axis=-1), dtype=np.float64)


def ratio(a: Floats, b: Floats) -> Floats:
    """Median of the ratios a/b of each round."""
    return median(a / b)


def added(a: Floats, b: Floats) -> Floats:
    """Median of the differences a-b of each round."""
    return median(a - b)


def times_added(a: Floats, a_floor: Floats, b: Floats, b_floor: Floats) -> Floats:
    """How many times more `a` adds to its floor than `b` to its own: median(a-a_floor) / median(b-b_floor).

    Of medians: a single round's difference comes near zero where a median does not. Infinite where `b` adds nothing.
    """
    above, below = added(a, a_floor), added(b, b_floor)
    return np.divide(above, below, out=np.full_like(above, np.inf), where=below > 0)
