"""The verbs about containers: `switch`, and `up` and `down`, which choose between containers and processes."""

from __future__ import annotations

import argparse
import functools

from rich.text import Text

from services import cli_commands as commands
from services.cli_commands import Call, Result
from services.settings import Pin
from services.stack import compose, compose_switch, compose_up, local
from services.stack.compose_up import Choice, Found, Mode

WHERE = "as processes of this machine, in containers, or by what is there (default: %(default)s)"


def options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--where", type=Mode, choices=list(Mode), default=Mode.LOCAL, help=WHERE)


def switch_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("provider", type=Pin, choices=list(Pin), help="`auto` gives it back to its stage")


def up(call: Call) -> Result:
    choice = compose_up.for_up(call.arguments.where, _found(call))
    _say(call, "up", choice)
    if choice.mode is Mode.LOCAL:
        return commands.up(call)
    told = functools.partial(compose_switch.run, tell=functools.partial(call.display.note, "up"))
    compose_up.up(call.env, run=told)
    call.display.end("up")
    return Result(document={"up": _names(call)}, shown=[Text("up; `cutover status` shows it")])


def down(call: Call) -> Result:
    """Processes in any case: whoever asks for down wants nothing left."""
    choice = compose_up.for_down(call.arguments.where, _found(call))
    _say(call, "down", choice)
    ended = compose_up.down(compose.place(call.env), call.env) if choice.mode is Mode.COMPOSE else []
    result = commands.down(call)
    if not ended:
        return result
    stopped = [*ended, *local.snapshot(call.settings)]
    said = Text(f"containers ended, volumes kept: {', '.join(ended)}")
    return Result(document={"stopped": stopped}, shown=[said, *result.shown])


def switch(call: Call) -> Result:
    """One service by its own line, its container made anew, no other touched."""
    service, provider = call.arguments.service, call.arguments.provider
    step = f"switch {service}"
    call.display.begin(step, f"to {provider}")
    files = compose_switch.switch(compose.place(call.env), service, provider, call.env)
    call.display.end(step)
    said = Text(f"{service}: {provider}, by its line in {files.env_file}; no other container was touched")
    document = {"service": service, "provider": str(provider), "file": str(files.env_file)}
    return Result(document=document, shown=[said])


def _found(call: Call) -> Found:
    """Nothing is asked where the answer is given."""
    if call.arguments.where is not Mode.AUTO:
        return Found(containers=None, has_secrets=False, processes=0)
    return compose_up.find(compose.place(call.env), call.env, len(local.snapshot(call.settings)))


def _say(call: Call, step: str, choice: Choice) -> None:
    if call.arguments.where is Mode.AUTO:
        call.display.begin(step, f"{choice.mode}: {choice.why}")


def _names(call: Call) -> list[str]:
    where = compose.place(call.env)
    with compose.engine(where) as client:
        return [compose.name(c.attrs) for c in compose.found(client, where.project if where else "")]
