"""Open-loop load: requests go out when a schedule says so, whether or not earlier ones were answered.

Arrivals are Poisson: the gaps are exponential, drawn from a seed. Each request's time counts from the moment it was
due, so that a generator or a service that falls behind shows it instead of hiding it (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gevent  # type: ignore[import-untyped]  # has no types
from gevent.event import Event  # type: ignore[import-untyped]  # has no types
from gevent.pool import Group  # type: ignore[import-untyped]  # has no types

SOURCE = "cutover_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one process sends for one service: `rate` requests a second, at most `in_flight` of them unanswered."""

    rate: float
    in_flight: int
    seed: str


def sources(
    users: Mapping[str, Mapping[str, int]], *, rate: float, in_flight: int, seed: int
) -> dict[str, dict[str, Source]]:
    """The rate of each service over the processes that have users of it; Poisson streams add up to one."""
    made: dict[str, dict[str, Source]] = {}
    for name in sorted({n for counts in users.values() for n in counts}):
        having = [process for process, counts in users.items() if counts.get(name, 0)]
        for index, process in enumerate(having):
            share = in_flight // len(having) + (index < in_flight % len(having))
            source = Source(rate=rate / len(having), in_flight=share, seed=f"{seed}/{name}/{index}")
            made.setdefault(process, {})[name] = source
    return made


def due(source: Source) -> Iterator[float]:
    """When each request is due, in seconds from the start; endless."""
    generator = random.Random(source.seed)
    at = 0.0
    while True:
        at += generator.expovariate(source.rate)
        yield at


def send(
    source: Source,
    ask: Callable[[float], Any],
    refuse: Callable[[float], Any],
    *,
    clock: Callable[[], float],
    closed: Event,
    patience_s: float,
    cut_off: Callable[[int], Any],
) -> None:
    """Call `ask(scheduled)` for every arrival until `closed`, each in a greenlet of its own.

    Where `in_flight` are unanswered the request is not sent: `refuse(scheduled)` is called instead, at once. After
    `closed` the unanswered have `patience_s`; `cut_off` is told how many were left then.
    """
    group, began = Group(), clock()
    try:
        for offset in due(source):
            if closed.wait(max(0.0, began + offset - clock())):
                group.join(timeout=patience_s)
                return
            if len(group) < source.in_flight:
                group.add(gevent.spawn(ask, began + offset))
            else:
                refuse(began + offset)
    finally:  # a user without time to stop is killed here
        if group:
            cut_off(len(group))
            group.kill()
