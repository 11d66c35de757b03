"""RAG's stores and their peers searched in one run: the same chunks, the same questions, in turns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from services.evaluation.chunks import drawn
from services.evaluation.neighbours import Neighbours
from services.evaluation.peer import Peer, Way, started
from services.evaluation.speed import Clock, K, Store, nearest, timed
from services.evaluation.subjects import Asked, Chunk, Subject, Times
from services.rag.store_documents import StoredDocuments

BATCH = 1000
"""Chunks handed over at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is searched, and with what: passages with their vectors by the model `alias`, and questions."""

    alias: str
    texts: Sequence[str]
    vectors: Any
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one of RAG's stores is. `cpu` tells the processor time of its searches; None where a server does them."""

    url: str
    cpu: Clock | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The stores and the peers' drivers (their command lines) by name. `folder` is the measurement's own."""

    places: Mapping[str, Place]
    drivers: Mapping[str, Sequence[str]]
    sizes: Sequence[int]
    folder: Path
    env: Mapping[str, str]
    say: Callable[[str], None]


@dataclass(slots=True)
class Measured:
    """By number of chunks and subject; `uses` says what each subject searched with, `versions` what a peer is."""

    times: dict[int, dict[str, Times]] = field(default_factory=dict)
    recalls: dict[int, dict[str, float]] = field(default_factory=dict)
    uses: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


async def measured(setup: Setup, material: Material) -> Measured:
    """Fill to each size, ask everybody, hold what was found against the exact neighbours.

    Raises `PeerError`, `StoreError`.
    """
    found, exact = Measured(), Neighbours([vector for _, vector in material.asked], K)
    async with contextlib.AsyncExitStack() as opened:
        peers = [await opened.enter_async_context(_peer(setup, name)) for name in setup.drivers]
        found.versions = {peer.name: dict(peer.versions) for peer in peers}
        stored = {n: await opened.enter_async_context(StoredDocuments(place.url)) for n, place in setup.places.items()}
        stores = {n: Store(one, material.alias, cpu=setup.places[n].cpu) for n, one in stored.items()}
        subjects: dict[str, Subject] = {**stores, **{way: Way(peer, way) for peer in peers for way in peer.ways}}
        holders: list[Store | Peer] = [*stores.values(), *peers]
        size = 0
        for count in sorted(set(setup.sizes)):
            for batch in _batches(material, count - size, seed=count):
                exact.add([vector for _, vector in batch])
                for holder in holders:
                    await holder.add(batch)
                size += len(batch)
                setup.say(f"{size:,} chunks taken in")
            for one in stored.values():
                await one.database.analyze()
            for peer in peers:
                setup.say(f"{count:,} chunks, {peer.name} indexes them")
                found.uses |= {way: dict(of) for way, of in (await peer.build()).items()}
            setup.say(f"{count:,} chunks, {len(material.asked)} questions to each of {', '.join(subjects)}")
            found.times[count] = await timed(subjects, material.asked)
            near = {name: await nearest(subject, material.asked) for name, subject in subjects.items()}
            found.recalls[count] = {name: exact.recall(rows) for name, rows in near.items()}
        found.uses = {name: dict(await one.check()) for name, one in stored.items()} | found.uses
    return found


@contextlib.asynccontextmanager
async def _peer(setup: Setup, name: str) -> AsyncIterator[Peer]:
    """The driver with a folder of its own to keep its table in."""
    setup.say(f"{name} starts")
    argv = (*setup.drivers[name], str(setup.folder / name))
    async with started(name, argv, setup.folder, setup.env) as peer:
        yield peer


def _batches(material: Material, count: int, *, seed: int) -> Iterator[list[Chunk]]:
    chunks = drawn(material.texts, material.vectors, count, seed=seed)
    while batch := list(islice(chunks, BATCH)):
        yield batch
