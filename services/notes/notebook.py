"""Notes in one SQLite file or in PostgreSQL: the store of all workspaces, and the jobs that work on it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from services.notes.store import Kind
from services.notes.tables import JOBS, SCHEMA
from services.notes.workspace_notebook import NewId, StoredNotebook
from services.store.clock import Clock, utc_now
from services.store.database import Database
from services.store.worker import Handler, Worker


def new_id() -> str:
    """Random, so that it says nothing of other notes."""
    return uuid.uuid4().hex


class StoredNotebooks:
    """Every workspace's notes in the store at `url`. `after_save` are the jobs that each save asks for."""

    def __init__(
        self, url: str, *, after_save: Sequence[Kind] = (), now: Clock = utc_now, new_id: NewId = new_id
    ) -> None:
        self.database = Database(url, SCHEMA)
        self._after_save = tuple(after_save)
        self._now = now
        self._new_id = new_id
        self._worker: Worker | None = None

    async def __aenter__(self) -> StoredNotebooks:
        await self.database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.database.aclose()

    async def check(self) -> dict[str, str]:
        by = "words and meaning" if Kind.VECTORS in self._after_save else "words; set EMBED_MODEL for meaning"
        return {**await self.database.check(), "search": by}

    def of(self, workspace: str) -> StoredNotebook:
        return StoredNotebook(
            self.database,
            workspace,
            after_save=self._after_save,
            wake=self._wake,
            now=self._now,
            new_id=self._new_id,
        )

    @asynccontextmanager
    async def working(self, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
        """Do jobs while the context lasts, inside the store's own."""
        async with Worker(self.database, JOBS, handlers, now=self._now) as self._worker:
            yield
        self._worker = None

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()
