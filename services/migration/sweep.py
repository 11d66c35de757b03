"""What a sweep says: throughput and waiting time by users, the knee of each engine, and from when vLLM pays. Pure."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.migration import stats, sweep_knee, sweep_pays, sweep_records
from services.migration.errors import GateError
from services.migration.rollout import write_aside
from services.migration.sweep_blocks import LEVEL, RESAMPLES, Series, of_level, rounds_done
from services.migration.sweep_knee import Knee
from services.migration.sweep_pays import Pays
from services.migration.sweep_records import Contender, Raw

FEW_ROUNDS = 10
"""Fewer give intervals that are too narrow more often than they say (reference/benchmarks.md 7.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its bounds, each one-sided at 95 %; None where there was no data, or one round only."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One engine at one number of users. Times in seconds, to the first token and to the end of the answer.

    A failed request has no tokens, and counts as having waited as long as its caller would have (`lost_s`).
    """

    users: int
    requests: int
    failed: int
    requests_per_s: Estimate
    tokens_per_s: Estimate
    ttft_p50: Estimate
    ttft_p95: Estimate
    e2e_p50: Estimate
    e2e_p95: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One contender over all levels. Memory in bytes: the median before a block, and the most during one."""

    name: str
    engine: str
    parallel: int | None
    version: str
    model: str
    quantization: str
    levels: tuple[Level, ...]
    knee: Knee
    steady_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The whole result, recomputable from its raw file. `best_ollama` is the baseline: the setting with the most."""

    service: str
    id: str
    created: str
    machine: str
    seed: int
    rounds: int
    rounds_planned: int
    users: tuple[int, ...]
    stream: bool
    lost_s: float
    load_low: float
    load_high: float
    best_ollama: str
    throughput: Pays
    wait: Pays
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
    raw: str
    raw_sha256: str
    schema_version: int = 1

    def curve(self, name: str) -> Curve:
        return next(c for c in self.curves if c.name == name)


def analysed(raw: Raw) -> Sweep:
    """The result of a raw file, from its whole rounds. Raises `GateError` where there is none."""
    plan, done = raw.plan, rounds_done(raw)
    if not done:
        raise GateError(f"{raw.name} holds no whole round; measure anew with `cutover bench {plan.service} --sweep`")
    curves = tuple(_curve(raw, contender, done) for contender in plan.contenders)
    blocks = [b for b in raw.blocks if b.turn.round in done]
    return Sweep(
        service=plan.service, id=plan.id, created=plan.created, machine=plan.machine, seed=plan.seed,
        rounds=len(done), rounds_planned=plan.rounds, users=plan.users, stream=plan.stream, lost_s=plan.lost_s,
        load_low=min(b.load1 for b in blocks), load_high=max(b.load1 for b in blocks),
        best_ollama=_best(curves),
        throughput=sweep_pays.pays(raw, done, sweep_pays.throughput, faster_is="higher"),
        wait=sweep_pays.pays(raw, done, sweep_pays.wait, faster_is="lower"),
        curves=curves, notes=(*raw.notes, *_notes(raw, done, curves)), raw=raw.name, raw_sha256=raw.sha256,
    )  # fmt: skip


def _curve(raw: Raw, contender: Contender, done: Sequence[int]) -> Curve:
    plan, engine = raw.plan, contender.described
    series = [of_level(raw, contender, users, done) for users in plan.users]
    blocks = [b for b in raw.blocks if b.turn.contender == contender.name]
    idle = [b.idle_bytes for b in blocks if b.idle_bytes is not None]
    return Curve(
        name=contender.name, engine=engine.engine, parallel=contender.parallel, version=engine.version,
        model=engine.model, quantization=engine.quantization,
        levels=tuple(_level(s, stream=plan.stream, seed=plan.seed) for s in series),
        knee=sweep_knee.knee(series, seed=plan.seed), steady_bytes=round(median(idle)) if idle else None,
        peak_bytes=max((b.peak_bytes for b in blocks if b.peak_bytes is not None), default=None),
    )  # fmt: skip


def _level(found: Series, *, stream: bool, seed: int) -> Level:
    empty = Estimate()
    return Level(
        users=found.users, requests=sum(found.requests), failed=sum(found.requests) - sum(found.answered),
        requests_per_s=_rate(found.answered, found.spans, seed), tokens_per_s=_rate(found.tokens, found.spans, seed),
        ttft_p50=_quantile(found.ttft, 0.5, seed) if stream else empty,
        ttft_p95=_quantile(found.ttft, 0.95, seed) if stream else empty,
        e2e_p50=_quantile(found.e2e, 0.5, seed), e2e_p95=_quantile(found.e2e, 0.95, seed),
    )  # fmt: skip


def _rate(amounts: Sequence[float], spans: Sequence[float], seed: int) -> Estimate:
    """Amounts of all rounds over the time that they took."""
    counts = stats.draw(len(spans), resamples=RESAMPLES, seed=seed)
    samples = stats.totals(list(zip(amounts, spans, strict=True)), counts)
    return _estimate(sum(amounts) / sum(spans), stats.percentile_interval(samples, level=LEVEL), len(spans))


def _quantile(rounds: Sequence[Sequence[float]], q: float, seed: int) -> Estimate:
    counts = stats.draw(len(rounds), resamples=RESAMPLES, seed=seed)
    samples = stats.resampled_quantiles(rounds, counts, q)
    point = stats.quantile([v for r in rounds for v in r], q)
    return _estimate(point, stats.percentile_interval(samples, level=LEVEL), len(rounds))


def _estimate(value: float, interval: stats.Interval | None, rounds: int) -> Estimate:
    """One round resampled is that round again, which says nothing about the next one."""
    low, high = stats.ends(interval if rounds > 1 else None)
    return Estimate(value=value, low=low, high=high)


def _best(curves: Sequence[Curve]) -> str:
    """The Ollama whose best level gives the most tokens a second."""
    ollamas = [c for c in curves if c.engine == "ollama"]
    return max(ollamas, key=lambda c: max(level.tokens_per_s.value or 0.0 for level in c.levels)).name


def _notes(raw: Raw, done: Sequence[int], curves: Sequence[Curve]) -> list[str]:
    plan, notes = raw.plan, []
    if len(done) < plan.rounds:
        notes.append(f"{len(done)} of {plan.rounds} planned rounds are whole; only these are counted")
    if len(done) < FEW_ROUNDS:
        notes.append(
            f"{len(done)} rounds are few: below {FEW_ROUNDS} an interval says more than it knows; "
            f"`--rounds {FEW_ROUNDS}` settles more"
        )
    failing = [f"{c.name} at {x.users} ({x.failed} of {x.requests})" for c in curves for x in c.levels if x.failed]
    if failing:
        notes.append(f"failed requests: {', '.join(failing)}; each counts as a wait of {plan.lost_s:.0f} s")
    kinds = {c.quantization.removesuffix(" dequantised").lower() for c in curves}
    if len(kinds) > 1 or "unknown" in kinds:
        said = ", ".join(f"{c.name} {c.quantization}" for c in curves)
        notes.append(f"the weights differ or are not told ({said}): engines and weights are compared together")
    return notes


@functools.cache
def _sweeps() -> TypeAdapter[Sweep]:
    return TypeAdapter(Sweep)


def document(found: Sweep) -> dict[str, Any]:
    """The result as JSON knows it."""
    return dict(_sweeps().dump_python(found, mode="json"))


def to_json(found: Sweep) -> str:
    return json.dumps(document(found), indent=2) + "\n"


def read(path: Path) -> Raw:
    """A raw file. Raises `GateError`."""
    try:
        return sweep_records.parse(path.read_bytes(), name=path.name)
    except OSError as exc:
        raise GateError(f"cannot read {path}: {exc.strerror}; raw files lie in the state folder under raw/") from exc


def path_of(state_dir: Path, service: str) -> Path:
    return state_dir / "sweep" / f"{service}.json"


def save(state_dir: Path, found: Sweep) -> Path:
    """Keep the result for the report. Raises `StateError`."""
    path = path_of(state_dir, found.service)
    write_aside(path, to_json(found))
    return path


def saved(state_dir: Path, service: str) -> Sweep | None:
    """The latest result; None where there is none or it cannot be read."""
    try:
        return _sweeps().validate_json(path_of(state_dir, service).read_bytes())
    except (OSError, ValidationError):
        return None
