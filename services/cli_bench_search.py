"""`cutover bench --search`: how long RAG's hybrid search takes at 1k, 20k and 100k chunks, on each store and a peer."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.evaluation import app
from services.evaluation.debian import CorpusError
from services.evaluation.neighbours import unequal
from services.evaluation.peer import LANCE, PeerError
from services.evaluation.searching import Material, Measured, Place, Setup, measured
from services.llm.errors import LLMError
from services.stack import peers
from services.stack.errors import StackError
from services.store.errors import StoreError
from services.store.sqlite import driver, url_of

STEP = "bench search"
CHUNKS = (1_000, 20_000, 100_000)
QUESTIONS = 100
PEER = "lancedb"
WITHOUT = "to measure our stores alone: --without-peers"


def options(verb: argparse.ArgumentParser) -> None:
    """What the search adds to `bench`."""
    group = verb.add_argument_group("--search")
    group.add_argument(
        "--search", action="store_true", help="RAG's hybrid search without the embedding of the question"
    )
    group.add_argument("--chunks", type=int, nargs="+", default=CHUNKS, metavar="N", help="default: 1000 20000 100000")
    group.add_argument(
        "--postgres", metavar="URL", help="an empty PostgreSQL database with pgvector, to be filled and asked as well"
    )
    group.add_argument("--without-peers", action="store_true", help="do without LanceDB, and so without installing it")


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    return None if all(n >= 1 for n in arguments.chunks) else "--chunks must be positive"


def search(call: Call) -> Result:
    """Fill stores of each size, ask them in turns, print quantiles and recalls with the machine's load."""
    before, drivers = os.getloadavg()[0], _drivers(call)
    try:
        found = asyncio.run(_measured(call, drivers))
    except PeerError as exc:
        raise StackError(f"nothing was measured: {exc}; {WITHOUT}") from exc
    except (CorpusError, LLMError, StoreError) as exc:
        raise StackError(str(exc)) from exc
    told = document(found, before, os.getloadavg()[0])
    return Result(document=told, shown=shown(found, told))


def _drivers(call: Call) -> dict[str, Sequence[str]]:
    """The command line of each peer's driver; its environment is made first, as that is what may be impossible."""
    if call.arguments.without_peers:
        return {}
    try:
        python = peers.python(call.settings, call.display, peers.Peers.SEARCH)
    except StackError as exc:
        raise StackError(f"{exc}; {WITHOUT}") from exc
    return {PEER: (str(python), "-P", str(LANCE))}


async def _measured(call: Call, drivers: Mapping[str, Sequence[str]]) -> Measured:
    call.display.begin(STEP, "passages and their vectors")
    held = await app.embedded(call.settings, lambda done, of: call.display.note(STEP, f"{done}/{of}"))
    material = Material(alias=held.alias, texts=held.texts, vectors=held.vectors, asked=held.asked[:QUESTIONS])
    with tempfile.TemporaryDirectory(prefix="cutover-search-") as folder:
        setup = Setup(
            places=_places(call, Path(folder)),
            drivers=drivers,
            sizes=call.arguments.chunks,
            folder=Path(folder),
            env=call.env,
            say=lambda line: call.display.note(STEP, line),
        )
        found = await measured(setup, material)
    call.display.end(STEP, f"{len(found.times)} sizes")
    return found


def _places(call: Call, folder: Path) -> dict[str, Place]:
    """Where each store is: a file that goes with the measurement, and the server that was named."""
    named = {"postgres": Place(url=call.arguments.postgres, cpu=None)} if call.arguments.postgres else {}
    return {"sqlite": Place(url=url_of(folder / "rag.db"), cpu=time.process_time), **named}


def document(found: Measured, load_before: float, load_after: float) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "p50_ms": {str(n): {name: t.quantile(0.50) for name, t in of.items()} for n, of in found.times.items()},
        "p95_ms": {str(n): {name: t.quantile(0.95) for name, t in of.items()} for n, of in found.times.items()},
        "cpu_ms": {str(n): {name: t.cpu_mean_ms for name, t in of.items()} for n, of in found.times.items()},
        "recall10": {str(n): of for n, of in found.recalls.items()},
        "recalls_differ": {str(n): told for n, of in found.recalls.items() if (told := unequal(of))},
        "searches": QUESTIONS,
        "cores": len(os.sched_getaffinity(0)),
        "load": {"before": round(load_before, 2), "after": round(load_after, 2)},
        "uses": found.uses,
        "versions": {"python": platform.python_version(), "sqlite": driver().sqlite_version},
        "peers": found.versions or {PEER: {"skipped": "--without-peers"}},
    }


def shown(found: Measured, told: Mapping[str, Any]) -> list[RenderableType]:
    """The table, then on what and with what it was measured, and whose recall is less than another's."""
    load = told["load"]
    lines = [
        f"{told['searches']} searches each; load {load['before']:.2f} before, {load['after']:.2f} after, "
        f"on {told['cores']} cores; {_pairs(told['versions'])}"
    ]
    lines += [f"{name}: {_pairs(of)}" for name, of in {**told["uses"], **told["peers"]}.items()]
    lines += [
        f"recall at {int(size):,} chunks {less}: their times are not for the same work"
        for size, less in told["recalls_differ"].items()
    ]
    return [_table(found), *map(Text, lines)]


def _pairs(of: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {how}" for what, how in of.items())


def _table(found: Measured) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for column in ("chunks", "store", "p50 ms", "p95 ms", "CPU ms", "recall@10"):
        table.add_column(column, justify="right")
    for count, of in found.times.items():
        for name, t in of.items():
            cpu = "-" if t.cpu_mean_ms is None else f"{t.cpu_mean_ms:.1f}"
            recall = f"{found.recalls[count][name]:.3f}"
            table.add_row(f"{count:,}", name, f"{t.quantile(0.50):.1f}", f"{t.quantile(0.95):.1f}", cpu, recall)
    return table
