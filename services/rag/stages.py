"""How long the worker's documents are at each stage of their way in: which stage bounds ingestion."""

from __future__ import annotations

import enum
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter


class Stage(enum.StrEnum):
    """What is done with a document, in this order. Waiting for a turn at it counts as well."""

    READ = "read"
    CUT = "cut"
    EMBED = "embed"
    STORE = "store"


class Stages:
    """Counts seconds in which at least one document is at a stage: two at once are not twice as long.

    Only for the event loop's own thread. `clock` gives seconds and never goes back.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._busy = Counter(
            "rag_ingest_busy_seconds_total",
            "Seconds in which at least one document was at this stage of its way in",
            ("stage",),
            registry=registry,
        )
        self._clock = clock
        self._under_way: Tally[Stage] = Tally()
        self._counted_until: dict[Stage, float] = {}
        for stage in Stage:
            self._busy.labels(stage)

    @contextmanager
    def at(self, stage: Stage) -> Iterator[None]:
        """A document is at `stage` while the block runs, however it ends."""
        if not self._under_way[stage]:
            self._counted_until[stage] = self._clock()
        self._under_way[stage] += 1
        try:
            yield
        finally:
            self._under_way[stage] -= 1
            now = self._clock()
            self._busy.labels(stage).inc(now - self._counted_until[stage])
            self._counted_until[stage] = now
