"""Compares the two arms of a run, metric by metric: interval, minimum data, leave-one-round-out. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.migration import stats
from services.migration.gates import Method
from services.migration.records import Record, Run, Side
from services.migration.stats import Interval, ends
from services.migration.verdict import Direction, Floor, Kind, Metric, Result

Pair = tuple[Record, Record]
Rounds = Sequence[tuple[int, Sequence[Pair]]]
"""Per round its number and its pairs: the same position answered by both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A time of one request that is compared by quantiles."""

    name: str
    definition: str
    of: Callable[[Record], float | None]


E2E = Quantity(name="e2e", definition="seconds from the scheduled send to the end of the answer", of=lambda r: r.e2e_s)
TTFT = Quantity(
    name="ttft", definition="seconds from the scheduled send to the first non-empty token", of=lambda r: r.ttft_s
)


def pairs(run: Run, left: Side, right: Side) -> Rounds:
    """The rounds in which both sides answered something, reduced to the positions that both answered.

    Reduced, because a block cut short by its time cap, or by errors, would else compare other requests.
    """
    blocks: dict[tuple[int, Side], dict[int, Record]] = {}
    for record in run.latest():
        if record.answered:
            blocks.setdefault((record.round, record.side), {})[record.position] = record
    found = []
    for planned in run.plan.schedule:
        a, b = blocks.get((planned.number, left), {}), blocks.get((planned.number, right), {})
        both = [(a[p], b[p]) for p in sorted(a.keys() & b.keys())]
        if both:
            found.append((planned.number, both))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity of both arms, round by round."""

    numbers: tuple[int, ...]
    baseline: tuple[tuple[float, ...], ...]
    candidate: tuple[tuple[float, ...], ...]

    def without(self, index: int) -> Series:
        def keep(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
            return rows[:index] + rows[index + 1 :]

        return replace(self, numbers=self.numbers, baseline=keep(self.baseline), candidate=keep(self.candidate))

    @property
    def n(self) -> int:
        return sum(len(r) for r in self.candidate)


def series(rounds: Rounds, quantity: Quantity) -> Series:
    numbers, baseline, candidate = [], [], []
    for number, found in rounds:
        values = [(quantity.of(a), quantity.of(b)) for a, b in found]
        known = [(x, y) for x, y in values if x is not None and y is not None]
        if known:
            numbers.append(number)
            baseline.append(tuple(x for x, _ in known))
            candidate.append(tuple(y for _, y in known))
    return Series(numbers=tuple(numbers), baseline=tuple(baseline), candidate=tuple(candidate))


def quantile_metric(
    rounds: Rounds, quantity: Quantity, q: float, *, margin: float, method: Method, seed: int
) -> Metric:
    """candidate / baseline of one quantile; lower is better."""
    found = series(rounds, quantity)

    def interval(part: Series, resamples: int) -> Interval | None:
        return _quantile_interval(part, q, resamples=resamples, seed=seed, level=method.level)

    values = [[v for r in arm for v in r] for arm in (found.baseline, found.candidate)]
    points = [stats.quantile(v, q) if v else None for v in values]
    bounds = interval(found, method.resamples)
    metric = Metric(
        name=quantity.name, stat=f"q{round(q * 100)}", definition=quantity.definition, kind=Kind.RATIO,
        direction=Direction.LOWER, baseline=points[0], candidate=points[1], effect=_ratio(points[0], points[1]),
        low=ends(bounds)[0], high=ends(bounds)[1], level=method.level, margin=margin, required=True,
        result=judged(bounds, Kind.RATIO, Direction.LOWER, margin), n_baseline=found.n, n_candidate=found.n,
    )  # fmt: skip
    tail = method.min_tail if q > 0.5 else 0
    return _steady(_enough(metric, len(found.numbers), method, tail), found, interval, method)


def _quantile_interval(part: Series, q: float, *, resamples: int, seed: int, level: float) -> Interval | None:
    if not part.n:
        return None
    counts = stats.draw(len(part.baseline), resamples=resamples, seed=seed)
    bounds = stats.quantile_ratio(part.baseline, part.candidate, counts, q, level=level)
    if bounds is None or q != 0.5:
        return bounds
    medians = [
        stats.quantile(b, q) / stats.quantile(a, q)
        for a, b in zip(part.baseline, part.candidate, strict=True)
        if stats.quantile(a, q) > 0
    ]
    student = stats.log_t_interval(medians, level=level)
    return bounds.wider(student) if student else bounds


def throughput_metric(rounds: Rounds, *, margin: float, method: Method, seed: int) -> Metric:
    """candidate / baseline of output tokens a second, whole blocks: sum of tokens over sum of block times."""
    amounts: list[tuple[int, tuple[float, float], tuple[float, float]]] = [
        (number, _amount([a for a, _ in found]), _amount([b for _, b in found])) for number, found in rounds
    ]
    known = [(n, a, b) for n, a, b in amounts if min(a + b) > 0]
    found = Series(
        numbers=tuple(n for n, _, _ in known), baseline=tuple(a for _, a, _ in known),
        candidate=tuple(b for _, _, b in known),
    )  # fmt: skip

    def interval(part: Series, resamples: int) -> Interval | None:
        if not part.numbers or not part.baseline:
            return None
        counts = stats.draw(len(part.baseline), resamples=resamples, seed=seed)
        arms = [[(r[0], r[1]) for r in arm] for arm in (part.baseline, part.candidate)]
        return stats.total_ratio(arms[0], arms[1], counts, level=method.level)

    rates = [
        sum(r[0] for r in arm) / sum(r[1] for r in arm) if arm else None for arm in (found.baseline, found.candidate)
    ]
    bounds = interval(found, method.resamples)
    n = sum(len(p) for _, p in rounds)
    metric = Metric(
        name="throughput", stat="", definition="output tokens a second: tokens of all blocks over time of all blocks",
        kind=Kind.RATIO, direction=Direction.HIGHER, baseline=rates[0], candidate=rates[1],
        effect=_ratio(rates[0], rates[1]), low=ends(bounds)[0], high=ends(bounds)[1], level=method.level,
        margin=margin, required=True, result=judged(bounds, Kind.RATIO, Direction.HIGHER, margin),
        n_baseline=n, n_candidate=n,
    )  # fmt: skip
    return _steady(_enough(metric, len(known), method, 0), found, interval, method)


def _amount(block: Sequence[Record]) -> tuple[float, float]:
    tokens = sum(r.output_tokens or 0 for r in block)
    return float(tokens), max(r.end_s for r in block) - min(r.scheduled_s for r in block)


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


def _enough(metric: Metric, rounds: int, method: Method, tail: int) -> Metric:
    """Below the minimum of rounds or values nothing is believed, whatever the interval says."""
    if rounds < method.min_rounds:
        note = f"{rounds} rounds; {method.min_rounds} are the least"
    elif metric.n_candidate < tail:
        note = f"{metric.n_candidate} answers an arm; {metric.stat} needs {tail}"
    else:
        few = tail and metric.n_candidate < method.wanted_tail
        note = f"{metric.n_candidate} answers an arm; {method.wanted_tail} are wanted for {metric.stat}" if few else ""
        return replace(metric, note=note)
    return replace(metric, result=Result.INCONCLUSIVE, note=note)


def _steady(
    metric: Metric, found: Series, interval: Callable[[Series, int], Interval | None], method: Method
) -> Metric:
    """Leave one round out: a result that hangs on a single round is none."""
    if metric.result not in (Result.PASS, Result.FAIL):
        return metric
    for index, number in enumerate(found.numbers):
        bounds = interval(found.without(index), method.loro_resamples)
        if judged(bounds, metric.kind, metric.direction, metric.margin) is not metric.result:
            note = f"{metric.result} hangs on round {number} alone"
            return replace(metric, result=Result.INCONCLUSIVE, note=note)
    return metric


def _ratio(baseline: float | None, candidate: float | None) -> float | None:
    return candidate / baseline if baseline and candidate is not None else None


def floor(run: Run, quantity: Quantity, *, method: Method, seed: int) -> Floor:
    """Ollama against itself, medians: what this machine can tell apart."""
    found = series(pairs(run, Side.BASELINE, Side.AGAIN), quantity)
    bounds = _quantile_interval(found, 0.5, resamples=method.resamples, seed=seed, level=method.level)
    medians = [
        stats.quantile([v for r in arm for v in r], 0.5) if found.n else None
        for arm in (found.baseline, found.candidate)
    ]
    return Floor(
        metric=f"{quantity.name} q50", ratio=_ratio(medians[0], medians[1]), low=ends(bounds)[0],
        high=ends(bounds)[1], rounds=len(found.numbers), enough=len(found.numbers) >= method.aa_min_rounds,
    )  # fmt: skip


def above_floor(metric: Metric, floors: Mapping[str, Floor]) -> Metric:
    """A result that the machine's own noise could overturn is none.

    Where Ollama against itself is wider than the margin, the interval is widened by as much before it is believed:
    a win far beyond the noise stands, one within it does not.
    """
    found = floors.get(metric.name)
    if found is None or not found.enough or found.low is None or found.high is None:
        return metric
    half = (found.high - found.low) / 2
    if half <= metric.margin - 1 or metric.low is None or metric.high is None or math.isinf(half):
        return metric
    wide = Interval(low=metric.low / (1 + half), high=metric.high * (1 + half))
    if metric.result is judged(wide, metric.kind, metric.direction, metric.margin):
        return metric
    note = f"this machine is too noisy: ollama differs from itself by up to {half:.0%}, margin {metric.margin - 1:.0%}"
    return replace(metric, result=Result.INCONCLUSIVE, note=note)
