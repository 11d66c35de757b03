"""The tables of a report, cell by cell, so that its Markdown and its page show the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.migration import stats
from services.migration.findings import Level
from services.migration.memory_words import size
from services.migration.report_data import Report
from services.migration.report_words import (
    ENGINES,
    QUANTITIES,
    SCORES,
    amount,
    bounds,
    effect,
    limit,
    named,
    number,
    spoken,
)
from services.migration.verdict import Verdict

QUANTILES = (0.5, 0.75, 0.95)
NOTHING = ("", "-")
SHORT = 12
"""Characters of a hash that tell two apart; the JSON has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A caption, the column heads and the rows; a table without rows is not shown."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table without the columns in which no row has anything."""
    cells = [[str(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(head)) if any(row[i] not in NOTHING for row in cells)]
    return Table(
        caption=caption, head=tuple(head[i] for i in kept), rows=tuple(tuple(row[i] for i in kept) for row in cells)
    )


def metrics(verdict: Verdict) -> Table:
    level = f"{verdict.metrics[0].level:.2%}" if verdict.metrics else "-"
    rows = [
        (
            named(m), amount(m, m.baseline), amount(m, m.candidate), effect(m), bounds(m),
            limit(m) if m.required else "-", m.result,
            m.note if m.name != "errors" else "",
        )
        for m in verdict.metrics
    ]  # fmt: skip
    return _table(
        f"Effects are vLLM / Ollama for times and rates, vLLM - Ollama in points for shares, and vLLM's own rate for "
        f"failed requests. Each bound of an interval holds one-sided at {level}.",
        ("metric", "ollama", "vllm", "effect", "interval", "margin", "result", "note"),
        rows,
    )


def definitions(verdict: Verdict) -> Table:
    rows = [(named(m), m.definition, m.title) for m in verdict.metrics]
    return _table("How each metric is computed", ("metric", "what it is", "name in the JSON"), rows)


def rounds(report: Report) -> Table:
    rows = [
        (
            r.number, " → ".join(r.order), number(r.ttft), number(r.e2e), number(r.again),
            f"{r.load_low:.2f} to {r.load_high:.2f}",
        )
        for r in report.rounds
    ]  # fmt: skip
    return _table(
        "Ratios of medians in each round; Ollama against itself where it ran twice",
        ("round", "order", "first word, vllm / ollama", "whole answer, vllm / ollama", "ollama / itself", "load"),
        rows,
    )


def times(report: Report) -> Table:
    rows = [
        (
            QUANTITIES[c.name], ENGINES[c.engine], *(f"{number(stats.quantile(c.seconds, q))} s" for q in QUANTILES),
            len(c.seconds),
        )
        for c in report.curves
    ]  # fmt: skip
    heads = [f"{100 * q:g} % within" for q in QUANTILES]
    return _table("Requests that both engines answered", ("time", "engine", *heads, "answers"), rows)


def ended(report: Report) -> Table:
    rows = [(ENGINES.get(e.side, e.side), e.how, e.count, e.of) for e in report.ended]
    return _table("Requests without the engine's own answer", ("asked", "how it ended", "requests", "of"), rows)


def changed(report: Report) -> Table:
    rows = [
        (
            c.item, SCORES.get(c.metric, c.metric), number(c.ollama), number(c.vllm), f"{100 * c.difference:+.1f}",
            c.pairs,
        )
        for c in report.changed
    ]  # fmt: skip
    items = len({c.item for c in report.changed})
    return _table(
        f"Items whose score changed, {items} of {report.scored}; the worst for vLLM first",
        ("item", "score", "ollama", "vllm", "points", "pairs"), rows,
    )  # fmt: skip


def levels(report: Report) -> Table:
    rows = [
        (level.concurrency, ENGINES[level.engine], number(level.throughput), number(level.ttft), level.raw)
        for level in report.levels
    ]
    head = ("in flight", "engine", "output tokens a second", "first word, median s", "raw file")
    return _table("One gate for each concurrency, same engines and items", head, rows)


def costs(report: Report) -> Table:
    rows = [
        (
            ENGINES.get(c.who, c.who), _usd(c.per_million), _usd(c.per_million_output),
            f"{c.prompt_tokens} in, {c.output_tokens} out" + (f" in {number(c.busy_s)} s" if c.busy_s else ""), c.price,
        )
        for c in report.costs
    ]  # fmt: skip
    return _table(
        "Measured here: tokens, and the time in which at least one request was under way at the engine. Assumed: the "
        "prices, which are those of the machines named, whatever machine this ran on. Idle hours are in no figure.",
        ("who", "USD a million tokens", "USD a million output tokens, prompts included", "measured", "price"),
        rows,
    )


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def canary(report: Report) -> Table:
    rows = [
        (c.at, f"{c.stage} {c.share:.0%}", number(c.e_value), number(c.limit), c.vllm, c.ollama) for c in report.canary
    ]
    return _table(
        "E-value when each step was taken", ("when", "after", "e-value", "goes back at", "vllm", "ollama"), rows
    )


def preflight(verdict: Verdict) -> Table:
    rows = [
        (c.check, c.observed, c.limit, "yes" if c.ok else "no" if c.fatal else "no (noted)") for c in verdict.preflight
    ]
    return _table("Checks of the experiment itself", ("check", "observed", "limit", "holds"), rows)


def floors(verdict: Verdict) -> Table:
    rows = [
        (
            spoken(f.metric), number(f.ratio), "-" if f.low is None else f"{number(f.low)} to {number(f.high)}",
            f.rounds, "yes" if f.enough else "no: too few rounds",
        )
        for f in verdict.noise_floor
    ]  # fmt: skip
    return _table(
        "Noise floor: Ollama against itself, which is what this machine can tell apart",
        ("time", "ratio", "interval", "rounds", "may be relied on"), rows,
    )  # fmt: skip


def arms(verdict: Verdict) -> Table:
    """A column for each engine, because a phone is narrow."""
    found, started = list(verdict.arms.values()), verdict.environment.get("started_with", {})
    shown: list[tuple[str, list[object]]] = [
        ("version", [a.version for a in found]),
        ("model", [a.model for a in found]),
        ("digest", [a.model_digest[:SHORT] for a in found]),
        ("quantisation", [a.quantization for a in found]),
        ("window", [a.context or "?" for a in found]),
        ("flags, sha256", [a.flags_sha256[:SHORT] for a in found]),
        ("start, sha256", [started.get(arm, "")[:SHORT] for arm in verdict.arms]),
        ("requests", [a.n for a in found]),
        ("errors", [a.errors for a in found]),
        ("of these fallbacks", [a.fallbacks for a in found]),
        ("prompt tokens, mean", [number(a.prompt_tokens) for a in found]),
        ("output tokens, mean", [number(a.output_tokens) for a in found]),
    ]
    heads = [f"{ENGINES.get(a.engine, a.engine)} ({arm})" for arm, a in verdict.arms.items()]
    rows = [(what, *values) for what, values in shown if any(str(v) not in NOTHING for v in values)]
    return _table("Both engines as they described themselves before the run, and what they did", ("", *heads), rows)


def setting(verdict: Verdict) -> Table:
    """The machine and the plan, as far as the verdict names them."""
    plan, world = verdict.plan, verdict.environment
    shown: list[tuple[str, Any]] = [
        ("machine", world.get("machine")),
        ("load average", f"{number(world.get('loadavg_min'))} to {number(world.get('loadavg_max'))}"),
        ("gpu", "; ".join(map(_card, world.get("gpu") or ()))),
        ("rounds", f"{plan['rounds_measured']} of {plan['rounds']}"),
        ("requests a block", plan.get("block")),
        ("load", _load(plan["load"])),
        ("seed", plan.get("seed")),
        ("planned looks", plan.get("looks")),
        ("attempt", plan.get("attempt")),
        ("verdict", f"{verdict.id}, made {verdict.created}, valid until {verdict.expires}"),
        ("raw file", f"{verdict.raw.records}, sha256 {verdict.raw.sha256}"),
    ]
    return _table("Machine and plan", ("what", "value"), [(k, v) for k, v in shown if v not in (None, "")])


def _card(gpu: Mapping[str, Any]) -> str:
    return f"{gpu['name']}, driver {gpu['driver']}, {size(gpu['memory_bytes'])}"


def _load(load: Mapping[str, Any]) -> str:
    if load.get("rate"):
        return f"{load['rate']:g} requests a second, {load['kind']}, each at a time of its own"
    return f"{load['concurrency']} in flight, {load['kind']} loop"


def findings(report: Report) -> Table:
    """What forbids a move first, then what somebody should read."""
    order = (Level.FAIL, Level.WARN, Level.PASS)
    found = sorted(report.findings, key=lambda f: order.index(f.level))
    rows = [(f.level, f.check, f.ollama, f.vllm, f.next) for f in found]
    return _table("What both engines answered to the same question", ("level", "check", "ollama", "vllm", "next"), rows)


def moves(report: Report) -> Table:
    rows = [
        (
            e.at, e.actor, f"{e.source.stage} {e.source.share:.0%}", f"{e.target.stage} {e.target.share:.0%}",
            "demo: no evidence" if e.demo else e.verdict or "-", "; ".join(e.reasons),
        )
        for e in report.entries
    ]  # fmt: skip
    return _table("Every change of this service", ("when", "who", "from", "to", "verdict", "why"), rows)
