"""`cutover bench --search`: how long RAG's hybrid search takes at 1k, 20k and 100k chunks, on each store."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.evaluation import app
from services.evaluation.chunks import drawn
from services.evaluation.debian import CorpusError
from services.evaluation.speed import Times, fill, timed
from services.llm.errors import LLMError
from services.rag.store_documents import StoredDocuments
from services.stack.errors import StackError
from services.store.errors import StoreError
from services.store.sqlite import url_of

STEP = "bench search"
CHUNKS = (1_000, 20_000, 100_000)
QUESTIONS = 100


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


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    return None if all(n >= 1 for n in arguments.chunks) else "--chunks must be positive"


def search(call: Call) -> Result:
    """Fill stores of each size, ask them in turns, print quantiles with the machine's load."""
    try:
        times, uses = asyncio.run(_measured(call))
    except (CorpusError, LLMError, StoreError) as exc:
        raise StackError(str(exc)) from exc
    document = {
        "p50_ms": {str(n): {name: t.quantile(0.50) for name, t in of.items()} for n, of in times.items()},
        "p95_ms": {str(n): {name: t.quantile(0.95) for name, t in of.items()} for n, of in times.items()},
        "searches": QUESTIONS,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "uses": uses,
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
    }
    said = Text(f"{QUESTIONS} searches each, load {document['load']:.1f} on {document['cores']} cores; {uses}")
    return Result(document=document, shown=[_table(times), said])


async def _measured(call: Call) -> tuple[dict[int, dict[str, Times]], dict[str, dict[str, str]]]:
    call.display.begin(STEP, "passages and their vectors")
    held = await app.embedded(call.settings, lambda done, of: call.display.note(STEP, f"{done}/{of}"))
    asked = held.asked[:QUESTIONS]
    times: dict[int, dict[str, Times]] = {}
    uses: dict[str, dict[str, str]] = {}
    with _urls(call) as urls:
        async with contextlib.AsyncExitStack() as opened:
            stores = {n: await opened.enter_async_context(StoredDocuments(url)) for n, url in urls.items()}
            size = 0
            for count in sorted(call.arguments.chunks):
                call.display.note(STEP, f"{count} chunks")
                for stored in stores.values():
                    await fill(stored, drawn(held.texts, held.vectors, count - size, seed=count), held.alias)
                size = count
                times[count] = await timed(stores, asked, held.alias)
            uses = {name: dict(await stored.check()) for name, stored in stores.items()}
    call.display.end(STEP, f"{len(times)} sizes")
    return times, uses


@contextlib.contextmanager
def _urls(call: Call) -> Iterator[dict[str, str]]:
    """Where each store is: a file that goes with the measurement, and the server that was named."""
    with tempfile.TemporaryDirectory(prefix="cutover-search-") as folder:
        named = {"postgres": call.arguments.postgres} if call.arguments.postgres else {}
        yield {"sqlite": url_of(Path(folder) / "rag.db"), **named}


def _table(times: dict[int, dict[str, Times]]) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for column in ("chunks", "store", "p50 ms", "p95 ms"):
        table.add_column(column, justify="right")
    for count, of in times.items():
        for name, t in of.items():
            table.add_row(f"{count:,}", name, f"{t.quantile(0.50):.1f}", f"{t.quantile(0.95):.1f}")
    return table
