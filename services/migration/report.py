"""Renders what is known of one service's migration as Markdown and JSON: verdict, doctor, ledger, how to recompute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from services.migration import doctor, ledger, measure
from services.migration.findings import Finding, document
from services.migration.ledger import Entry
from services.migration.rollout import write_aside
from services.migration.verdict import Kind, Metric, Outcome, Verdict, to_json

HEADLINES = {
    Outcome.PASS: "vLLM may take over.",
    Outcome.FAIL: "vLLM is worse; the service stays on Ollama.",
    Outcome.INCONCLUSIVE: "Not decided: too little data, or too much noise. The service stays on Ollama.",
    Outcome.INVALID: "The experiment itself was broken; its numbers mean nothing. The service stays on Ollama.",
}


def write(state_dir: Path, service: str) -> Path:
    """Render the report from what lies in the state folder; both forms, whole or not at all. Gives the Markdown."""
    verdict = measure.saved(state_dir, service)
    findings = doctor.saved(state_dir, service)
    entries = ledger.history(state_dir / ledger.FILE_NAME, service)
    path = state_dir / "reports" / f"{service}.md"
    write_aside(path, markdown(service, verdict, findings, entries, raw_dir=state_dir / "raw"))
    write_aside(path.with_suffix(".json"), as_json(service, verdict, findings, entries))
    return path


def as_json(service: str, verdict: Verdict | None, findings: Sequence[Finding], entries: Sequence[Entry]) -> str:
    return (
        json.dumps(
            {
                "service": service,
                "verdict": json.loads(to_json(verdict)) if verdict else None,
                "findings": [document(f) for f in findings],
                "ledger": [ledger.document(e) for e in entries],
            },
            indent=2,
        )
        + "\n"
    )


def markdown(
    service: str, verdict: Verdict | None, findings: Sequence[Finding], entries: Sequence[Entry], *, raw_dir: Path
) -> str:
    """The whole report."""
    parts = [
        f"# {service}: Ollama to vLLM",
        *_verdict(service, verdict, raw_dir),
        *_doctor(findings),
        *_ledger(entries),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(service: str, verdict: Verdict | None, raw_dir: Path) -> list[str]:
    if verdict is None:
        return [f"There is no verdict yet. Measure one with `cutover gate {service}`."]
    plan, load = verdict.plan, verdict.environment
    return [
        f"## Verdict: {verdict.outcome}",
        f"{HEADLINES[verdict.outcome]} (id `{verdict.id}`, {verdict.created}, valid until {verdict.expires})",
        "\n".join(f"- {reason}" for reason in verdict.reasons),
        _table(
            ("metric", "ollama", "vllm", "effect", "interval", "margin", "result"),
            [_metric(m) for m in verdict.metrics],
        ),
        f"Effects are vLLM / Ollama for ratios, vLLM - Ollama for differences, vLLM's own rate for errors. Bounds are "
        f"one-sided at {_level(verdict)}. {plan['rounds_measured']} of {plan['rounds']} rounds of {plan['block']} "
        f"requests an engine, {plan['load']['concurrency']} in flight, closed loop, seed {plan['seed']}.",
        "### Was the experiment sound?",
        _table(
            ("check", "observed", "limit", "holds"),
            [
                (c.check, c.observed, c.limit, "yes" if c.ok else "no" if c.fatal else "no (noted)")
                for c in verdict.preflight
            ],
        ),
        "### What was compared",
        _table(
            ("arm", "engine", "model", "quantisation", "window", "requests", "errors", "of these fallbacks"),
            [
                (name, f"{a.engine} {a.version}", a.model, a.quantization, a.context or "?", a.n, a.errors, a.fallbacks)
                for name, a in verdict.arms.items()
            ],
        ),
        f"Machine: {load['machine']}; load average {load['loadavg_min']} to {load['loadavg_max']}.",
        "Every request is in the raw file; this gives the same verdict from it, byte for byte:\n\n"
        f"```\ncutover gate {service} --from {raw_dir / verdict.raw.records}\n```",
    ]


def _level(verdict: Verdict) -> str:
    return f"{verdict.metrics[0].level:.1%}" if verdict.metrics else "-"


def _metric(metric: Metric) -> tuple[object, ...]:
    interval = "-" if metric.low is None or metric.high is None else f"[{metric.low:.3g}, {metric.high:.3g}]"
    sign = "-" if metric.kind is Kind.DIFFERENCE else ""
    return (
        metric.title, _number(metric.baseline), _number(metric.candidate), _number(metric.effect), interval,
        f"{sign}{metric.margin:g}", metric.result,
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _doctor(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["## Doctor", "The doctor has not looked yet."]
    rows = [(f.level, f.check, f.ollama, f.vllm, f.next) for f in findings]
    return ["## Doctor", _table(("level", "check", "ollama", "vllm", "next"), rows)]


def _ledger(entries: Sequence[Entry]) -> list[str]:
    if not entries:
        return ["## Ledger", "The service was never moved."]
    rows = [
        (
            e.at, e.actor, f"{e.source.stage} {e.source.share:.0%}", f"{e.target.stage} {e.target.share:.0%}",
            "demo: no evidence" if e.demo else e.verdict or "-", "; ".join(e.reasons),
        )
        for e in entries
    ]  # fmt: skip
    return ["## Ledger", _table(("when", "who", "from", "to", "verdict", "why"), rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
