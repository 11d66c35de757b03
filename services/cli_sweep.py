"""`cutover bench SERVICE --sweep`: throughput and waiting time by users, for vLLM and each setting of Ollama."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result, recipe, rounds_on
from services.cli_numbers import positive, seconds
from services.migration import sweep, sweep_run
from services.migration import sweep_words as words
from services.migration.errors import GateError
from services.migration.rollout import gate_lock
from services.migration.sweep import Sweep
from services.migration.sweep_run import Memory, Place, Wish
from services.settings import Settings
from services.stack.memory import resident, tree
from services.stack.processes import Processes
from services.stack.trial import Trial, trials

USERS, PARALLEL = (1, 2, 4, 8, 16), (1, 2, 4)
ROUNDS, BLOCK_S = 3, 10.0
BOUND_WIDTH = 9
"""Columns that `0.24–0.67` takes: narrower, it would be broken in two."""


def options(verb: argparse.ArgumentParser) -> None:
    """What the sweep adds to `bench`."""
    group = verb.add_argument_group("--sweep")
    group.add_argument("--sweep", action="store_true", help="throughput and waiting time by users, both engines")
    group.add_argument("--from", dest="raw", metavar="RAW", help="compute a sweep's raw file again, measure nothing")
    group.add_argument("--users", type=_numbers, default=USERS, metavar="N,N", help="levels (default: 1,2,4,8,16)")
    group.add_argument(
        "--parallel", type=_numbers, metavar="N,N", help="Ollama's NUM_PARALLEL (default: 1,2,4, or those of --ollama)"
    )
    group.add_argument(
        "--ollama", type=_given, action="append", default=[], metavar="N=URL",
        help="an Ollama that runs already with NUM_PARALLEL=N; repeatable",
    )  # fmt: skip
    group.add_argument("--rounds", type=positive, default=ROUNDS, help="of every block (default: %(default)s)")
    group.add_argument("--block-s", type=seconds, default=BLOCK_S, help="s, no request after (default: %(default)g)")
    group.add_argument("--seed", type=int, default=1, help="draws every order (default: %(default)s)")


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments of a sweep contradict, for a usage error."""
    left = sorted({n for n, _ in arguments.ollama} - set(arguments.parallel or ())) if arguments.parallel else []
    return f"--ollama names NUM_PARALLEL {left[0]}, which --parallel leaves out" if left else None


def _numbers(text: str) -> tuple[int, ...]:
    """Different positive numbers, in rising order."""
    found = sorted(map(positive, text.split(",")))
    if len(set(found)) < len(found) or found[-1] > 256:
        raise argparse.ArgumentTypeError(f"{text!r} must be different whole numbers from 1 to 256, as in 1,2,4")
    return tuple(found)


def _given(text: str) -> tuple[int, str]:
    number, _, url = text.partition("=")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not N=URL, as in 4=http://127.0.0.1:11444")
    return positive(number), url.rstrip("/").removesuffix("/v1")


def measured(call: Call) -> Result:
    """Measure, keep the result for the report, show it."""
    arguments, settings = call.arguments, call.settings
    service, step = arguments.service, f"sweep {arguments.service}"
    given = dict(arguments.ollama)
    parallel = arguments.parallel or tuple(sorted(given)) or PARALLEL
    wish = Wish(users=arguments.users, rounds=arguments.rounds, seed=arguments.seed, block_s=arguments.block_s)
    blocks = (len(parallel) + 1) * len(wish.users) * wish.rounds
    with gate_lock(settings.state_dir, service=service, verb=f"bench {service} --sweep"):
        call.display.begin(step, f"{blocks} blocks of about {wish.block_s:g} s; only one engine has load at a time")
        with trials(settings, service, call.display, env=call.env, parallel=parallel, given=given) as found:
            raw = asyncio.run(
                sweep_run.sweep(
                    settings, service, recipe(service), call.token(), [_place(t) for t in found], wish,
                    on_progress=rounds_on(call.display, step), memory=_resident(settings, found),
                )
            )  # fmt: skip
    call.display.end(step, str(raw))
    return _result(call, raw, save=True)


def computed(call: Call) -> Result:
    """The result of a raw file, again; the report keeps the one that was measured last."""
    return _result(call, Path(call.arguments.raw), save=False)


def _place(found: Trial) -> Place:
    return Place(
        name=found.name, engine=found.engine, engine_url=found.engine_url, service_url=found.service_url,
        parallel=found.parallel,
    )  # fmt: skip


def _resident(settings: Settings, found: Sequence[Trial]) -> Memory:
    """RSS in bytes of the engine of a contender, None where it cannot be seen from here."""
    trees = {t.name: (t.engine, tree(Processes(home=settings.home), t.engine, t.engine_url)) for t in found}

    def read(contender: str) -> int | None:
        engine, processes = trees[contender]
        return resident(engine, processes, at=time.time()).bytes

    return read


def _result(call: Call, raw: Path, *, save: bool) -> Result:
    found = sweep.analysed(sweep.read(raw))
    if found.service != call.arguments.service:
        raise GateError(f"{raw} is a sweep of {found.service}, not of {call.arguments.service}")
    if save:
        sweep.save(call.settings.state_dir, found)
    return Result(document=sweep.document(found), shown=shown(found, raw))


def shown(found: Sweep, raw: Path) -> Sequence[RenderableType]:
    """The table, what it means, and on what machine it was measured."""
    return [
        Text(
            f"{found.service} by users, {found.rounds} rounds, bounds one-sided at 95 %, * marks a knee", style="bold"
        ),
        table(found),
        *map(Text, words.said(found)),
        *(Text(f"note: {note}", style="yellow") for note in found.notes),
        Text(words.measured_on(found)),
        Text(f"again: cutover bench {found.service} --from {raw}"),
    ]


def table(found: Sweep) -> Table:
    """A row for each contender and level, bounds under their value; `failed` where any request did."""
    made = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    made.padding = 0  # the box parts the columns by a blank already
    made.add_column("engine", no_wrap=True)
    any_failed = any(level.failed for curve in found.curves for level in curve.levels)
    for head in ("users", *words.heads(found), *(("failed",) if any_failed else ())):
        made.add_column(
            head, justify="right", overflow="fold", min_width=5 if head in ("users", "failed") else BOUND_WIDTH
        )
    for curve in found.curves:
        for level in curve.levels:
            mark = "*" if curve.knee.users == level.users else " "
            cells = words.cells(found, curve, level.users, apart="\n")
            failed = (f"{level.failed}/{level.requests}",) if any_failed else ()
            made.add_row(curve.name, f"{level.users}{mark}", *cells, *failed)
        made.add_section()
    return made
