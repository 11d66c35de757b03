"""`cutover overhead`: what the client costs in CPU time beside raw HTTP, the openai SDK and LiteLLM."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.cli_numbers import positive
from services.cli_show import Display
from services.overhead import measure, report
from services.overhead.processes import OverheadError
from services.stack import peers
from services.stack.local import StackError

ROUNDS, CALLS = 16, 20
"""Together less than three minutes on two cores."""

BUSY_LOAD = 1.0
STYLES = {"met": "green", "met, not clearly": "yellow", "not met": "red", "not measured": "yellow"}
COLUMNS = ("call", "stream-20", "stream-200", "stream-1000", "chunk", "chunk-paced")


def add_options(verb: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    verb.add_argument("--rounds", type=positive, default=ROUNDS, help="paired rounds (default: %(default)s)")
    verb.add_argument("--calls", type=positive, default=CALLS, help="plain calls a round (default: %(default)s)")
    verb.add_argument("--seed", type=int, default=1, help="draws the order within rounds (default: %(default)s)")
    verb.add_argument("--without-peers", action="store_true", help="do without LiteLLM, and so without installing it")
    verb.add_argument(
        "--check", action="store_true", help="exit 1 where a target is not met, 2 where that is not clear"
    )


def overhead(call: Call) -> Result:
    """Measure, then say how the targets stand. Exit 0 unless `--check` asks to judge."""
    arguments = call.arguments
    if measure.load() > BUSY_LOAD:
        print(f"cutover: warning: the load is {measure.load():.2f}; other work widens the intervals", file=sys.stderr)
    setup = measure.Setup(
        rounds=arguments.rounds,
        calls=arguments.calls,
        seed=arguments.seed,
        peers=None if arguments.without_peers else peers.python(call.settings, call.display),
        env=call.env,
        on_progress=_progress(call.display),
    )
    try:
        document = report.document(measure.measure(setup))
    except OverheadError as exc:
        raise StackError(f"nothing was measured: {exc}") from exc
    return Result(document=document, shown=shown(document), code=report.code(document) if arguments.check else 0)


def shown(document: Mapping[str, Any]) -> Sequence[RenderableType]:
    """What each client costs, what was compared on what machine, then the targets."""
    load = document["load"]
    facts = [f"load {load['before']:.2f} before, {load['after']:.2f} after", f"{document['rounds']} rounds"]
    facts += [
        f"{name}: " + ", ".join(f"{package} {version}" for package, version in versions.items())
        for name, versions in document["versions"].items()
    ]
    return [
        Text("CPU time per call in ms, per chunk in µs: median and 95 % interval", style="bold"),
        _costs(document),
        Text("An import in a fresh interpreter", style="bold"),
        _imports(document),
        *map(Text, facts),
        Text("\nTargets", style="bold"),
        _targets(document),
    ]


def _progress(display: Display) -> Any:
    step = "overhead"
    display.begin(step)
    return lambda what, done, total: display.note(step, f"{what} {done}/{total}")


def _costs(document: Mapping[str, Any]) -> Table:
    table = _table("client", *(c.replace("-", "\n") for c in COLUMNS))
    cells = {(r["interpreter"], r["subject"], r["measure"]): r["cpu_us"] for r in document["rows"]}
    for interpreter, subject in dict.fromkeys((r["interpreter"], r["subject"]) for r in document["rows"]):
        costs = [(cells[interpreter, subject, c], 1 if c.startswith("chunk") else 1000) for c in COLUMNS]
        name = subject if interpreter != "peers" or subject.startswith("litellm") else f"{subject} (peers)"
        table.add_row(name, *(_interval(cost, divisor, apart="\n") for cost, divisor in costs))
    return table


def _imports(document: Mapping[str, Any]) -> Table:
    table = _table("client", "CPU ms", "memory MB")
    for row in document["imports"]:
        table.add_row(row["subject"], _interval(row["cpu_ms"], 1), f"{row['rss_mb']:.0f}")
    return table


def _targets(document: Mapping[str, Any]) -> Table:
    table = _table("what", "target", "measured", "")
    for target in document["targets"]:
        limit = f"{'at least' if target['at_least'] else 'at most'} {target['limit']:g}"
        outcome = Text(target["result"], style=STYLES[target["result"]])
        table.add_row(target["says"], limit, _interval(document[target["key"]], 1), outcome)
    return table


def _table(*columns: str) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _interval(found: Mapping[str, Any], divisor: float, apart: str = " ") -> str:
    if found["value"] is None:
        return str(found["reason"])
    if found["low"] is None or found["high"] is None:
        return _number(found["value"] / divisor)
    value, low, high = (_number(found[name] / divisor) for name in ("value", "low", "high"))
    return f"{value}{apart}[{low}, {high}]" if apart == " " else f"{value}{apart}{low}–{high}"


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
