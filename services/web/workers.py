"""The metrics page of one worker process, or of all that share a port: those write down what they count, in one folder.

`PROMETHEUS_MULTIPROC_DIR` names the folder; prometheus-client reads it itself, when it is imported. Whoever starts the
workers empties it first, and never between: a counter that a worker left behind still counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.exposition import choose_encoder

WRITE_EVERY_S = 1.0
"""How often a worker writes its gauges down for whichever worker is asked next."""

LEFT_BY = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


def page(registry: CollectorRegistry, folder: Path | None, accept: str) -> tuple[bytes, str]:
    """The page and its content type: OpenMetrics, with exemplars, for who asks for it; else Prometheus' own text.

    Exemplars exist only without `folder`: the files have no place for them.
    """
    encode, content_type = choose_encoder(accept)
    if folder is None:
        return encode(registry), content_type
    _write_down(registry)
    _forget_the_dead(folder)
    everybody = CollectorRegistry()
    multiprocess.MultiProcessCollector(everybody, path=str(folder))  # type: ignore[no-untyped-call]
    return encode(everybody), content_type


@contextlib.asynccontextmanager
async def counted_in(registry: CollectorRegistry, folder: Path | None) -> AsyncIterator[None]:
    """While this worker lives its gauges are in `folder`; when it ends they are not."""
    if folder is None:
        yield
        return
    task = asyncio.create_task(_keep_writing(registry))
    try:
        yield
    finally:
        task.cancel()
        multiprocess.mark_process_dead(os.getpid(), path=str(folder))  # type: ignore[no-untyped-call]


async def _keep_writing(registry: CollectorRegistry) -> None:
    while True:
        _write_down(registry)
        await asyncio.sleep(WRITE_EVERY_S)


def _write_down(registry: CollectorRegistry) -> None:
    """Looking at the registry is what sets the gauges, and a gauge that is set is in its file."""
    for _ in registry.collect():
        pass


def _forget_the_dead(folder: Path) -> None:
    """Gauges of workers that were killed: they are in flight, or open, for ever otherwise. Counters stay."""
    for file in folder.glob("gauge_live*.db"):
        found = LEFT_BY.fullmatch(file.name)
        if found and not Path("/proc", found[1]).exists():
            multiprocess.mark_process_dead(int(found[1]), path=str(folder))  # type: ignore[no-untyped-call]
