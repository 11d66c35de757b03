"""`cutover report --live`: what Grafana would show, as one page, from a Prometheus that runs."""

from __future__ import annotations

import argparse
import time

from rich.text import Text

from services.cli_commands import Call, Result, write_report
from services.migration.rollout import write_aside

MINUTES = 60.0
PROMETHEUS = "http://127.0.0.1:9090"


def options(verb: argparse.ArgumentParser) -> None:
    """What `report` takes besides a service."""
    verb.add_argument("--live", action="store_true", help="one page of all boards, from a Prometheus that runs")
    verb.add_argument("--prometheus", metavar="URL", default=PROMETHEUS, help="where it is (default: %(default)s)")
    verb.add_argument("--minutes", type=_minutes, default=MINUTES, help="how far back (default: %(default)g)")


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack; None where they are enough."""
    return None if arguments.live or arguments.service else "report needs a service, or --live"


def report(call: Call) -> Result:
    """The report of a service, or the page of all boards."""
    if not call.arguments.live:
        return write_report(call)
    from services.monitor import live, live_page  # here, because their plots cost every other command a second

    url, path = call.arguments.prometheus, call.settings.state_dir / "reports" / "live.html"
    call.display.begin("live", url)
    found = live.collect(url.rstrip("/"), now=time.time(), minutes=call.arguments.minutes)
    panels = [shown for group in found.groups for shown in group.panels]
    write_aside(path, live_page.page(found))
    empty = sorted({shown.panel.title for shown in panels if not shown.series})
    call.display.end("live", f"{len(panels)} panels, {len(empty)} kinds of them without data")
    return Result(document={"live": str(path), "panels": len(panels), "empty": empty}, shown=[Text(str(path))])


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 1 <= value <= 60 * 24 * 35:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes from 1 to 50400")
