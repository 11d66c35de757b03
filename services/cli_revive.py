"""`cutover revive`: the loop around one look, the ledger it writes to, and what it tells."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from services.cli_commands import Call, Result
from services.migration import acts
from services.migration.errors import StateError
from services.stack import compose, compose_revive
from services.stack.compose_revive import ACT, Bounds, Journal, Looked, Outcome, World

ACTOR = "revive"
STATE = "/var/lib/cutover/state"
"""Where the services' containers have the ledger (docker-compose.yml)."""

EVERY_S = 60
EXIT = {Outcome.GENERATES: 0, Outcome.RESTARTED: 0, Outcome.WAITS: 2, Outcome.GIVEN_UP: 1}


@dataclass(slots=True, kw_only=True)
class Here:
    """The ledger in this machine's CUTOVER_STATE_DIR."""

    state_dir: Path
    engine: str
    _last: int = field(default=0)

    def past(self) -> Sequence[float]:
        found = acts.past(self.state_dir, self.engine)
        self._last = max((e.seq for e in found), default=0)
        return moments([(e.act, e.at) for e in found])

    def write(self, reason: str, evidence: Mapping[str, Any]) -> None:
        acts.write(
            self.state_dir, self.engine, ACT, actor=ACTOR, reasons=(reason,), evidence=evidence, expected=self._last
        )


@dataclass(slots=True, kw_only=True)
class Inside:
    """The ledger in the volume of a compose stack, through a container that may write to it."""

    container: Any
    engine: str
    _last: int = field(default=0)

    def past(self) -> Sequence[float]:
        found = self._said()
        self._last = max((int(line["seq"]) for line in found), default=0)
        return moments([(line.get("act"), line["at"]) for line in found])

    def write(self, reason: str, evidence: Mapping[str, Any]) -> None:
        line = {"act": ACT, "actor": ACTOR, "reasons": [reason], "evidence": evidence, "expected": self._last}
        self._said(json.dumps(line))

    def _said(self, *line: str) -> list[Mapping[str, Any]]:
        code, output = self.container.exec_run(["python", "-P", "-m", "services.migration", self.engine, *line])
        text = output.decode("utf-8", "replace").strip()
        if code != 0:
            raise StateError(f"{self.container.name} does not do it to the ledger, so nothing is restarted: {text}")
        found: list[Mapping[str, Any]] = json.loads(text.splitlines()[-1])
        return found


def moments(found: Sequence[tuple[str | None, str]]) -> list[float]:
    """When our restarts were, in seconds since 1970."""
    return [datetime.fromisoformat(at).timestamp() for act, at in found if act == ACT]


def journal(client: Any, project: str, engine: str, state_dir: Path) -> Here | Inside:
    """The ledger of the stack that the containers are of; this machine's where none of them can write to one."""
    for container in compose.found(client, project):
        writes = any(m.get("Destination") == STATE and m.get("RW") for m in container.attrs.get("Mounts") or ())
        if writes and container.status == "running":
            return Inside(container=container, engine=engine)
    return Here(state_dir=state_dir, engine=engine)


def options(verb: argparse.ArgumentParser) -> None:
    bounds = Bounds()
    verb.add_argument("--container", default=compose_revive.ENGINE, metavar="NAME", help="default: %(default)s")
    verb.add_argument(
        "--per-hour",
        type=_count,
        default=bounds.per_hour,
        help="restarts within an hour, at most (default: %(default)s)",
    )
    verb.add_argument(
        "--deadline",
        type=_count,
        default=bounds.deadline_s,
        metavar="SECONDS",
        help="for one token (default: %(default)s)",
    )
    verb.add_argument(
        "--watch",
        nargs="?",
        type=_count,
        const=EVERY_S,
        metavar="SECONDS",
        help="look again and again, each minute or so",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 3600")
    return int(text)


def revive(call: Call) -> Result:
    """One look, or look after look until somebody interrupts."""
    if call.arguments.watch is None:
        looked = _looked(call)
        return Result(document=_document(call, looked), shown=[_line(call, looked)], code=EXIT[looked.outcome])
    watch(lambda: _looked(call), lambda looked: _tell(call, looked), call.arguments.watch)
    return Result(document=None)


def watch(
    look: Callable[[], Looked],
    tell: Callable[[Looked], None],
    every_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look until interrupted. A look that cannot be made is told and made again: Docker may be restarting itself."""
    last: tuple[str, str] | None = None
    while True:
        try:
            looked = look()
        except compose.NoEngine as exc:
            looked = Looked(outcome=Outcome.WAITS, why=str(exc))
        if (looked.outcome, looked.why) != last:
            tell(looked)
        last = (looked.outcome, looked.why)
        try:
            sleep(every_s)
        except KeyboardInterrupt:
            return  # how a watch ends


def _looked(call: Call) -> Looked:
    where, name = compose.place(call.env), call.arguments.container
    project = where.project if where else ""

    def book(client: Any) -> Journal:
        return journal(client, project, name, call.settings.state_dir)

    bounds = Bounds(per_hour=call.arguments.per_hour, deadline_s=call.arguments.deadline)
    return compose_revive.revive(where, book, bounds, service=name, world=World())


def _document(call: Call, looked: Looked) -> dict[str, Any]:
    return {"container": call.arguments.container, "outcome": str(looked.outcome), "why": looked.why}


def _line(call: Call, looked: Looked) -> Text:
    return Text(f"{call.arguments.container} {str(looked.outcome).replace('_', ' ')}: {looked.why}")


def _tell(call: Call, looked: Looked) -> None:
    if call.arguments.json:
        print(json.dumps(_document(call, looked)), flush=True)
    else:
        call.display.console.print(_line(call, looked))
