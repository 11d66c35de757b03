"""Renders the report as Markdown and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from services.migration import ledger, memory_document, report_memory, report_sweep_table, sweep, sweep_words
from services.migration import report_tables as tables
from services.migration.findings import document
from services.migration.report_data import Report
from services.migration.report_runs import Changed
from services.migration.report_tables import Table
from services.migration.report_words import SCORES, advice, plain
from services.migration.sweep import Sweep
from services.migration.verdict import Outcome, Verdict, to_json

BROKEN = "The experiment was broken: these numbers are shown to find out why, and prove nothing."
SHOWN = 50
"""Changed items whose answers are shown side by side; the table before them names all."""

WORTH_READING = 0.1
"""A change of score below which nobody sees it in the answers."""


def as_json(report: Report) -> str:
    """Everything, unrounded; what the other forms leave out for want of data is empty here."""
    parts = {
        key: [asdict(row) for row in getattr(report, key)] for key in ("rounds", "curves", "ended", "levels", "costs")
    }
    body = {
        "service": report.service,
        "headline": report.headline,
        "recompute": report.recompute,
        "missing": report.missing,
        "verdict": json.loads(to_json(report.verdict)) if report.verdict else None,
        **parts,
        "quality": {"scored": report.scored, "changed": [asdict(c) for c in report.changed]},
        "canary": [asdict(c) for c in report.canary],
        "sweep": sweep.document(report.sweep) if report.sweep else None,
        "findings": [document(f) for f in report.findings],
        "memory": memory_document.document(report.memory) if report.memory else None,
        "ledger": [ledger.document(e) for e in report.entries],
    }
    return json.dumps(body, indent=2) + "\n"


def markdown(report: Report) -> str:
    """The whole report, for reading where it lies."""
    parts = [f"# {report.service}: Ollama to vLLM"]
    parts += _verdict(report, report.verdict) if report.verdict else [report.headline]
    if report.memory:
        parts += ["## Memory", *map(_table, report_memory.tables(report.memory))]
        parts.append("\n".join(f"- {_inline(line)}" for line in report_memory.sentences(report.memory)))
    if report.costs:
        parts += ["## What a million tokens cost", _table(tables.costs(report))]
    if report.canary:
        parts += ["## The canary's evidence", _table(tables.canary(report))]
    parts += _sweep(report.sweep) if report.sweep else []
    found, moves = tables.findings(report), tables.moves(report)
    parts += ["## Doctor", _table(found) if found else "The doctor has not looked yet."]
    parts += ["## Ledger", _table(moves) if moves else "The service was never moved."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(report: Report, verdict: Verdict) -> list[str]:
    return [
        f"## Verdict: {verdict.outcome}",
        f"{report.headline} {advice(verdict)}",
        "\n".join(f"- {_inline(plain(reason, verdict.metrics))}" for reason in verdict.reasons),
        "## Each metric against its margin",
        BROKEN if verdict.outcome is Outcome.INVALID else "",
        _table(tables.metrics(verdict)),
        _table(tables.definitions(verdict)),
        *_requests(report),
        "## Was the experiment sound?",
        _table(tables.preflight(verdict)),
        _table(tables.floors(verdict)),
        "## What was compared",
        _table(tables.arms(verdict)),
        _table(tables.setting(verdict)),
        "## Compute it again",
        "Every request is in the raw file; this gives the same verdict from it, byte for byte:\n\n"
        f"```\n{report.recompute}\n```",
    ]


def _requests(report: Report) -> list[str]:
    """What is known of single requests."""
    if report.missing:
        return ["## Single requests", _inline(report.missing)]
    parts = []
    for title, table in (
        ("Round by round", tables.rounds(report)),
        ("How long answers took", tables.times(report)),
        ("Against concurrency", tables.levels(report)),
    ):
        parts += [f"## {title}", _table(table)] if table else []
    parts += ["## Failed requests", _table(tables.ended(report)) or "Each engine answered every request itself."]
    if report.scored:
        parts += ["## Answers whose quality changed", _table(tables.changed(report)) or none_changed(report)]
        parts += [_both(c) for c in side_by_side(report)]
    return parts


def side_by_side(report: Report) -> list[Changed]:
    """The changed items whose answers are shown, each once, by the score that fell most; the table has the others."""
    once = {c.item: c for c in reversed(report.changed) if c.answers and abs(c.difference) >= WORTH_READING}
    return [c for c in report.changed if once.get(c.item) is c][:SHOWN]


def told(changed: Changed) -> str:
    """The item, the score that its answers are shown for, and both values."""
    score = SCORES.get(changed.metric, changed.metric)
    return f"{changed.item}, {score}: Ollama {changed.ollama:.2f}, vLLM {changed.vllm:.2f}"


def _sweep(found: Sweep) -> list[str]:
    said = (*sweep_words.said(found), *found.notes, sweep_words.measured_on(found))
    lines = "\n".join(f"- {_inline(line)}" for line in said)
    return ["## By number of users", lines, _table(report_sweep_table.table(found))]


def none_changed(report: Report) -> str:
    """The sentence in place of a table of changed items."""
    return f"None of the {report.scored} scored items changed."


def nothing_shown(report: Report) -> str:
    """The sentence in place of answers side by side."""
    if any(c.answers for c in report.changed):
        return f"No item changed by {100 * WORTH_READING:g} points or more."
    return "The raw file keeps the scores of the answers, not their text."


def _both(changed: Changed) -> str:
    assert changed.answers is not None
    ollama, vllm = map(_fenced, changed.answers)
    return f"### {_inline(told(changed))}\n\nOllama:\n\n{ollama}\n\nvLLM:\n\n{vllm}"


def _fenced(answer: str) -> str:
    """An answer as it is, in a fence longer than any that it holds."""
    longest = max((len(run) for run in re.findall(r"`+", answer)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{answer}\n{fence}"


def _table(table: Table) -> str:
    if not table:
        return ""
    lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head)]
    lines += ["| " + " | ".join(_inline(cell) for cell in row) + " |" for row in table.rows]
    return f"{table.caption}:\n\n" + "\n".join(lines)


def _inline(text: str) -> str:
    """Text from anywhere as one line of Markdown that can neither leave its cell nor be markup of a page."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
