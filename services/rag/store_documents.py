"""The adapter of RAG's port: one database for all workspaces, bound to one of them for each use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from services.rag import store_collections, store_rows, store_uploads
from services.rag.chunking import Span
from services.rag.parsed import Source
from services.rag.store import (
    Chunk,
    Collection,
    Document,
    DocumentInfo,
    Hit,
    NewDocument,
)
from services.rag.store_feedback import WorkspaceFeedback
from services.rag.store_search import by_both, by_meaning, by_words
from services.rag.store_tables import JOBS, SCHEMA, VECTORS
from services.store.clock import Clock, utc_now
from services.store.database import Database
from services.store.jobs import Job, State
from services.store.vectors import Space

T = TypeVar("T")


class StoredDocuments:
    """The store of one service. Use as `async with`; `of` gives the port of a workspace.

    `search` says how its documents are found, for `/readyz`.
    """

    def __init__(self, url: str, *, now: Clock = utc_now, search: str = "") -> None:
        self.database = Database(url, SCHEMA)
        self._search = search
        self._now = now

    async def __aenter__(self) -> StoredDocuments:
        await self.database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.database.aclose()

    async def check(self) -> dict[str, str]:
        parts = await self.database.check()
        return {**parts, "search": self._search} if self._search else parts

    async def space(self) -> Space | None:
        """The space of the stored vectors; None while there are none."""
        return await self.database.read(VECTORS.space)

    async def reindex_all(self, kind: str) -> int:
        """Forget every vector and the space, so that another can be taken; a job `kind` for each document.

        How many documents there are. They are found by words until their job is done.
        """
        return await self.database.write(lambda c: store_rows.reindex_all(c, kind, self._now()))

    def of(self, workspace: str) -> WorkspaceDocuments:
        """The documents of `workspace`, and nobody else's."""
        return WorkspaceDocuments(self.database, workspace, self._now)

    def feedback_of(self, workspace: str) -> WorkspaceFeedback:
        """What the readers of `workspace` said of answers, and nobody else's."""
        return WorkspaceFeedback(self.database, workspace, self._now)


class WorkspaceDocuments:
    """One workspace's view of the store."""

    def __init__(self, database: Database, workspace: str, now: Clock) -> None:
        self._database = database
        self.workspace = workspace
        self._now = now

    async def add(self, title: str, text: str, spans: Sequence[Span]) -> tuple[Document, bool]:
        return await self.put(NewDocument(title=title, text=text, spans=spans, media_type="text/plain"))

    async def put(self, new: NewDocument, *, job: Job | None = None, then: str = "") -> tuple[Document, bool]:
        def work(c: Connection) -> tuple[Document, bool]:
            stored, is_new = store_rows.put(c, self.workspace, new, self._now())
            if then and is_new:
                store_rows.enqueue_for(c, self.workspace, stored.id, then, self._now())
            self._end(c, job, stored)
            return stored, is_new

        return await self._write(work, leaves_something=job is not None)

    async def reindex(self, document_id: str, new: NewDocument, *, job: Job | None = None) -> Document | None:
        def work(c: Connection) -> Document | None:
            found = store_rows.reindex(c, self.workspace, document_id, new)
            self._end(c, job, found)
            return found

        return await self._database.write(work)

    async def get(self, document_id: str) -> Document | None:
        return await self._database.read(lambda c: store_rows.get(c, self.workspace, document_id))

    async def known(self, content_hash: str, collection: str) -> DocumentInfo | None:
        return await self._database.read(lambda c: store_rows.known(c, self.workspace, content_hash, collection))

    async def page(self, limit: int, after: int, collection: str | None = None) -> list[DocumentInfo]:
        return await self._database.read(lambda c: store_rows.page(c, self.workspace, limit, after, collection))

    async def delete(self, document_id: str) -> bool:
        return await self._write(lambda c: store_rows.delete_(c, self.workspace, document_id), leaves_something=True)

    async def chunks(self, document_id: str) -> list[Chunk]:
        return await self._database.read(lambda c: store_rows.chunks(c, self.workspace, document_id))

    async def search(self, query: str, k: int, collection: str | None = None) -> list[Hit]:
        return await self._database.read(lambda c: by_words(c, self.workspace, query, k, collection))

    async def nearest(self, space: Space, vector: Sequence[float], k: int, collection: str | None = None) -> list[Hit]:
        return await self._database.read(lambda c: by_meaning(c, self.workspace, space, vector, k, collection))

    async def both(
        self, query: str, space: Space, vector: Sequence[float], k: int, collection: str | None = None
    ) -> list[Hit]:
        return await self._database.read(lambda c: by_both(c, self.workspace, query, space, vector, k, collection))

    async def collections(self) -> list[Collection]:
        return await self._database.read(lambda c: store_collections.every(c, self.workspace))

    async def add_collection(self, name: str) -> Collection:
        return await self._database.write(lambda c: store_collections.add(c, self.workspace, name, self._now()))

    async def collection(self, collection_id: str) -> Collection | None:
        return await self._database.read(lambda c: store_collections.get(c, self.workspace, collection_id))

    async def rename_collection(self, collection_id: str, name: str) -> Collection | None:
        return await self._database.write(lambda c: store_collections.rename(c, self.workspace, collection_id, name))

    async def delete_collection(self, collection_id: str) -> bool:
        return await self._write(
            lambda c: store_collections.delete_(c, self.workspace, collection_id), leaves_something=True
        )

    async def stage(self, source: Source, *, kind: str, payload: dict[str, str]) -> Job:
        def work(c: Connection) -> Job:
            job = JOBS.enqueue(c, workspace=self.workspace, kind=kind, payload=payload, at=self._now())
            store_uploads.keep(c, job, source)
            return job

        return await self._database.write(work)

    async def enqueue(self, *, kind: str, payload: dict[str, str]) -> Job:
        return await self._database.write(
            lambda c: JOBS.enqueue(c, workspace=self.workspace, kind=kind, payload=payload, at=self._now())
        )

    async def staged(self, job: Job) -> Source | None:
        return await self._database.read(lambda c: store_uploads.get(c, job))

    async def job(self, job_id: str) -> Job | None:
        return await self._database.read(lambda c: JOBS.get(c, self.workspace, job_id))

    async def jobs(self, limit: int, before: int | None = None, state: State | None = None) -> list[Job]:
        return await self._database.read(
            lambda c: JOBS.page(c, self.workspace, limit=limit, before=before, state=state)
        )

    async def again(self, job_id: str) -> Job | None:
        return await self._database.write(lambda c: JOBS.again(c, self.workspace, job_id, at=self._now()))

    async def forget_job(self, job_id: str) -> bool:
        def work(c: Connection) -> bool:
            gone = JOBS.forget(c, self.workspace, job_id)
            if gone:
                store_uploads.forget(c, job_id)
            return gone

        return await self._write(work, leaves_something=True)

    def _end(self, c: Connection, job: Job | None, document: Document | None) -> None:
        if job is not None:
            JOBS.done(c, job, at=self._now(), result={"document_id": document.id} if document else None)
            store_uploads.forget(c, job.id)

    async def _write(self, work: Callable[[Connection], T], *, leaves_something: bool) -> T:
        """Write; where that deletes, let nothing of it stay behind in the log."""
        result = await self._database.write(work)
        if leaves_something and result:
            await self._database.forget()
        return result
