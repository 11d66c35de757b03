"""The statistics of the gate: bootstrap over rounds, t-interval, exact bounds. Pure and seeded."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as distributions  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

LOST_LEVEL = 0.975
"""One-sided level of Student's bound with one item more; by it, sixty equal items may lose 3/61 of an item's score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two bounds, each at the one-sided level that was asked for."""

    low: float
    high: float

    def wider(self, other: Interval) -> Interval:
        return Interval(low=min(self.low, other.low), high=max(self.high, other.high))


def ends(interval: Interval | None) -> tuple[float | None, float | None]:
    """Both bounds as a document holds them: None where there was no data."""
    return (interval.low, interval.high) if interval else (None, None)


@functools.lru_cache(maxsize=8)
def draw(rounds: int, *, resamples: int, seed: int) -> Counts:
    """How often each round occurs in each resample: `resamples` rows of `rounds` counts.

    Resampling whole rounds keeps what the requests of a round share (the state of the machine), which resampling
    single requests would throw away: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8.
    The same seed gives the same draw, so every metric of a verdict sees the same resamples.
    """
    counts = np.random.default_rng(seed).multinomial(rounds, [1 / rounds] * rounds, size=resamples).astype(np.int32)
    counts.setflags(write=False)  # the draw is kept and shared
    return counts


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile by linear interpolation (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (position - below)


def resampled_quantiles(rounds: Sequence[Sequence[float]], counts: Counts, q: float) -> Floats:
    """The q-quantile of every resample; NaN where a resample drew only empty rounds."""
    values = np.concatenate([np.asarray(r, dtype=np.float64) for r in rounds])
    owner = np.repeat(np.arange(len(rounds)), [len(r) for r in rounds])
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    result = np.full(len(counts), np.nan)
    for start in range(0, len(counts), 500):  # 500 resamples at a time keep the matrix small
        cumulated = np.cumsum(counts[start : start + 500][:, owner], axis=1, dtype=np.int32)
        total = cumulated[:, -1] if values.size else np.zeros(len(cumulated), dtype=np.int32)
        filled = total > 0
        if filled.any():
            result[start : start + 500][filled] = _interpolated(values, cumulated[filled], total[filled], q)
    return result


def _interpolated(values: Floats, cumulated: Counts, total: Counts, q: float) -> Floats:
    position = (total - 1) * q
    below = np.floor(position)
    first = (cumulated <= below[:, None]).sum(axis=1)
    second = (cumulated <= np.minimum(below + 1, total - 1)[:, None]).sum(axis=1)
    part = position - below
    return np.asarray(values[first] * (1 - part) + values[second] * part, dtype=np.float64)


def percentile_interval(samples: Floats, *, level: float) -> Interval | None:
    """The percentile interval of resampled statistics: its (1-level) and level quantiles. None without any."""
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return None
    low, high = np.quantile(finite, [1 - level, level])
    return Interval(low=float(low), high=float(high))


def quantile_ratios(
    baseline: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]], counts: Counts, q: float
) -> Floats:
    """quantile(candidate) / quantile(baseline) of every resample, the rounds of both arms drawn together."""
    if not any(len(r) for r in baseline) or not any(len(r) for r in candidate):
        return np.full(len(counts), np.nan)
    below = resampled_quantiles(baseline, counts, q)
    above = resampled_quantiles(candidate, counts, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below, dtype=np.float64)


def total_ratios(
    baseline: Sequence[tuple[float, float]], candidate: Sequence[tuple[float, float]], counts: Counts
) -> Floats:
    """A ratio of rates for every resample, each rate the sum of amounts over the sum of sizes of the drawn rounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(totals(candidate, counts) / totals(baseline, counts), dtype=np.float64)


def totals(rounds: Sequence[tuple[float, float]], counts: Counts) -> Floats:
    """A rate for every resample: the sum of amounts over the sum of sizes of the drawn rounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = (counts @ np.array([a for a, _ in rounds])) / (counts @ np.array([t for _, t in rounds]))
        return np.asarray(sums, dtype=np.float64)


def means_of_rounds(rounds: Sequence[Sequence[float]], counts: Counts) -> Floats:
    """The mean of per-request values for every resample, whole rounds drawn."""
    sums = np.array([float(np.sum(r)) for r in rounds])
    sizes = np.array([len(r) for r in rounds])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((counts @ sums) / (counts @ sizes), dtype=np.float64)


def log_t_interval(ratios: Sequence[float], *, level: float) -> Interval | None:
    """t-interval of a mean log ratio, given back as a ratio: exp(m -+ t(level, n-1) * s / sqrt(n)).

    Student's interval on the logs of per-round ratios. None below two rounds or for a ratio that has no log.
    """
    if len(ratios) < 2 or min(ratios) <= 0:
        return None
    found = t_interval(np.log(np.asarray(ratios, dtype=np.float64)).tolist(), level=level)
    return found and Interval(low=math.exp(found.low), high=math.exp(found.high))


def t_interval(values: Sequence[float], *, level: float) -> Interval | None:
    """Student's interval of a mean: mean -+ t(level, n-1) * s / sqrt(n). None below two values."""
    if len(values) < 2:
        return None
    found = np.asarray(values, dtype=np.float64)
    half = float(distributions.t.ppf(level, len(found) - 1)) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Interval(low=float(found.mean()) - half, high=float(found.mean()) + half)


def signed_rank_interval(ratios: Sequence[float], *, level: float) -> Interval | None:
    """Distribution-free interval of a typical ratio: Tukey's, from the signed-rank test, on the logs of the ratios.

    The bounds are the C-th smallest and C-th largest of all n(n+1)/2 averages of two logs (each with itself too), C the
    largest number with P(T <= C-1) <= 1-level for Wilcoxon's T: Hollander and Wolfe, Nonparametric Statistical Methods
    (1999), section 3.3. It asks only that the logs scatter evenly around their centre, which drawing the order of the
    two sides anew in each round brings about; a few rounds that met a stall hardly move it. None below as many rounds
    as the level needs, or for a ratio that has no log.
    """
    if not ratios or min(ratios) <= 0:
        return None
    depth = _signed_rank_depth(len(ratios), level)
    if depth == 0:
        return None
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    first, second = np.triu_indices(len(logs))
    averages = np.sort((logs[first] + logs[second]) / 2)
    return Interval(low=math.exp(averages[depth - 1]), high=math.exp(averages[-depth]))


@functools.lru_cache(maxsize=256)
def _signed_rank_depth(n: int, level: float) -> int:
    """The largest C with P(T <= C-1) <= 1-level under symmetry; exact, by convolution over the ranks 1..n."""
    chances = np.zeros(n * (n + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, n + 1):
        moved = np.zeros_like(chances)
        moved[rank:] = chances[:-rank]
        chances = (chances + moved) / 2
    return int(np.searchsorted(np.cumsum(chances), 1 - level, side="right"))


def hodges_lehmann(ratios: Sequence[float]) -> float:
    """The typical ratio that belongs to that interval: the median of those averages of logs."""
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    first, second = np.triu_indices(len(logs))
    return math.exp(float(np.median((logs[first] + logs[second]) / 2)))


def clopper_pearson(count: int, n: int, *, level: float) -> Interval:
    """Exact bounds of a rate, each one-sided at `level` (Clopper and Pearson 1934).

    low = Beta(1-level; k, n-k+1), high = Beta(level; k+1, n-k); 0 of n is bounded by 1 - (1-level)^(1/n).
    """
    if n == 0:
        return Interval(low=0.0, high=1.0)
    low = float(distributions.beta.ppf(1 - level, count, n - count + 1)) if count else 0.0
    high = float(distributions.beta.ppf(level, count + 1, n - count)) if count < n else 1.0
    return Interval(low=low, high=high)


def wilson(count: int, n: int, *, level: float) -> Interval:
    """Score bounds of a rate, each one-sided at `level` (Wilson 1927): shorter than exact, for what does not gate."""
    if n == 0:
        return Interval(low=0.0, high=1.0)
    z = float(distributions.norm.ppf(level))
    rate, square = count / n, z * z / n
    centre = (rate + square / 2) / (1 + square)
    half = z * math.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def paired_difference(differences: Sequence[float], *, resamples: int, seed: int, level: float) -> Interval | None:
    """Interval of a mean of paired differences, one per item: the wider of the bootstrap's and Student's.

    Bootstrap: Efron and Tibshirani 1993, section 16.2. Of few items it is too narrow, by about the root of (n-1)/n and
    the difference of t from z; Student's mends that where items scatter, and neither knows of what no item showed.
    """
    if not differences:
        return None
    counts = draw(len(differences), resamples=resamples, seed=seed)
    means = counts @ np.asarray(differences, dtype=np.float64) / len(differences)
    found, student = percentile_interval(means, level=level), t_interval(differences, level=level)
    return found.wider(student) if found and student else found


def with_one_lost(differences: Sequence[float], loss: float) -> float:
    """The least that a mean of differences may be, had one item more been asked and lost `loss`.

    Where every item is equal, resampling and Student both give an interval of no width; this gives the rule of three:
    with none of n items lost, up to 3/n of all may be (Hanley and Lippman-Hand, JAMA 249 (1983) 1743; it is Clopper and
    Pearson's 95 % bound). Each item that is lost widens it as an exact bound would, and where items scatter it adds
    little. One level for all looks and attempts: those ask the same items again, and draw no others. Never above the
    differences' own mean.
    """
    found = t_interval([*differences, -loss], level=LOST_LEVEL)
    return min(found.low, float(np.mean(differences))) if found else -loss


def needed_for_bound(count: int, n: int, *, limit: float, level: float, most: int) -> int | None:
    """Smallest sample in which `count` errors still bound the rate by `limit`; None beyond `most`."""
    low, high = n, most
    if clopper_pearson(count, most, level=level).high > limit:
        return None
    while low < high:
        middle = (low + high) // 2
        if clopper_pearson(count, middle, level=level).high <= limit:
            high = middle
        else:
            low = middle + 1
    return low
