"""`cutover faults --engines`: the real vLLM is killed under load, again and again, and nobody's request is lost."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.faults import kills as room
from services.faults.app import client_of
from services.settings import Settings
from services.stack import local
from services.stack.errors import StackError
from services.stack.local import Progress

STEP = "faults engines"


def arguments(verb: argparse.ArgumentParser) -> None:
    """The options of this mode."""
    verb.add_argument("--engines", action="store_true", help="kill the real vLLM under load instead")
    verb.add_argument("--kills", type=int, default=3, choices=range(1, 101), metavar="N", help="how often (default: 3)")
    verb.add_argument("--workers", type=int, default=room.WORKERS, help="requests at a time (default: %(default)s)")


@dataclass(frozen=True, slots=True)
class OurVLLM:
    """The vLLM of this CUTOVER_HOME, by its record."""

    settings: Settings
    progress: Progress
    env: Mapping[str, str]

    def kill(self) -> None:
        """SIGKILL to its whole process group, EngineCore included."""
        os.killpg(local.snapshot(self.settings)[room.KILLED].pid, signal.SIGKILL)

    def start(self) -> None:
        local.start_engine(self.settings, "vllm", self.progress, env=self.env)


def kills(call: Call) -> Result:
    """Exit 1 where a request failed. Engines that were not up are brought up and stopped again."""
    settings = call.settings
    if settings.vllm_is_given:
        raise StackError("VLLM_URL names a vLLM that Cutover did not start, so it is not ours to kill; unset it")
    before = {name for name, state in local.snapshot(settings).items() if state.alive}
    try:
        local.up(settings, call.display, env=call.env, services=())
        document, taken = asyncio.run(_drilled(call))
    except room.DrillError as exc:
        raise StackError(str(exc)) from exc
    finally:
        for name in local.ENGINES:
            if name not in before:
                local.stop_engine(settings, name, call.display)
    return Result(document=document, shown=[_table(taken), _summary(document)], code=1 if document["failed"] else 0)


async def _drilled(call: Call) -> tuple[dict[str, Any], list[room.Kill]]:
    alias = next(iter(call.settings.aliases.values()))
    engine = OurVLLM(call.settings, call.display, call.env)
    call.display.begin(STEP, f"{call.arguments.kills} kills, {call.arguments.workers} requests at a time")
    async with client_of(call.settings, alias) as client:
        load, taken = await room.drill(
            client,
            alias,
            engine,
            kills=call.arguments.kills,
            workers=call.arguments.workers,
            say=lambda line: call.display.note(STEP, line),
        )
    call.display.end(STEP, f"{len(load.answered)} answered, {len(load.failed)} failed")
    return {**room.document(load, taken), "load": round(os.getloadavg()[0], 2)}, taken


def _table(taken: list[room.Kill]) -> Table:
    table = Table(header_style="bold")
    for column in ("kill", "first fallback answer after", "back after it generates", "answered since"):
        table.add_column(column)
    for number, kill in enumerate(taken, 1):
        table.add_row(str(number), f"{kill.fallback_s:.2f} s", f"{kill.back_s:.2f} s", str(kill.answered))
    return table


def _summary(document: Mapping[str, Any]) -> Text:
    by = ", ".join(f"{name} {count}" for name, count in document["by_provider"].items())
    said = f"{document['answered']} answered ({by}), {document['rescued']} restarted, {document['failed']} failed"
    return Text(said, style="red" if document["failed"] else "green")
