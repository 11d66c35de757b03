"""A sweep as a table of the report: every level of every contender. Without plots, so that Markdown needs none."""

from __future__ import annotations

from services.migration import sweep_words as words
from services.migration.report_tables import Table
from services.migration.sweep import Sweep


def table(found: Sweep) -> Table:
    """Every level of every contender."""
    rows = [
        (
            words.label(c), f"{x.users}{' (knee)' if c.knee.users == x.users else ''}",
            *words.cells(found, c, x.users, apart=" "), f"{x.failed} of {x.requests}",
        )
        for c in found.curves
        for x in c.levels
    ]  # fmt: skip
    caption = f"{found.rounds} rounds; behind each value its bounds, each one-sided at 95 %, by resampling whole rounds"
    return Table(caption=caption, head=("engine", "users", *words.heads(found), "failed"), rows=tuple(rows))
