"""`cutover bench SERVICE --sweep`: throughput and waiting time by users, for vLLM and each setting of Ollama."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result, recipe, rounds_on
from services.migration import sweep, sweep_run
from services.migration.errors import GateError
from services.migration.report_words import number
from services.migration.rollout import gate_lock
from services.migration.sweep import Curve, Estimate, Level, Sweep
from services.migration.sweep_pays import Pays
from services.migration.sweep_run import Place, Wish
from services.stack.trial import Trial, trials

USERS, PARALLEL = (1, 2, 4, 8, 16), (1, 2, 4)
ROUNDS, BLOCK_S = 3, 10.0
MIB = 2**20


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
    group.add_argument("--rounds", type=_positive, default=ROUNDS, help="of every block (default: %(default)s)")
    group.add_argument("--block-s", type=_seconds, default=BLOCK_S, help="s, no request after (default: %(default)g)")
    group.add_argument("--seed", type=int, default=1, help="draws every order (default: %(default)s)")


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments of a sweep contradict, for a usage error."""
    left = sorted({n for n, _ in arguments.ollama} - set(arguments.parallel or ())) if arguments.parallel else []
    return f"--ollama names NUM_PARALLEL {left[0]}, which --parallel leaves out" if left else None


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    """Different positive numbers, in rising order."""
    found = sorted(map(_positive, text.split(",")))
    if len(set(found)) < len(found) or found[-1] > 256:
        raise argparse.ArgumentTypeError(f"{text!r} must be different whole numbers from 1 to 256, as in 1,2,4")
    return tuple(found)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:  # also refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 3600")
    return value


def _given(text: str) -> tuple[int, str]:
    number, _, url = text.partition("=")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not N=URL, as in 4=http://127.0.0.1:11444")
    return _positive(number), url.rstrip("/").removesuffix("/v1")


def measured(call: Call) -> Result:
    """Measure, keep the result for the report, show it."""
    arguments, settings = call.arguments, call.settings
    service, step = arguments.service, f"sweep {arguments.service}"
    given = dict(arguments.ollama)
    parallel = arguments.parallel or tuple(sorted(given)) or PARALLEL
    wish = Wish(users=arguments.users, rounds=arguments.rounds, seed=arguments.seed, block_s=arguments.block_s)
    blocks = (len(parallel) + 1) * len(wish.users) * wish.rounds
    with gate_lock(settings.state_dir, service=service):
        call.display.begin(step, f"{blocks} blocks of about {wish.block_s:g} s; only one engine has load at a time")
        with trials(settings, service, call.display, env=call.env, parallel=parallel, given=given) as found:
            raw = asyncio.run(
                sweep_run.sweep(
                    settings, service, recipe(service), call.token(), [_place(t) for t in found], wish,
                    on_progress=rounds_on(call.display, step),
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


def _result(call: Call, raw: Path, *, save: bool) -> Result:
    found = sweep.analysed(sweep.read(raw))
    if found.service != call.arguments.service:
        raise GateError(f"{raw} is a sweep of {found.service}, not of {call.arguments.service}")
    if save:
        sweep.save(call.settings.state_dir, found)
    return Result(document=sweep.document(found), shown=shown(found, raw))


def shown(found: Sweep, raw: Path) -> Sequence[RenderableType]:
    """The table, what it means, and on what machine it was measured."""
    said = [pays_line(found.throughput), pays_line(found.wait), *map(knee_line, found.curves)]
    said += [line for curve in found.curves if (line := memory_line(curve))]
    return [
        Text(f"{found.service} by users, {found.rounds} rounds, 95 % one-sided bounds", style="bold"),
        table(found),
        *map(Text, said),
        *(Text(f"note: {note}", style="yellow") for note in found.notes),
        Text(f"load {found.load_low:.2f} to {found.load_high:.2f} on {os.cpu_count()} cores; {_versions(found)}"),
        Text(f"again: cutover bench {found.service} --from {raw}"),
    ]


def table(found: Sweep) -> Table:
    """A row for each contender and level, bounds under their value; * marks the knee."""
    made = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    made.padding = (0, 1, 0, 0)
    first = ["first\ntoken, s", "its slow-\nest 5 %"] if found.stream else []
    heads = [
        "engine",
        "users",
        "answers\na second",
        "tokens\na second",
        *first,
        "whole\nanswer, s",
        "its slow-\nest 5 %",
    ]
    for column in (*heads, "failed"):
        made.add_column(column, justify="left" if column == "engine" else "right", no_wrap=True)
    for curve in found.curves:
        for level in curve.levels:
            made.add_row(*_row(found, curve, level))
        made.add_section()
    return made


def _row(found: Sweep, curve: Curve, level: Level) -> list[str]:
    mark = " *" if curve.knee.users == level.users else ""
    first = [_bounded(level.ttft_p50), _bounded(level.ttft_p95)] if found.stream else []
    values = [_bounded(e) for e in (level.requests_per_s, level.tokens_per_s)]
    answer = [_bounded(e) for e in (level.e2e_p50, level.e2e_p95)]
    return [curve.name, f"{level.users}{mark}", *values, *first, *answer, f"{level.failed}/{level.requests}"]


def _bounded(found: Estimate) -> str:
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)}\n{number(found.low)}–{number(found.high)}"


def pays_line(found: Pays) -> str:
    if found.users is None:
        return f"{found.quantity}: vLLM's lead is {found.why}"
    return f"{found.quantity}: vLLM is better from {found.users} users on ({found.why})"


def knee_line(curve: Curve) -> str:
    knee = curve.knee
    between = f" (could be {knee.low} to {knee.high})" if knee.low != knee.high else ""
    return f"knee of {curve.name}: {knee.users or 'none'}{between}: {knee.why}"


def memory_line(curve: Curve) -> str:
    if curve.steady_bytes is None or curve.peak_bytes is None:
        return ""
    return f"memory of {curve.name}: {curve.steady_bytes / MIB:.0f} MiB steady, {curve.peak_bytes / MIB:.0f} MiB peak"


def _versions(found: Sweep) -> str:
    kinds: Mapping[str, Any] = {f"{c.engine} {c.version}, {c.model}, {c.quantization}": None for c in found.curves}
    return "; ".join(kinds)
