"""Collects an engine's memory while something runs: idle before it, steady and peak while it is under load."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

IDLE, NEITHER = "", "neither"
"""No load yet; and load in nobody's turn, such as warm-up, which counts for the peak alone."""

PERIOD_S = 1.0
THOROUGH_EVERY = 10
"""A plain look costs under a millisecond; a thorough one holds a vLLM of 3 GB back for up to 0.04 s (docs/MEMORY.md).
So beside a gate it comes every ten seconds: 0.8 % of one core, for both engines together."""


class Reading(Protocol):
    """What a sampler read. `bytes` is None where it cannot be known, and `unknown` says why."""

    @property
    def engine(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def at_s(self) -> float: ...
    @property
    def source(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def unknown(self) -> str: ...


class Sampler(Protocol):
    """Reads memory from wherever engines run. Both calls may block, and are made in a thread."""

    def read(self, *, thorough: bool) -> Sequence[Reading]:
        """Every engine now; `thorough` adds what is slow to read."""

    def told(self) -> Mapping[str, Mapping[str, str]]:
        """Settings that the engines were started with, by engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One quantity of one engine, in bytes. `steady` is the median under load, `peak` the largest of all samples.

    `unknown` says why there is no number at all. `samples` counts those under load; `first` and `last` are seconds
    since 1970.
    """

    engine: str
    quantity: str
    idle: int | None = None
    steady: int | None = None
    peak: int | None = None
    samples: int = 0
    source: str = ""
    unknown: str = ""
    first: float = 0.0
    last: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reading, and the engine that was under load: None for both in turn, else `IDLE` or `NEITHER`."""

    reading: Reading
    loaded: str | None


@dataclass(slots=True, kw_only=True)
class Watch:
    """What was sampled so far. A sampler that breaks ends the sampling, and `problem` says so; nothing else ends."""

    sampler: Sampler
    thorough_every: int = THOROUGH_EVERY
    clock: Callable[[], float] = time.perf_counter
    loaded: str | None = IDLE
    seen: list[Seen] = field(default_factory=list)
    cost_s: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: str = ""

    async def look(self, *, thorough: bool) -> None:
        """Sample once. Whatever goes wrong in a sampler is told and ends the sampling: what is watched must go on."""
        loaded, began = self.loaded, self.clock()
        try:
            found = await asyncio.to_thread(self.sampler.read, thorough=thorough)
            if not self.told:
                self.told = await asyncio.to_thread(self.sampler.told)
        except Exception as exc:  # noqa: BLE001 - top of the sampling loop: no gate fails for want of a memory reading
            self.problem = f"{type(exc).__name__}: {exc}"
            return
        self.cost_s[thorough].append(self.clock() - began)
        if loaded == self.loaded:  # else a turn ended meanwhile, and nobody knows to which one this belongs
            self.seen += [Seen(reading=reading, loaded=loaded) for reading in found]

    async def go_on(self, period_s: float) -> None:
        """Sample every `period_s` until cancelled or broken."""
        count = 0
        while not self.problem:
            await self.look(thorough=count % self.thorough_every == 0)
            count += 1
            await asyncio.sleep(period_s)

    def taken(self) -> tuple[Taken, ...]:
        """Idle, steady and peak of each quantity of each engine."""
        keys = dict.fromkeys((s.reading.engine, s.reading.quantity) for s in self.seen)
        return tuple(
            taken([s for s in self.seen if (s.reading.engine, s.reading.quantity) == key]) for key in sorted(keys)
        )


@contextlib.asynccontextmanager
async def watching(
    sampler: Sampler, *, period_s: float = PERIOD_S, thorough_every: int = THOROUGH_EVERY
) -> AsyncIterator[Watch]:
    """Sample in the background until the block ends. One thorough look comes first, before any load: that is idle.

    Inside, set `loaded` to the engine under load, or to None when both are loaded in turn.
    """
    watch = Watch(sampler=sampler, thorough_every=thorough_every)
    await watch.look(thorough=True)
    task = asyncio.create_task(watch.go_on(period_s), name="memory")
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def taken(found: Sequence[Seen]) -> Taken:
    """One quantity of one engine from its samples, in the order they were read."""
    latest = found[-1].reading
    idle = [s.reading for s in found if s.loaded == IDLE]
    load = [s.reading for s in found if s.loaded is None or s.loaded == latest.engine]
    known = _known(s.reading for s in found)
    return Taken(
        engine=latest.engine, quantity=latest.quantity, idle=_median(_known(idle)), steady=_median(_known(load)),
        peak=max(known, default=None), samples=len(_known(load)), source=latest.source,
        unknown="" if known else latest.unknown, first=found[0].reading.at_s, last=latest.at_s,
    )  # fmt: skip


def _known(readings: Iterable[Reading]) -> list[int]:
    return [r.bytes for r in readings if r.bytes is not None]


def _median(values: Sequence[int]) -> int | None:
    return round(median(values)) if values else None
