"""Where more users bring an engine more waiting than work: the knee of its curve. Pure and seeded.

The knee is the number of users at which Kleinrock's power is greatest: throughput over mean response time (Kleinrock,
Power and deterministic rules of thumb for probabilistic problems in computer communications, ICC 1979). Kneedle
(Satopaa et al. 2011) was not taken: it measures each point against the line between the two ends, so that the knee
moves when somebody measures one level more, and with five noisy levels it follows the noise. Power needs no
neighbours, no smoothing and no sensitivity to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.migration import stats
from services.migration.stats import Counts, Floats
from services.migration.sweep_blocks import LEVEL, RESAMPLES, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """`users` is None where the measured range has no knee; `low` and `high` are the levels it could be as well."""

    users: int | None
    why: str
    low: int | None = None
    high: int | None = None


def knee(levels: Sequence[Series], *, seed: int) -> Knee:
    """The knee of one contender, its levels in rising order."""
    if len(levels) < 2:
        return Knee(users=None, why="one level has no knee; measure at least two")
    users = [level.users for level in levels]
    rounds = len(levels[0].spans)
    point = int(np.argmax([_power(level, np.ones((1, rounds), dtype=np.int32))[0] for level in levels]))
    if not any(sum(level.answered) for level in levels):
        return Knee(users=None, why="it answered nothing")
    low, high = _bounds(levels, users, seed) if rounds > 1 else (None, None)
    if point == len(users) - 1:
        why = f"not reached: at {users[point]} users, the most measured, it still gained more work than waiting"
        return Knee(users=None, why=why, low=low, high=high)
    if point == 0:
        why = f"at {users[0]}, the fewest measured, or below: more users only wait longer"
        return Knee(users=users[0], why=why, low=low, high=high)
    why = f"beyond {users[point]} users the waiting grows faster than the work done"
    return Knee(users=users[point], why=why, low=low, high=high)


def _bounds(levels: Sequence[Series], users: Sequence[int], seed: int) -> tuple[int, int]:
    """The levels that are the knee in all but the outer 5 % of the resamples on either side."""
    counts = stats.draw(len(levels[0].spans), resamples=RESAMPLES, seed=seed)
    places = np.argmax(np.stack([_power(level, counts) for level in levels]), axis=0)
    low, high = np.quantile(places, [1 - LEVEL, LEVEL], method="inverted_cdf")
    return users[int(low)], users[int(high)]


def _power(level: Series, counts: Counts) -> Floats:
    """Answers a second over mean seconds an answer, for every resample."""
    answered, spans = counts @ np.array(level.answered), counts @ np.array(level.spans)
    waited, requests = counts @ np.array([sum(r) for r in level.e2e]), counts @ np.array(level.requests)
    return np.asarray((answered / spans) / (waited / requests), dtype=np.float64)
