"""The report as one object: all that is known of a service's migration, from which every form of it is rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.llm.prices import Table
from services.llm.prices import load as price_table
from services.migration import gates, kept_findings, ledger, measure, memory_document, report_runs, sweep
from services.migration.errors import GateError
from services.migration.findings import Finding
from services.migration.ledger import Entry
from services.migration.memory_document import Memory
from services.migration.records import Run
from services.migration.report_cost import Cost, costs
from services.migration.report_runs import Changed, Curve, Ended, Level, RoundRow
from services.migration.sweep import Sweep
from services.migration.verdict import Outcome, Verdict

HEADLINES = {
    Outcome.PASS: "vLLM may take over.",
    Outcome.FAIL: "vLLM is worse; the service stays on Ollama.",
    Outcome.INCONCLUSIVE: "Not decided: too little data, or too much noise. The service stays on Ollama.",
    Outcome.INVALID: "The experiment itself was broken; its numbers mean nothing. The service stays on Ollama.",
}


LARGEST = 1e300
"""What an unbounded number is shown and written as: JSON knows no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What a step had shown when it ended: an e-value, the one that ends a canary, and what both engines did."""

    at: str
    stage: str
    share: float
    e_value: float
    limit: float | None = None
    vllm: str = ""
    ollama: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is told. An empty field is a section that is left out; `missing` says why the raw parts are."""

    service: str
    headline: str
    recompute: str = ""
    missing: str = ""
    verdict: Verdict | None = None
    rounds: tuple[RoundRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    ended: tuple[Ended, ...] = ()
    scored: int = 0
    changed: tuple[Changed, ...] = ()
    levels: tuple[Level, ...] = ()
    canary: tuple[Canary, ...] = ()
    findings: tuple[Finding, ...] = ()
    entries: tuple[Entry, ...] = ()
    sweep: Sweep | None = None
    memory: Memory | None = None
    costs: tuple[Cost, ...] = ()


def collect(state_dir: Path, service: str, prices: Path | None = None) -> Report:
    """The report from what lies in the state folder. What is not there, or cannot be read, is left out and said.

    `prices` is a price table of one's own. Raises `PricesError` for one that cannot be used.
    """
    verdict = measure.saved(state_dir, service)
    folder = state_dir / "raw"
    run, missing = _raw(folder, verdict)
    return build(
        service, verdict, run, missing=missing, raw_dir=folder,
        runs=report_runs.alike(run, folder) if run else (), e_limit=_e_limit(),
        findings=kept_findings.saved(state_dir, service).findings,
        entries=ledger.history(state_dir / ledger.FILE_NAME, service), swept=sweep.saved(state_dir, service),
        memory=memory_document.saved(state_dir, service), prices=price_table(prices) if prices else price_table(),
    )  # fmt: skip


def build(
    service: str, verdict: Verdict | None, run: Run | None, *, raw_dir: Path, missing: str = "",
    runs: Sequence[Run] = (), findings: Sequence[Finding] = (), entries: Sequence[Entry] = (),
    e_limit: float | None = None, memory: Memory | None = None, swept: Sweep | None = None,
    prices: Table | None = None,
) -> Report:  # fmt: skip
    """The report of a verdict and the run behind it; pure."""
    return Report(
        service=service,
        headline=HEADLINES[verdict.outcome] if verdict else f"There is no verdict yet. {_measure(service)}",
        recompute=f"cutover gate {service} --from {raw_dir / verdict.raw.records}" if verdict else "",
        sweep=swept, missing=missing, verdict=verdict, findings=tuple(findings), entries=tuple(entries), memory=memory,
        canary=_canary(entries, e_limit),
        rounds=report_runs.rounds(run) if run else (), curves=report_runs.curves(run) if run else (),
        ended=report_runs.ended(run) if run else (), scored=len(report_runs.scored(run)) if run else 0,
        changed=report_runs.changed(run) if run else (), levels=report_runs.levels(runs),
        costs=costs(run, prices) if run and prices else (),
    )  # fmt: skip


def _measure(service: str) -> str:
    return f"Measure one with `cutover gate {service}`."


def _raw(folder: Path, verdict: Verdict | None) -> tuple[Run | None, str]:
    """The run that the verdict rests on, or why its requests cannot be shown."""
    if verdict is None:
        return None, ""
    try:
        run = measure.read(folder / verdict.raw.records)
    except GateError as exc:
        return None, f"Plots of single requests are left out: {exc}"
    if run.sha256 != verdict.raw.sha256:
        return None, (
            f"Plots of single requests are left out: {run.name} changed since the verdict was made from it; "
            f"judge it anew with `cutover gate {verdict.service} --from {folder / run.name}`"
        )
    return run, ""


def _e_limit() -> float | None:
    """The e-value that ends a canary by today's thresholds."""
    try:
        return _positive(getattr(gates.load().policy, "e_limit", None))
    except GateError:
        return None


def _canary(entries: Sequence[Entry], limit: float | None) -> tuple[Canary, ...]:
    """The e-values that the ledger holds; older lines hold none."""
    found = []
    for entry in entries:
        value, place = _positive(entry.evidence.get("e_value")), entry.source
        if value is not None:
            found.append(
                Canary(
                    at=entry.at, stage=str(place.stage), share=place.share, e_value=value,
                    limit=_positive(entry.evidence.get("e_limit")) or limit,
                    vllm=_tally(entry.evidence.get("candidate")), ollama=_tally(entry.evidence.get("control")),
                )
            )  # fmt: skip
    return tuple(found)


def _tally(found: object) -> str:
    """`3 of 400 failed`, or nothing where the ledger holds no such counts."""
    counts = [found.get(key) for key in ("errors", "requests")] if isinstance(found, Mapping) else []
    return f"{counts[0]} of {counts[1]} failed" if counts and all(type(c) is int for c in counts) else ""


def _positive(value: object) -> float | None:
    """A number above zero, or None for whatever else stands there."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return min(float(value), LARGEST)
