"""One effect, its interval, and its interval without any one round. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.migration import stats
from services.migration.stats import Counts, Floats, Interval
from services.migration.verdict import Direction, Kind, Metric, Result


class Bounded(Protocol):
    """An effect measured in numbered blocks, mostly rounds, with an interval that can do without any one of them."""

    @property
    def numbers(self) -> tuple[int, ...]: ...

    def bounds(self, level: float, *, without: int | None = None) -> Interval | None:
        """Both bounds, each one-sided at `level`; `without` the block at that index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """The ratio of each round, in the order of `numbers`; their centre is bounded by signed ranks."""

    numbers: tuple[int, ...]
    ratios: tuple[float, ...]

    def bounds(self, level: float, *, without: int | None = None) -> Interval | None:
        kept = [r for index, r in enumerate(self.ratios) if index != without]
        return stats.signed_rank_interval(kept, level=level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The resamples of an effect.

    `numbers` names the rounds (or other blocks) that were drawn, `counts` (resamples x blocks) how often each was in
    each resample, `samples` (resamples) the effect in each. `ratios`, where given, are the effect in each block alone:
    Student's interval of their logs is then taken too and the wider of both counts, because a bootstrap of few blocks
    is too narrow.
    """

    numbers: tuple[int, ...]
    counts: Counts
    samples: Floats
    ratios: tuple[float, ...] = ()

    def bounds(self, level: float, *, without: int | None = None) -> Interval | None:
        """Both bounds, each one-sided at `level`; `without` the block at that index.

        The resamples in which a block does not occur are resamples of the others, so leaving one out costs nothing:
        Efron, Jackknife-after-bootstrap standard errors and influence functions, JRSS B 54 (1992). About 0.36 of all
        resamples are left.
        """
        samples = self.samples if without is None else self.samples[self.counts[:, without] == 0]
        found = stats.percentile_interval(samples, level=level)
        kept = [r for index, r in enumerate(self.ratios) if index != without]
        student = stats.log_t_interval(kept, level=level)
        return found.wider(student) if found and student else found


def judged(bounds: Interval | None, kind: Kind, direction: Direction, margin: float) -> Result:
    """What an interval says about a margin: all of it inside, all of it outside, or neither."""
    if bounds is None:
        return Result.INCONCLUSIVE
    if kind is Kind.DIFFERENCE:  # of something where more is better: may lose at most `margin`
        inside, outside = bounds.low >= -margin, bounds.high < -margin
    elif direction is Direction.LOWER:
        inside, outside = bounds.high <= margin, bounds.low > margin
    else:
        inside, outside = bounds.low >= margin, bounds.high < margin
    return Result.PASS if inside else Result.FAIL if outside else Result.INCONCLUSIVE


def steady(metric: Metric, found: Bounded) -> Metric:
    """Leave one round out: a result that hangs on a single round is none."""
    if metric.result not in (Result.PASS, Result.FAIL):
        return metric
    hanging = [
        number
        for index, number in enumerate(found.numbers)
        if judged(found.bounds(metric.level, without=index), metric.kind, metric.direction, metric.margin)
        is not metric.result
    ]
    return hangs_on(metric, hanging)


def hangs_on(metric: Metric, rounds: Sequence[int]) -> Metric:
    """The metric, undecided where its result hangs on one of `rounds`."""
    if not rounds:
        return metric
    said = ", ".join(map(str, rounds[:3])) + (f" and {len(rounds) - 3} more" if len(rounds) > 3 else "")
    note = f"{metric.result} hangs on round {said} alone"
    if len(rounds) > 1:
        note = f"{metric.result} hangs on a single round (any of {said})"
    return replace(metric, result=Result.INCONCLUSIVE, note=note)
