"""Renders the live page: one HTML file without script or network, its plots in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.migration.report_html import TEMPLATES as REPORT_TEMPLATES
from services.monitor.live import Live, Shown
from services.monitor.live_plots import plot, styles, written
from services.monitor.panels import Kind

TEMPLATES = Path(__file__).with_name("templates")
WIDE_FROM = 12
STROKES = {"-": "", "--": "5 3", ":": "1 3", "-.": "6 2 1 2"}


def page(live: Live) -> str:
    """The page. Names that came from Prometheus are escaped."""
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, REPORT_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [
        {
            "id": f"b{number}",
            "title": group.title.removeprefix("Cutover "),
            "says": group.board.says,
            "panels": [_panel(f"b{number}p{i}", shown, live) for i, shown in enumerate(group.panels)],
        }
        for number, group in enumerate(live.groups)
    ]
    return environment.get_template("live.html").render(
        groups=groups, source=live.source, start=_time(live.start), end=_time(live.end)
    )


def _panel(name: str, shown: Shown, live: Live) -> dict[str, Any]:
    panel = shown.panel
    drawn = shown.series and panel.kind in (Kind.LINES, Kind.STATES, Kind.HEAT)
    picture = plot(name, shown, start=live.start, end=live.end) if drawn else None
    rows = [] if panel.kind in (Kind.HEAT, Kind.STATES) else _rows(shown)
    return {
        "title": panel.title,
        "says": panel.says,
        "svg": Markup(picture.svg) if picture else None,
        "rows": rows,
        "more": shown.more,
        "empty": not shown.series,
        "need": str(panel.need),
        "keyed": panel.kind is Kind.LINES,
        "wide": panel.kind is Kind.TABLE and len(rows) > WIDE_FROM,
    }


def _rows(shown: Shown) -> list[dict[str, str]]:
    return [
        {
            "name": series.name,
            "value": written(series.last, shown.panel.unit),
            "colour": own,
            "stroke": STROKES[stroke],
        }
        for series, (own, stroke) in zip(shown.series, styles(shown.series), strict=True)
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
