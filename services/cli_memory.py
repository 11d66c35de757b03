"""`cutover bench SERVICE --memory`: what each engine takes, idle and under load, beside what that buys."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result, recipe, rounds_on
from services.migration import memory_document, memory_load
from services.migration.memory_document import Memory
from services.migration.memory_words import ratio_rows, settings_rows, taken_rows, told, unknown
from services.stack.memory import Sampler

SECONDS, IN_FLIGHT = 60, 2
LONGEST_S = 3600


def options(verb: argparse.ArgumentParser) -> None:
    """What measuring memory adds to `bench`."""
    verb.add_argument(
        "--memory", action="store_true", help="measure what each engine takes, idle and under load, and what it buys"
    )
    verb.add_argument(
        "--seconds", type=_seconds, default=SECONDS, metavar="S",
        help="with --memory: length of the load, both engines' turns together (default: %(default)s)",
    )  # fmt: skip


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 6 <= int(text) <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds from 6 to {LONGEST_S}")
    return int(text)


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    if arguments.sweep or arguments.raw:
        return "--memory measures alone; run --sweep and --from by themselves"
    return None


def memory(call: Call) -> Result:
    """Load both engines in turn, and show and keep what they took."""
    service = call.arguments.service
    step = f"memory {service}"
    call.display.begin(step, f"{call.arguments.seconds} s, {IN_FLIGHT} in flight")
    found = asyncio.run(
        memory_load.measured(
            call.settings, service, recipe(service), call.token(), Sampler(settings=call.settings),
            memory_load.Turns(seconds=call.arguments.seconds, in_flight=IN_FLIGHT),
            on_progress=rounds_on(call.display, step),
        )
    )  # fmt: skip
    where = memory_document.path(call.settings.state_dir, service)
    call.display.end(step, str(where))
    return Result(document=memory_document.document(found), shown=shown(found), code=1 if found.sampling.problem else 0)


def shown(found: Memory) -> Sequence[RenderableType]:
    """Load and versions, the tables, what could not be known, and what the numbers mean."""
    return [
        *map(Text, told(found)),
        _table("What each engine took", ("", "engine", "idle", "under load", "peak", "samples"), taken_rows(found)),
        _table("What it buys, side by side", ("", "Ollama", "vLLM", "vLLM / Ollama"), ratio_rows(found)),
        _table("Settings that decide it, as the processes were started", ("engine", "settings"), settings_rows(found)),
        *(Text(f"- not known: {line}") for line in unknown(found)),
        *(Text(f"- {line}") for line in found.says),
    ]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*map(str, row))
    return table
