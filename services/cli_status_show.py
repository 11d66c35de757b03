"""What `cutover status` shows within 80 columns: services, engines, who is at work, what is wrong. And its watch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services import cli_status_containers
from services.cli_show import OUTCOME_STYLES, Display
from services.cli_status import collect
from services.cli_status_times import Window
from services.settings import Settings

NOTHING = "-"


def watch(
    settings: Settings,
    display: Display,
    every_s: float,
    *,
    as_json: bool,
    env: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look and show every `every_s` seconds until somebody interrupts; one JSON object a line for machines."""
    window = Window(clock)
    try:
        while True:
            document = asyncio.run(collect(settings, window, env=env))
            if as_json:
                print(json.dumps(document, default=str), flush=True)
            else:
                now = datetime.now().astimezone().strftime("%H:%M:%S")
                display.picture(
                    Group(status(document), Text(f"at {now}, each {every_s:g} s; Ctrl-C ends", style="dim"))
                )
            sleep(every_s)
    except KeyboardInterrupt:
        return  # how a watch ends; the last picture stays


def status(document: Mapping[str, Any]) -> RenderableType:
    """The whole picture."""
    at_work = [_at_work(row) for row in document["at_work"]] or [Text("nobody is at work", style="dim")]
    problems = [Text(f"! {p}", style="yellow") for p in document["problems"]]
    containers = cli_status_containers.shown(document["containers"])
    rows = (Text(""), _services(document["services"]), Text(""), _engines(document), Text(""), *containers)
    return Group(*rows, *at_work, *problems)


def _table(columns: Mapping[str, str], *, folds: str = "") -> Table:
    """`columns` maps heads to how they are justified; only the column `folds` gives way where there is no room."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head, justify in columns.items():
        align: Any = justify
        table.add_column(head, justify=align, overflow="fold", no_wrap=head != folds)
    return table


def _services(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    words = dict.fromkeys(("service", "stage", "share", "answers", "verdict"), "left")
    counts = dict.fromkeys(("in\nflight", "fell back\nin 5 min"), "right")
    table = _table({**words, "share": "right", **counts, "breaker": "left"}, folds="stage")
    for name, row in rows.items():
        breaker = Text(f"{', '.join(row['open_breakers'])} open", style="red") if row["open_breakers"] else "closed"
        table.add_row(
            name,
            f"{row['stage']}{' (demo)' if row['demo'] else ''}",
            f"{row['share']:.0%}",
            row["provider"] if row["up"] else Text("down", style="red"),
            Text(row["verdict"] or NOTHING, style=OUTCOME_STYLES.get(row["verdict"] or "", "")),
            _count(row["in_flight"]),
            _count(row["fallbacks_5m"], bad=True),
            breaker if row["up"] else NOTHING,
        )
    return table


def _engines(document: Mapping[str, Any]) -> Table:
    words = dict.fromkeys(("engine", "state", "version", "model"), "left")
    numbers = dict.fromkeys(("in\nflight", "queue", "TTFT\np50", "\np95", _over(document)), "right")
    table = _table({**words, **numbers}, folds="model")
    rows = {**document["engines"], **{p: None for p in document["providers"] if p not in document["engines"]}}
    for name, engine in rows.items():
        seen = document["providers"].get(name)
        first = seen["first_token"] if seen else {"p50_s": None, "p95_s": None, "streams": 0}
        table.add_row(
            name,
            _state(engine, seen),
            (engine or {}).get("version") or NOTHING,
            ((engine or {}).get("model") or NOTHING).removesuffix(":latest"),
            _count(seen["in_flight"] if seen else None),
            _count(seen["queued"] if seen else None, bad=True),
            _seconds(first["p50_s"]),
            _seconds(first["p95_s"]),
            str(first["streams"]),
        )
    return table


def _over(document: Mapping[str, Any]) -> str:
    """Head of the column that says of how many streams the times are."""
    over_s = document["first_token_over_s"]
    return "streams\nso far" if over_s is None else f"streams\nin {over_s / 60:.0f} min"


def _state(engine: Mapping[str, Any] | None, seen: Mapping[str, Any] | None) -> Text:
    if engine is not None and not engine["up"]:
        return Text("down", style="red")
    if seen and seen["open_for"]:
        return Text("breaker\nopen", style="red")
    return Text("up", style="green") if engine is not None else Text("outside", style="dim")


def _at_work(row: Mapping[str, Any]) -> Text:
    since = f" since {row['since']}" if row["since"] else ""
    service = f" {row['service']}" if row["service"] else ""
    return Text(f"at work: {row['verb']}{service}, pid {row['pid']}{since}", style="cyan")


def _count(value: int | None, *, bad: bool = False) -> Text:
    return Text(NOTHING if value is None else str(value), style="yellow" if bad and value else "")


def _seconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
