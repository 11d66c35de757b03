"""Where the graph lives: one database for all workspaces, and the face of it that a workspace sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection

from services.ner import anew, finding, judging, listing, merging, shapes, splitting, walking, writing
from services.ner.graph import (
    Candidate,
    Entity,
    Evidence,
    Found,
    Listed,
    Merge,
    Part,
    Pattern,
    Place,
    Relation,
    Said,
    Split,
    StoredDocument,
    Wanted,
)
from services.ner.grounding import Fact, Mention
from services.ner.migrations import MIGRATIONS
from services.ner.name_candidates import NameCandidate, Sighting
from services.ner.producers import Made
from services.ner.shape import Shape
from services.ner.tables import JOBS, TABLES
from services.store.clock import Clock, utc_now
from services.store.database import Database
from services.store.jobs import Job, State
from services.store.schema import Schema
from services.store.worker import Handler, Worker

T = TypeVar("T")

SCHEMA = Schema(name="ner", tables=TABLES, migrations=MIGRATIONS)


class Graphs:
    """The database. Use as `async with`; everything that it raises is a `StoreError`."""

    def __init__(self, url: str, *, now: Clock = utc_now) -> None:
        self.database = Database(url, SCHEMA)
        self._now = now
        self._worker: Worker | None = None

    async def __aenter__(self) -> Graphs:
        await self.database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.database.aclose()

    async def check(self) -> dict[str, str]:
        return await self.database.check()

    def of(self, workspace: str) -> Graph:
        """The graph that `workspace` sees: its own rows, and no way to others."""
        return Graph(self.database, workspace, self._now, self._wake)

    @asynccontextmanager
    async def working(self, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
        """Do jobs while the context lasts, inside the store's own."""
        async with Worker(self.database, JOBS, handlers, now=self._now) as self._worker:
            yield
        self._worker = None

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()


class Graph:
    """One workspace's documents and what was read in them. Raises `StoreError`, and `GraphError` where it says so."""

    def __init__(self, database: Database, workspace: str, now: Clock, wake: Callable[[], None]) -> None:
        self._database = database
        self._workspace = workspace
        self._now = now
        self._wake = wake

    async def put(
        self,
        text: str,
        mentions: Sequence[Mention],
        facts: Sequence[Fact],
        producer: Made,
        seen: tuple[Sequence[Sighting], Made] | None = None,
    ) -> tuple[StoredDocument, bool]:
        """The document with what was found now in place of what was before, and whether its text is new.

        `seen` are candidates for more names, and who saw them; None leaves those of before.
        """
        created_at, is_new = await self._write(
            lambda c, w: writing.put(c, w, text, mentions, facts, producer, self._now(), seen)
        )
        identifier = writing.document_id(text)
        return StoredDocument(id=identifier, text=text, created_at=created_at, producer=producer), is_new

    async def document(self, document_id: str) -> tuple[StoredDocument, list[Found]] | None:
        return await self._read(lambda c, w: finding.document(c, w, document_id))

    async def documents(self, limit: int, before: int | None) -> list[Listed]:
        """The newest first, before the one of that number."""
        return await self._read(lambda c, w: listing.documents(c, w, limit, before))

    async def contexts(self, entity: int, limit: int) -> list[Said]:
        """Where an entity is named, with the words around it."""
        return await self._read(lambda c, w: listing.contexts(c, w, entity, limit))

    async def put_again(
        self, text: str, mentions: Sequence[Mention], facts: Sequence[Fact], producer: Made, job: Job
    ) -> None:
        """As `put`, unless the document was deleted meanwhile; `job` is done with it. Raises `LeaseLost`."""

        def write(c: Connection, w: str) -> None:
            if finding.document(c, w, writing.document_id(text)) is not None:
                writing.put(c, w, text, mentions, facts, producer, self._now())
            JOBS.done(c, job, at=self._now())

        await self._write(write)

    async def rerun(self, where: str, *, is_dry_run: bool, max_tokens: int | None = None) -> int:
        """Jobs to read anew what `anew.wanted` finds, and how many; a dry run only counts them.

        Each with the parameters that its document was read with, unless `max_tokens` says otherwise.
        """
        if is_dry_run:
            return await self._read(lambda c, w: anew.rerun(c, w, where, at=None))
        count = await self._write(lambda c, w: anew.rerun(c, w, where, at=self._now(), max_tokens=max_tokens))
        self._wake()
        return count

    async def asked(self, made: Made) -> tuple[Shape | None, bool]:
        """What a reading looked for, as it is today."""
        return await self._read(lambda c, w: anew.asked(c, w, made.prompt_version, made.params))

    async def jobs(self, limit: int, *, before: int | None, state: State | None) -> list[Job]:
        return await self._read(lambda c, w: JOBS.page(c, w, limit=limit, before=before, state=state))

    async def delete(self, document_id: str) -> bool:
        """Retract the document and every fact that nothing else supports; False when there is none."""

        def remove(c: Connection, w: str) -> bool:
            anew.forget(c, w, document_id)
            return writing.remove(c, w, document_id)

        deleted = await self._write(remove)
        if deleted:
            await self._database.forget()
        return deleted

    async def entities(self, q: str, type: str | None, limit: int, after: tuple[int, int] | None) -> list[Entity]:
        """Those with `q` in one of their names, the most mentioned first, after these mentions and this id."""
        return await self._read(lambda c, w: finding.entities(c, w, q, type, limit, after))

    async def entity(self, number: int) -> tuple[Entity, list[Entity], list[Place]] | None:
        """What the name of that number stands for now, with all its names and their places."""
        return await self._read(lambda c, w: finding.entity(c, w, number))

    async def relations(self, pattern: Pattern, limit: int, after: int | None) -> list[Relation]:
        """The facts that fit, the oldest first, after the one of that id."""
        return await self._read(lambda c, w: finding.relations(c, w, pattern, limit, after))

    async def provenance(self, number: int) -> tuple[Relation, list[Evidence]] | None:
        """A fact and every place that states it."""
        return await self._read(lambda c, w: finding.provenance(c, w, number))

    async def neighbours(self, entity: int, depth: int, limit: int) -> Part | None:
        return await self._read(lambda c, w: walking.neighbours(c, w, entity, depth, limit))

    async def paths(self, one: int, other: int, longest: int, limit: int) -> list[list[Relation]] | None:
        """The shortest ways between two entities; None when one of them is not there."""
        return await self._read(lambda c, w: walking.paths(c, w, one, other, longest, limit))

    async def whole(self, type: str | None, limit: int) -> Part:
        return await self._read(lambda c, w: walking.whole(c, w, type, limit))

    async def name_candidates(self, document_id: str) -> list[NameCandidate] | None:
        """Names that somebody else saw in the document, and what was said of them; None without the document."""
        return await self._read(lambda c, w: judging.listed(c, w, document_id))

    async def accept_name(self, document_id: str, number: int, by: str) -> NameCandidate:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: judging.accept(c, w, document_id, number, by, self._now()))

    async def reject_name(self, document_id: str, number: int, by: str) -> NameCandidate:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: judging.reject(c, w, document_id, number, by, self._now()))

    async def undo_name(self, document_id: str, number: int) -> NameCandidate:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: judging.undo(c, w, document_id, number))

    async def candidates(self, limit: int, after: tuple[int, int] | None) -> list[Candidate]:
        """Names that may be one and that nobody judged yet, the likest first."""
        return await self._read(lambda c, w: merging.candidates(c, w, limit, after))

    async def accept(self, candidate: int) -> list[Merge]:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: merging.accept(c, w, candidate, self._now()))

    async def reject(self, candidate: int) -> None:
        """Raises `GraphError`."""
        await self._write(lambda c, w: merging.reject(c, w, candidate, self._now()))

    async def merge(self, into: int, others: Sequence[int], *, across_types: bool) -> list[Merge]:
        """What was merged now; what was one already is left out. Raises `GraphError`."""
        return await self._write(
            lambda c, w: merging.merge(c, w, into, others, across_types=across_types, at=self._now())
        )

    async def undo(self, merge: int) -> Merge:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: merging.undo(c, w, merge, self._now()))

    async def split(self, entity: int, wanted: Sequence[Wanted], label: str) -> Split:
        """Some mentions of a name become another entity of that name. Raises `GraphError`."""
        return await self._write(lambda c, w: splitting.split(c, w, entity, wanted, label, self._now()))

    async def undo_split(self, split: int) -> Split:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: splitting.undo(c, w, split))

    async def splits(self, limit: int, before: int | None) -> list[Split]:
        return await self._read(lambda c, w: splitting.splits(c, w, limit, before))

    async def merges(self, limit: int, before: int | None) -> list[Merge]:
        return await self._read(lambda c, w: merging.merges(c, w, limit, before))

    async def shapes(self) -> list[Shape]:
        return await self._read(shapes.every)

    async def shape(self, name: str) -> Shape | None:
        return await self._read(lambda c, w: shapes.get(c, w, name))

    async def keep_shape(self, shape: Shape) -> bool:
        """Whether it is new. Raises `GraphError`."""
        return await self._write(lambda c, w: shapes.put(c, w, shape, self._now()))

    async def delete_shape(self, name: str) -> bool:
        """Raises `GraphError`."""
        return await self._write(lambda c, w: shapes.remove(c, w, name))

    async def _read(self, work: Callable[[Connection, str], T]) -> T:
        return await self._database.read(lambda c: work(c, self._workspace))

    async def _write(self, work: Callable[[Connection, str], T]) -> T:
        return await self._database.write(lambda c: work(c, self._workspace))
