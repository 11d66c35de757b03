"""`cutover bench --ingest`: how fast RAG takes documents in, its memory meanwhile, and what share the embedder has."""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import os
import platform
import time
from typing import Any

from services import cli_bench_ingest_show as show
from services.cli_bench_ingest_show import Alone, Measured
from services.cli_commands import Call, Result
from services.embedding import EmbedProvider
from services.evaluation import app
from services.evaluation.debian import CorpusError
from services.evaluation.ingest_run import Footprint, some
from services.evaluation.ingesting import IngestError, ingested, texts_of
from services.evaluation.uploads import files
from services.llm.errors import LLMError
from services.stack.errors import StackError
from services.stack.own_service import OwnService, own_service
from services.store.sqlite import driver

STEP = "bench ingest"
MB, EMBEDDED_MB, MOST_MB = 100.0, 1.0, 10_000.0
ALONE_CHUNKS = 2000
"""The embedder by itself is given so many of a run's chunks: all of a long run's would take as long again."""


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


def ingest(call: Call) -> Result:
    """Each store in turn: the whole without vectors, then a smaller part with them.

    The code is 1 where memory grew, 2 where no run was long enough to tell.
    """
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
    verdict = show.verdict(found)
    document = {"verdict": verdict, "runs": [show.document(measured) for measured in found], **machine}
    return Result(document=document, shown=show.shown(found, machine), code=show.EXIT[verdict])


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
        texts = asyncio.run(texts_of(rag.url, some(run.documents, ALONE_CHUNKS))) if embeds else []
    if not embeds:
        return Measured(store=store, run=run)
    chunks = sum(map(len, texts))
    call.display.note(STEP, f"{what}: the embedder alone on {chunks} of {run.chunks} chunks")
    try:
        took_s, cpu_s = asyncio.run(app.embedding_alone(call.settings, texts))
    except LLMError as exc:  # a machine that is busy with something else; the run is a measurement all the same
        return Measured(store=store, run=run, embeds=True, not_alone=str(exc))
    return Measured(store=store, run=run, embeds=True, alone=Alone(chunks=chunks, took_s=took_s, cpu_s=cpu_s))


def _say(call: Call, what: str, line: str) -> None:
    call.display.note(STEP, f"{what}: {line}")


def _looker(rag: OwnService) -> Any:
    def look() -> Footprint:
        service, children = rag.memory()
        store, log = rag.store_bytes()
        return Footprint(
            at_s=time.time(),
            service=service.anonymous,
            children=children.anonymous,
            service_files=service.files,
            children_files=children.files,
            store=store,
            log=log,
            cpu_s=rag.cpu_s(),
        )

    return look
