"""The containers in `cutover status`: looked at beside the engines, shown within 80 columns, secrets left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.recording.redaction import Redactor, TooMuch
from services.recording.rules import RULES
from services.stack import compose, compose_state

HIDDEN = frozenset({"KEY", "URL", "JWT", "SECRET", "EMAIL"})
"""Of the recording's rules those that open something. Numbers, addresses and times are what a log is read for."""

IMAGE_CHARS = 24
"""What 80 columns leave."""

MIB, GIB = 2**20, 2**30
STYLES = {"healthy": "green", "running": "green", "starting": "yellow", "restarting": "red", "unhealthy": "red"}


def look(env: Mapping[str, str], problems: list[str]) -> dict[str, dict[str, Any]]:
    """`containers` of the status document; empty without Docker or without a project of ours."""
    try:
        return compose_state.look(compose.place(env), hider(), clock=time.time)
    except compose.NoEngine as exc:
        problems.append(str(exc))
        return {}


def hider() -> Callable[[str], str]:
    """Takes secrets of every known shape out of a line."""
    redactor = Redactor(rules=[rule for rule in RULES if rule.label in HIDDEN])

    def hide(line: str) -> str:
        try:
            return redactor.text(line)
        except TooMuch:
            return "(a line too long to look for secrets in it)"

    return hide


def shown(rows: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """The table, and below it the last words of those that failed. Nothing where there are no containers."""
    if not rows:
        return []
    failures = [line for name, row in rows.items() for line in _failure(name, row)]
    return [_table(rows), Text(""), *failures]


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("container", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for head in ("restarts", "up", "memory"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("image", overflow="ellipsis", no_wrap=True, max_width=IMAGE_CHARS)
    for name, row in rows.items():
        restarts = Text(str(row["restarts"]), style="yellow" if row["restarts"] else "")
        table.add_row(name, state(row), restarts, age(row["uptime_s"]), size(row["memory_bytes"]), image(row))
    return table


def image(row: Mapping[str, Any]) -> str:
    """Without its registry and folder, of which there is no doubt."""
    return str(row["image"]).rpartition("/")[2]


def state(row: Mapping[str, Any]) -> Text:
    """Its health where Docker checks it, else what Docker calls its status."""
    if row["status"] == "running":
        word = row["health"] or "running"
        return Text(word, style=STYLES.get(word, ""))
    if row["status"] == "exited":
        return Text("ended", style="dim") if row["exit_code"] == 0 else Text(f"ended: {row['exit_code']}", style="red")
    return Text(row["status"], style=STYLES.get(row["status"], "yellow"))


def age(seconds: float | None) -> str:
    """`42 s`, `12 m`, `3.5 h`, `12 d`."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} m"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def size(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / MIB:.0f} MiB" if count < GIB else f"{count / GIB:.1f} GiB"


def _failure(name: str, row: Mapping[str, Any]) -> Sequence[Text]:
    why = [part for part in (row["complaint"], "out of memory" if row["out_of_memory"] else "") if part]
    if not row["last_failure"] and not why:
        return []
    head = Text(f"{name}: {'; '.join(why)}" if why else f"{name}, the last words before it failed:", style="yellow")
    return [head, *(Text(f"  {line}", style="dim") for line in row["last_failure"])]
