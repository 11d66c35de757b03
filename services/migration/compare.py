"""Compares the times of two arms, metric by metric: interval, minimum data, leave-one-round-out, noise floor. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.migration import stats
from services.migration.estimate import Bounded, Estimate, Typical, judged, steady
from services.migration.gates import Method
from services.migration.records import Record, Run, Side
from services.migration.stats import Interval, ends
from services.migration.verdict import Direction, Floor, Kind, Metric, Result

Pair = tuple[Record, Record]
Rounds = Sequence[tuple[int, Sequence[Pair]]]
"""Per round its number and its pairs: the same position answered by both sides."""


RESOLUTION_S = 1e-6
"""Records keep microseconds; no scatter is known to be smaller."""


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

    @property
    def arms(self) -> tuple[tuple[tuple[float, ...], ...], ...]:
        return (self.baseline, self.candidate)

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
    values = [[v for r in arm for v in r] for arm in found.arms]
    points = [stats.quantile(v, q) if v else None for v in values]
    estimate = _quantiles(found, q, method=method, seed=seed)
    name = f"q{round(q * 100)}"
    tail = method.min_tail if q > 0.5 else 0
    return _timed(quantity, name, quantity.definition, points, estimate, found.n, margin, method, tail)


def _quantiles(found: Series, q: float, *, method: Method, seed: int) -> Estimate | None:
    if not found.n:
        return None
    counts = stats.draw(len(found.baseline), resamples=method.resamples, seed=seed)
    samples = stats.quantile_ratios(found.baseline, found.candidate, counts, q)
    ratios = _ratios(found) if q == 0.5 else ()
    return Estimate(numbers=found.numbers, counts=counts, samples=samples, ratios=ratios)


def _ratios(found: Series) -> tuple[float, ...]:
    """The ratio of the blocks' medians in each round; nothing where one of them is no ratio."""
    medians = [[stats.quantile(r, 0.5) for r in arm] for arm in found.arms]
    usable = medians[0] and min(medians[0] + medians[1]) > 0
    return tuple(b / a for a, b in zip(*medians, strict=True)) if usable else ()


def paired_metric(rounds: Rounds, quantity: Quantity, *, margin: float, method: Method) -> Metric:
    """The typical candidate / baseline of a round: rounds whose blocks met different machines hardly count."""
    found = series(rounds, quantity)
    ratios = _ratios(found)
    estimate = Typical(numbers=found.numbers, ratios=ratios) if ratios else None
    points = [stats.quantile([stats.quantile(r, 0.5) for r in arm], 0.5) if arm else None for arm in found.arms]
    definition = f"median over rounds of the block medians of {quantity.definition}; the effect is the typical ratio"
    metric = _timed(quantity, "paired", definition, points, estimate, found.n, margin, method, 0)
    return replace(metric, effect=stats.hodges_lehmann(ratios)) if ratios else metric


def mean_metric(rounds: Rounds, quantity: Quantity, *, margin: float, method: Method, seed: int) -> Metric:
    """candidate / baseline of the mean. It sees what few but very slow requests cost, which no quantile does."""
    found = series(rounds, quantity)
    arms = [[(sum(r), float(len(r))) for r in arm] for arm in found.arms]
    return _averages(found, quantity, "mean", f"mean of {quantity.definition}", arms, margin, method, seed)


def spread_metric(rounds: Rounds, quantity: Quantity, *, margin: float, method: Method, seed: int) -> Metric:
    """candidate / baseline of the interquartile range within a block, averaged: how far ordinary requests scatter.

    In seconds, not relative to the median, because users wait seconds. Within blocks, because both arms' blocks of a
    round share the state of the machine, so that its slow spells are not taken for an engine's scatter. Between
    quartiles, because the few that lie far out are the mean's to see.
    """
    found = series(rounds, quantity)
    scatters = [[_scatter(r) for r in arm] for arm in found.arms]
    arms = [
        [(s * len(r), float(len(r))) for s, r in zip(scatter, arm, strict=True)]
        for scatter, arm in zip(scatters, found.arms, strict=True)
    ]
    definition = f"interquartile range within a block of {quantity.definition}"
    ratios = tuple(b / a for a, b in zip(*scatters, strict=True))
    return _averages(found, quantity, "spread", definition, arms, margin, method, seed, ratios=ratios)


def _scatter(block: Sequence[float]) -> float:
    return RESOLUTION_S + stats.quantile(block, 0.75) - stats.quantile(block, 0.25)


def _averages(
    found: Series, quantity: Quantity, stat: str, definition: str, arms: Sequence[Sequence[tuple[float, float]]],
    margin: float, method: Method, seed: int, ratios: tuple[float, ...] = (),
) -> Metric:  # fmt: skip
    estimate = _totals(found.numbers, arms, method=method, seed=seed, ratios=ratios)
    points = [sum(a for a, _ in arm) / sum(n for _, n in arm) if arm else None for arm in arms]
    return _timed(quantity, stat, definition, points, estimate, found.n, margin, method, 0)


def _totals(
    numbers: tuple[int, ...],
    arms: Sequence[Sequence[tuple[float, float]]],
    *,
    method: Method,
    seed: int,
    ratios: tuple[float, ...] = (),
) -> Estimate | None:
    if not numbers:
        return None
    counts = stats.draw(len(numbers), resamples=method.resamples, seed=seed)
    samples = stats.total_ratios(arms[0], arms[1], counts)
    return Estimate(numbers=numbers, counts=counts, samples=samples, ratios=ratios)


def _timed(
    quantity: Quantity, stat: str, definition: str, points: Sequence[float | None], estimate: Bounded | None, n: int,
    margin: float, method: Method, tail: int,
) -> Metric:  # fmt: skip
    bounds = estimate.bounds(method.level) if estimate else None
    metric = Metric(
        name=quantity.name, stat=stat, definition=definition, kind=Kind.RATIO, direction=Direction.LOWER,
        baseline=points[0], candidate=points[1], effect=_ratio(points[0], points[1]),
        low=ends(bounds)[0], high=ends(bounds)[1], level=method.level, margin=margin, required=True,
        result=judged(bounds, Kind.RATIO, Direction.LOWER, margin), n_baseline=n, n_candidate=n,
    )  # fmt: skip
    return _sure(metric, estimate, method, tail)


def throughput_metric(rounds: Rounds, *, margin: float, method: Method, seed: int) -> Metric:
    """candidate / baseline of output tokens a second, whole blocks: sum of tokens over sum of block times."""
    amounts: list[tuple[int, tuple[float, float], tuple[float, float]]] = [
        (number, _amount([a for a, _ in found]), _amount([b for _, b in found])) for number, found in rounds
    ]
    known = [(n, a, b) for n, a, b in amounts if min(a + b) > 0]
    arms = [[a for _, a, _ in known], [b for _, _, b in known]]
    rates = [sum(r[0] for r in arm) / sum(r[1] for r in arm) if arm else None for arm in arms]
    estimate = _totals(tuple(n for n, _, _ in known), arms, method=method, seed=seed)
    bounds = estimate.bounds(method.level) if estimate else None
    n = sum(len(p) for _, p in rounds)
    metric = Metric(
        name="throughput", stat="", definition="output tokens a second: tokens of all blocks over time of all blocks",
        kind=Kind.RATIO, direction=Direction.HIGHER, baseline=rates[0], candidate=rates[1],
        effect=_ratio(rates[0], rates[1]), low=ends(bounds)[0], high=ends(bounds)[1], level=method.level,
        margin=margin, required=True, result=judged(bounds, Kind.RATIO, Direction.HIGHER, margin),
        n_baseline=n, n_candidate=n,
    )  # fmt: skip
    return _sure(metric, estimate, method, 0)


def _amount(block: Sequence[Record]) -> tuple[float, float]:
    tokens = sum(r.output_tokens or 0 for r in block)
    return float(tokens), max(r.end_s for r in block) - min(r.scheduled_s for r in block)


def _sure(metric: Metric, estimate: Bounded | None, method: Method, tail: int) -> Metric:
    """Below the minimum of rounds or values nothing is believed, nor anything that hangs on one round."""
    rounds = len(estimate.numbers) if estimate else 0
    if rounds < method.min_rounds:
        note = f"{rounds} rounds; {method.min_rounds} are the least"
    elif metric.n_candidate < tail:
        note = f"{metric.n_candidate} answers an arm; {metric.stat} needs {tail}"
    else:
        few = tail and metric.n_candidate < method.wanted_tail
        note = f"{metric.n_candidate} answers an arm; {method.wanted_tail} are wanted for {metric.stat}" if few else ""
        assert estimate is not None
        return steady(replace(metric, note=note), estimate)
    return replace(metric, result=Result.INCONCLUSIVE, note=note)


def _ratio(baseline: float | None, candidate: float | None) -> float | None:
    return candidate / baseline if baseline and candidate is not None else None


def floor(run: Run, quantity: Quantity, *, method: Method) -> Floor:
    """Ollama against itself, the typical ratio of a round: what this machine can tell apart."""
    found = series(pairs(run, Side.BASELINE, Side.AGAIN), quantity)
    ratios = _ratios(found)
    bounds = stats.signed_rank_interval(ratios, level=method.level)
    return Floor(
        metric=f"{quantity.name} paired", ratio=stats.hodges_lehmann(ratios) if ratios else None, low=ends(bounds)[0],
        high=ends(bounds)[1], rounds=len(found.numbers), enough=len(found.numbers) >= method.aa_min_rounds,
    )  # fmt: skip


def above_floor(metric: Metric, floors: Mapping[str, Floor], rounds: int) -> Metric:
    """A result that the machine's own noise could overturn is none.

    The metric's interval already holds the noise between rounds. What it cannot hold is a difference between two
    blocks of one and the same engine, so it is widened by how far Ollama was found from itself before it is believed.
    Ollama met itself in fewer rounds than it met vLLM in (`rounds`); by the root-n law its distance counts for less.
    """
    found = floors.get(metric.name)
    if found is None or not found.enough or not found.ratio or not rounds or metric.low is None or metric.high is None:
        return metric
    apart = math.exp(abs(math.log(found.ratio)) * math.sqrt(min(found.rounds / rounds, 1.0)))
    wide = Interval(low=metric.low / apart, high=metric.high * apart)
    if metric.result is judged(wide, metric.kind, metric.direction, metric.margin):
        return metric
    note = f"this machine is too noisy: ollama differs from itself by {apart - 1:.0%}, which could overturn the result"
    return replace(metric, result=Result.INCONCLUSIVE, note=note)
