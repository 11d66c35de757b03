"""Renders the report as one HTML page that needs neither a network nor a script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services.migration import report_figures as figures
from services.migration import report_memory, report_sweep_table, sweep_words
from services.migration import report_sweep as swept
from services.migration import report_tables as tables
from services.migration.report_data import Report
from services.migration.report_forest import forest
from services.migration.report_plots import Plot
from services.migration.report_text import BROKEN, none_changed, nothing_shown, side_by_side, told
from services.migration.report_words import advice, plain

TEMPLATES = Path(__file__).with_name("templates")
ONE_LINE = 32
"""Characters of code that fit across a phone."""

UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def page(report: Report) -> str:
    """The page. Whatever engines or people said in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_showable,
    )  # fmt: skip
    environment.filters["code"] = _code
    return environment.get_template("report.html").render(_context(report))


def _context(report: Report) -> dict[str, Any]:
    verdict = report.verdict
    return {
        "report": report,
        "verdict": verdict,
        "broken": BROKEN,
        "advice": advice(verdict) if verdict else "",
        "reasons": [plain(reason, verdict.metrics) for reason in verdict.reasons] if verdict else [],
        "forest": _inline(forest(verdict.metrics) if verdict else None),
        "rounds": _inline(figures.rounds(report.rounds, verdict)),
        "curves": [_inline(p) for p in figures.curves(report.curves)],
        "levels": [_inline(p) for p in figures.levels(report.levels)],
        "canary": _inline(figures.canary(report.canary)),
        "memory": report_memory.tables(report.memory) if report.memory else (),
        "memory_says": report_memory.sentences(report.memory) if report.memory else (),
        "sweep": report.sweep,
        "sweep_plots": [_inline(p) for p in swept.figures(report.sweep)],
        "sweep_keys": swept.keys(report.sweep),
        "sweep_table": report_sweep_table.table(report.sweep) if report.sweep else None,
        "sweep_words": sweep_words,
        "tables": tables,
        "shown": side_by_side(report),
        "told": told,
        "nothing_shown": nothing_shown(report),
        "none_changed": none_changed(report),
    }


def _inline(plot: Plot | None) -> dict[str, Any] | None:
    """A plot for the template; the SVG is ours and goes in as it is."""
    if plot is None:
        return None
    return {"name": plot.name, "title": plot.title, "svg": Markup(plot.svg), "narrow": Markup(plot.narrow)}


def _showable(value: object) -> object:
    """Without the control characters that no page may hold."""
    return UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


def _code(text: str) -> Markup:
    """Words between backticks as code, everything escaped; a short command stays on one line."""
    return Markup(re.sub(r"`([^`]+)`", _command, str(escape(_showable(text)))))


def _command(found: re.Match[str]) -> str:
    short = ' class="short"' if len(found[1]) <= ONE_LINE else ""
    return f"<code{short}>{found[1]}</code>"
