"""Compares what is counted rather than timed: errors, contract, task quality. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from services.migration import stats
from services.migration.compare import Rounds
from services.migration.estimate import Estimate, hangs_on, judged, steady
from services.migration.gates import Method
from services.migration.records import Record, Run, Side
from services.migration.stats import Interval, ends
from services.migration.verdict import Direction, Kind, Metric, Result

MOST_LOST = {"retrieval_ndcg": 0.369}
"""A stated bound where a whole item lost would ask for hundreds of items, by metric.

nDCG: the one passage that answers slips from the first rank to the second, 1 - 1 / log2(3) (Jaervelin and Kekaelaeinen
2002). No engine takes part in finding passages; with a whole item as its loss, 0.02 would ask for 150 equal items.
"""


def errors_metric(records: Sequence[Record], *, margin: float, method: Method) -> Metric:
    """The candidate's error rate, bounded exactly. An answer by anybody else is an error of the candidate.

    Every record counts, of rounds begun anew too. Empty or misshapen answers count in `contract`, against Ollama's.
    """
    candidate = [r for r in records if r.side is Side.CANDIDATE]
    baseline = [r for r in records if r.side is Side.BASELINE]
    failed = sum(not r.answered for r in candidate)
    n = len(candidate)
    bounds = stats.clopper_pearson(failed, n, level=method.level)
    note = f"{failed} of {n}; could still be {bounds.high:.1%}, limit {margin:.0%}"
    metric = Metric(
        name="errors", stat="", definition="share of requests that the engine itself did not answer (fallbacks count)",
        kind=Kind.BOUND, direction=Direction.LOWER, baseline=_share(baseline), candidate=_share(candidate),
        effect=_share(candidate), low=bounds.low, high=bounds.high, level=method.level, margin=margin, required=True,
        result=judged(bounds, Kind.BOUND, Direction.LOWER, margin), n_baseline=len(baseline), n_candidate=n, note=note,
    )  # fmt: skip
    bad = [r for r in candidate if not r.answered]
    return hangs_on(metric, _deciding(candidate, bad, metric)) if metric.result is Result.FAIL else metric


def stalled_metric(records: Sequence[Record], *, margin: float, method: Method) -> Metric:
    """The candidate's share of answers so late that nobody waits for them, bounded exactly, like errors.

    Late beyond `stall_times` the baseline's 95 % quantile. A resampled mean cannot know of what it hardly met: one such
    answer in four hundred leaves it inside its margin, and may be one in a hundred.
    """
    answers = {side: [r for r in records if r.side is side and r.answered] for side in Side}
    ours, theirs = answers[Side.BASELINE], answers[Side.CANDIDATE]
    edge = method.stall_times * stats.quantile([r.e2e_s for r in ours], 0.95) if ours else math.inf
    late, n = [r for r in theirs if r.e2e_s > edge], len(theirs)
    bounds = stats.clopper_pearson(len(late), n, level=method.level)
    shares = [sum(r.e2e_s > edge for r in found) / len(found) if found else None for found in (ours, theirs)]
    note = f"{len(late)} of {n} took over {edge:.3g} s; could still be {bounds.high:.1%}, limit {margin:.0%}"
    metric = Metric(
        name="stalled", stat="", kind=Kind.BOUND, direction=Direction.LOWER, baseline=shares[0], candidate=shares[1],
        definition=f"share of answers later than {method.stall_times:g} times the baseline's 95 % quantile",
        effect=shares[1], low=bounds.low, high=bounds.high, level=method.level, margin=margin, required=True,
        result=judged(bounds, Kind.BOUND, Direction.LOWER, margin), n_baseline=len(ours), n_candidate=n, note=note,
    )  # fmt: skip
    return hangs_on(metric, _deciding(theirs, late, metric)) if metric.result is Result.FAIL else metric


def _deciding(candidate: Sequence[Record], bad: Sequence[Record], metric: Metric) -> list[int]:
    """The rounds without which there were no failure: one hiccup of a machine is not an engine that fails."""
    every = Counter(r.round for r in candidate)
    failed = Counter(r.round for r in bad)
    found = []
    for number, count in failed.items():
        rest = stats.clopper_pearson(failed.total() - count, every.total() - every[number], level=metric.level)
        if judged(rest, metric.kind, metric.direction, metric.margin) is not Result.FAIL:
            found.append(number)
    return sorted(found)


def _share(records: Sequence[Record]) -> float | None:
    return sum(not r.answered for r in records) / len(records) if records else None


def contract_metric(rounds: Rounds, *, margin: float, method: Method, seed: int) -> Metric:
    """candidate - baseline share of answers in the promised shape, paired; whole rounds resampled.

    The lower bound is never better than the exact one, so that one more broken answer never helps.
    """
    differences = [[float(b.contract_ok) - float(a.contract_ok) for a, b in found] for _, found in rounds]
    n = sum(len(d) for d in differences)
    estimate = None
    if n:
        counts = stats.draw(len(rounds), resamples=method.resamples, seed=seed)
        samples = stats.means_of_rounds(differences, counts)
        estimate = Estimate(numbers=tuple(number for number, _ in rounds), counts=counts, samples=samples)
    broken = sum(d < 0 for found in differences for d in found)
    bounds = _never_surer(estimate, differences, broken, n, method.level) if estimate else None
    metric = _difference(
        "contract", "share of answers in the promised shape, same requests", rounds, bounds, margin, method,
        means=[fmean(float(pair[i].contract_ok) for _, f in rounds for pair in f) if n else None for i in (0, 1)],
    )  # fmt: skip
    if len(rounds) < method.min_rounds:
        note = f"{len(rounds)} rounds; {method.min_rounds} are the least"
        return replace(metric, result=Result.INCONCLUSIVE, note=note)
    return steady(metric, estimate) if estimate and metric.result is Result.FAIL else metric


def _never_surer(
    estimate: Estimate, differences: Sequence[Sequence[float]], broken: int, n: int, level: float
) -> Interval | None:
    """The bootstrap's interval, its lower end at most what is exact: a loss no larger than the share broken can be.

    Resampling knows nothing of what it hardly met: one answer broken in 400 left it at -0.75 points, while its share
    may be 1.45 % (Clopper and Pearson 1934). Pairs in which only the baseline's answer was broken are taken for no
    gain, which is careful. Where no pair differs, the upper end is exact too.
    """
    bounds = estimate.bounds(level)
    most = stats.clopper_pearson(broken, n, level=level).high
    equal = not any(v for found in differences for v in found)
    return bounds and bounds.wider(Interval(low=-most, high=most if equal else bounds.high))


def quality_metric(
    rounds: Rounds, *, name: str, margin: float, method: Method, seed: int, required: bool = True
) -> Metric:
    """candidate - baseline mean of one quality metric, paired and resampled by item.

    By item, because asking the same item again teaches little about the items that nobody asked. The lower bound
    reckons with one item more, lost (`stats.with_one_lost`), so that equal scores of few items prove little. One that
    is not `required` is shown and never gates.
    """
    means, bounds = _by_item(rounds, name, method, seed)
    metric = _difference(
        "quality", f"mean {name} of the answers, same items", rounds, bounds, margin, method,
        means=[fmean(m) if m else None for m in means],
    )  # fmt: skip
    metric = replace(metric, stat=name)
    if not required:
        return replace(metric, required=False, result=Result.INFO)
    if len(means[0]) < method.min_items:
        note = f"{len(means[0])} items; {method.min_items} are the least"
        return replace(metric, result=Result.INCONCLUSIVE, note=note)
    if metric.result is Result.INCONCLUSIVE:
        least = math.ceil(3 * _loss(name, means[0]) / margin) if margin else 0
        note = f"{len(means[0])} items; about {least} equal ones are the least for this margin"
        return replace(metric, note=note) if len(means[0]) < least else metric
    hanging = []
    for number, _ in rounds:
        rest = _by_item([r for r in rounds if r[0] != number], name, method, seed)[1]
        if judged(rest, metric.kind, metric.direction, margin) is not metric.result:
            hanging.append(number)
    return hangs_on(metric, hanging)


def _by_item(rounds: Rounds, name: str, method: Method, seed: int) -> tuple[list[list[float]], Interval | None]:
    """Both arms' mean score of each item, and the interval of the mean difference, items resampled."""
    by_item: dict[str, list[tuple[float, float]]] = {}
    for _, found in rounds:
        for a, b in found:
            if name in a.quality and name in b.quality:
                by_item.setdefault(a.item, []).append((a.quality[name], b.quality[name]))
    means = [[sum(v[i] for v in values) / len(values) for values in by_item.values()] for i in (0, 1)]
    differences = [b - a for a, b in zip(*means, strict=True)]
    bounds = stats.paired_difference(differences, resamples=method.resamples, seed=seed, level=method.level)
    if bounds:
        least = stats.with_one_lost(differences, _loss(name, means[0]))
        bounds = bounds.wider(Interval(low=least, high=bounds.high))
    return means, bounds


def _loss(name: str, baseline: Sequence[float]) -> float:
    """What an item loses when it is lost: all that the baseline had, on average over the items where it had any.

    For a score that is 0 or 1 that is 1, the largest there is; a graded one can lose no more than was reached.
    """
    held = [score for score in baseline if score > 0]
    return min(fmean(held), MOST_LOST.get(name, 1.0)) if held else 0.0


def goodput_metric(run: Run, *, method: Method, seed: int) -> Metric:
    """candidate - baseline share of requests answered by the engine itself within every SLO of the recipe.

    Shown and never gates: a promise is about the team's own machine, and whoever measures may be on another. A request
    that failed was not in time. Whole rounds are resampled.
    """
    sides: dict[int, dict[Side, dict[int, float]]] = {}
    for record in run.latest():
        sides.setdefault(record.round, {}).setdefault(record.side, {})[record.position] = _in_time(record, run.plan.slo)
    blocks = [(sides[n].get(Side.BASELINE, {}), sides[n].get(Side.CANDIDATE, {})) for n in sorted(sides)]
    both = [[(a[p], b[p]) for p in sorted(a.keys() & b.keys())] for a, b in blocks]
    both = [pairs for pairs in both if pairs]
    every = [pair for pairs in both for pair in pairs]
    bounds = None
    if every:
        counts = stats.draw(len(both), resamples=method.resamples, seed=seed)
        samples = stats.means_of_rounds([[b - a for a, b in pairs] for pairs in both], counts)
        bounds = stats.percentile_interval(samples, level=method.level)
    means = [fmean(pair[i] for pair in every) if every else None for i in (0, 1)]
    limits = ", ".join(f"{name} {limit:g} s" for name, limit in sorted(run.plan.slo.items()))
    return Metric(
        name="goodput", stat="", definition=f"share of requests answered within {limits}", kind=Kind.DIFFERENCE,
        direction=Direction.HIGHER, baseline=means[0], candidate=means[1],
        effect=None if means[0] is None or means[1] is None else means[1] - means[0], low=ends(bounds)[0],
        high=ends(bounds)[1], level=method.level, margin=0.0, required=False, result=Result.INFO,
        n_baseline=len(every), n_candidate=len(every),
    )  # fmt: skip


def _in_time(record: Record, slo: Mapping[Literal["ttft", "e2e"], float]) -> float:
    took = {"e2e": record.e2e_s, "ttft": record.ttft_s}
    return float(record.answered and all((took[name] or math.inf) <= limit for name, limit in slo.items()))


def _difference(
    name: str, definition: str, rounds: Rounds, bounds: Interval | None, margin: float, method: Method,
    *, means: Sequence[float | None],
) -> Metric:  # fmt: skip
    n = sum(len(found) for _, found in rounds)
    baseline, candidate = means
    effect = None if baseline is None or candidate is None else candidate - baseline
    return Metric(
        name=name, stat="", definition=definition, kind=Kind.DIFFERENCE, direction=Direction.HIGHER,
        baseline=baseline, candidate=candidate, effect=effect, low=ends(bounds)[0], high=ends(bounds)[1],
        level=method.level, margin=margin, required=True,
        result=judged(bounds, Kind.DIFFERENCE, Direction.HIGHER, margin), n_baseline=n, n_candidate=n,
    )  # fmt: skip
