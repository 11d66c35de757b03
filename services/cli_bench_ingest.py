"""`cutover bench --ingest`: how fast RAG takes documents in, its memory meanwhile, and what share the embedder has."""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.embedding import EmbedProvider
from services.evaluation import app
from services.evaluation.debian import CorpusError
from services.evaluation.ingesting import Footprint, IngestError, Quarter, Run, ingested, quarters, texts_of
from services.evaluation.uploads import files
from services.llm.errors import LLMError
from services.stack.errors import StackError
from services.stack.own_service import OwnService, own_service
from services.store.sqlite import driver

STEP = "bench ingest"
MB, EMBEDDED_MB, MOST_MB = 100.0, 1.0, 10_000.0
MIB = 1024 * 1024


def options(verb: argparse.ArgumentParser) -> None:
    """What ingestion adds to `bench`; `--postgres` is the search's as well."""
    group = verb.add_argument_group("--ingest")
    group.add_argument("--ingest", action="store_true", help="RAG takes documents in: throughput, memory, embedder")
    group.add_argument(
        "--mb", type=_megabytes, default=MB, metavar="N", help="million bytes without vectors (default: 100)"
    )
    group.add_argument(
        "--embedded-mb", type=_megabytes, default=EMBEDDED_MB, metavar="N",
        help="million bytes with vectors (default: 1)",
    )  # fmt: skip


def _megabytes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= MOST_MB:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of megabytes above 0, up to {MOST_MB:,.0f}")
    return found


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    alone = arguments.search or arguments.memory or arguments.agree or arguments.sweep or arguments.raw
    if alone or arguments.service is not None:
        return "--ingest measures RAG alone, in a process of its own; give it no SERVICE and no other measurement"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run on one store. `alone_s`: what embedding its chunks took by itself; None where nothing was embedded.

    `alone_cpu_s` is the same in seconds of the processor, which another program's load changes less.
    """

    store: str
    run: Run
    alone_s: float | None = None
    alone_cpu_s: float = 0.0

    @property
    def share(self) -> float:
        """Of the run's seconds of the processor, what the embedder by itself takes for the same chunks."""
        return self.alone_cpu_s / max(self.run.cpu_s, 1e-9)


def ingest(call: Call) -> Result:
    """Each store in turn: the whole without vectors, then a smaller part with them."""
    if call.settings.embedding.providers != (EmbedProvider.IN_PROCESS,):
        raise StackError("--ingest measures the embedder inside the service: leave EMBED_PROVIDERS unset")
    began, before = time.time(), os.getloadavg()[0]
    stores = {"sqlite": ""} | ({"postgres": call.arguments.postgres} if call.arguments.postgres else {})
    call.display.begin(STEP, "files")
    try:
        found = [
            _measured(call, store, url, mb, embeds=embeds)
            for store, url in stores.items()
            for embeds, mb in ((False, call.arguments.mb), (True, call.arguments.embedded_mb))
        ]
    except (CorpusError, IngestError, LLMError) as exc:
        raise StackError(str(exc)) from exc
    call.display.end(STEP, f"{len(found)} runs, {time.time() - began:.0f} s")
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "load": {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)},
        "versions": {"python": platform.python_version(), "sqlite": driver().sqlite_version},
        "machine": f"{platform.system()} {platform.machine()}",
    }
    document = {"runs": [_document(measured) for measured in found], **machine}
    return Result(document=document, shown=_shown(found, machine))


def _measured(call: Call, store: str, url: str, mb: float, *, embeds: bool) -> Measured:
    """One run by a service process of its own."""
    what = f"{store}, {'with' if embeds else 'without'} vectors"
    here = app.measured(call.settings)
    if embeds:  # a missing model is told before anything is uploaded
        asyncio.run(app.embedding_alone(call.settings, []))
    over = {"EMBED_MODEL": here.embedding.alias if embeds else ""}
    with own_service(call.settings, "rag", call.display, env=call.env, over=over, store_url=url) as rag:
        collection = f"bench {time.time():.3f}"
        corpus = files(call.settings.engines_dir / "corpus", mb)
        say = functools.partial(_say, call, what)
        run = asyncio.run(ingested(rag.url, collection, corpus, _looker(rag), say, embeds=embeds))
        texts = asyncio.run(texts_of(rag.url, run.documents)) if embeds else []
    if not embeds:
        return Measured(store=store, run=run)
    call.display.note(STEP, f"{what}: the embedder alone on {run.chunks} chunks")
    alone_s, alone_cpu_s = asyncio.run(app.embedding_alone(call.settings, texts))
    return Measured(store=store, run=run, alone_s=alone_s, alone_cpu_s=alone_cpu_s)


def _say(call: Call, what: str, line: str) -> None:
    call.display.note(STEP, f"{what}: {line}")


def _looker(rag: OwnService) -> Any:
    def look() -> Footprint:
        service, children = rag.memory()
        store, log = rag.store_bytes()
        cpu_s = rag.cpu_s()
        return Footprint(at_s=time.time(), service=service, children=children, store=store, log=log, cpu_s=cpu_s)

    return look


def _document(measured: Measured) -> dict[str, Any]:
    run = measured.run
    rates = {
        "documents_per_s": len(run.documents) / run.took_s,
        "chunks_per_s": run.chunks / run.took_s,
        "mb_per_s": run.bytes / 1e6 / run.took_s,
    }
    embedder = {}
    if measured.alone_s is not None:
        embedder = {"embedder_chunks_per_s": run.chunks / measured.alone_s, "embedder_share": measured.share}
    return {
        "store": measured.store,
        "embeds": measured.alone_s is not None,
        "took_s": run.took_s,
        "cpu_s": run.cpu_s,
        "bytes": run.bytes,
        "documents": len(run.documents),
        "chunks": run.chunks,
        "same": run.same,
        "failed": dict(run.failed),
        **rates,
        **embedder,
        "store_bytes": run.seen[-1].store,
        "quarters": [asdict(quarter) for quarter in quarters(run)],
    }


def _shown(found: list[Measured], machine: Mapping[str, Any]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for measured in found:
        shown += [_table(measured), *map(Text, _said(measured))]
    load = machine["load"]
    told = f"load {load['before']} before, {load['after']} after, on {machine['cores']} cores; {machine['machine']}"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [*shown, Text(f"{told}; {versions}")]


def _table(measured: Measured) -> Table:
    kind = "with vectors" if measured.alone_s is not None else "without vectors"
    title = f"{measured.store}, {kind}: memory is the most seen in each quarter"
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    columns = ("quarter", "documents/s", "chunks/s", "MB/s", "service MiB", "median MiB", "readers MiB", "log MiB")
    for column in columns:
        table.add_column(column, justify="right")
    for number, quarter in enumerate(quarters(measured.run), 1):
        table.add_row(str(number), *_cells(quarter))
    return table


def _cells(quarter: Quarter) -> list[str]:
    took = max(quarter.took_s, 1e-9)
    rates = (quarter.documents / took, quarter.chunks / took, quarter.bytes / 1e6 / took)
    sizes = (quarter.service_peak, quarter.service_median, quarter.children_peak, quarter.log_peak)
    return [f"{rates[0]:.1f}", f"{rates[1]:.0f}", f"{rates[2]:.2f}", *(f"{size / MIB:.0f}" for size in sizes)]


def _said(measured: Measured) -> list[str]:
    run = measured.run
    lines = [
        f"{len(run.documents)} documents, {run.chunks} chunks, {run.bytes / 1e6:.1f} MB in {run.took_s:.0f} s: "
        f"{len(run.documents) / run.took_s:.1f} documents/s, {run.chunks / run.took_s:.0f} chunks/s, "
        f"{run.bytes / 1e6 / run.took_s:.2f} MB/s; {run.cpu_s:.0f} s of CPU"
    ]
    if measured.alone_s is not None:
        alone = run.chunks / max(measured.alone_s, 1e-9)
        lines.append(f"the embedder alone: {alone:.0f} chunks/s, {measured.share:.0%} of the run's CPU time")
    if run.failed:
        lines.append("refused: " + ", ".join(f"{count} {code}" for code, count in run.failed.items()))
    return lines
