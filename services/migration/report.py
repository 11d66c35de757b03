"""Writes the report of one service's migration: a page, Markdown and JSON, all from one object."""

from __future__ import annotations

from pathlib import Path

from services.migration import report_data, report_text
from services.migration.errors import StateError
from services.migration.rollout import write_aside


def write(state_dir: Path, service: str, *, prices: Path | None = None) -> Path:
    """Render the report from what lies in the state folder. Gives the Markdown; `.html` and `.json` lie beside it.

    `prices` is a price table of one's own, by default ours.

    Each file is whole or not written, and none is written unless all could be rendered. Raises `StateError`.
    """
    from services.migration import report_html  # here, because its plots cost every other command a second

    found = report_data.collect(state_dir, service, prices)
    path = state_dir / "reports" / f"{service}.md"
    forms = {
        path.with_suffix(".json"): report_text.as_json(found),
        path: report_text.markdown(found),
        path.with_suffix(".html"): report_html.page(found),
    }
    try:
        for place, text in forms.items():
            write_aside(place, text)
    except StateError as exc:
        raise StateError(
            f"{exc}; verdict and ledger are untouched. Free space or make {path.parent} writable, then "
            f"`cutover report {service}`"
        ) from exc
    return path
