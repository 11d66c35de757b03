"""One service's database: opened and migrated once, read and written in transactions, off the event loop.

One writer at a time and a few readers beside it, on SQLite and on PostgreSQL alike; readers see what was committed
when they began. A transaction that a killed process leaves behind is rolled back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, text

from services.store import postgres, sqlite
from services.store.errors import StoreError
from services.store.schema import Schema, migrate

T = TypeVar("T")

READERS = 4
"""Reads that run at a time, each on a connection of its own."""

FORGET_S = 0.5
"""How long a deletion, and each write behind it, waits for readers that hold SQLite's log, in seconds."""

LOG = logging.getLogger("cutover.store.database")


class Database:
    """Use as `async with`. `url` is `sqlite:////path/to/file` or `postgresql://user@host/database`."""

    def __init__(self, url: str, schema: Schema) -> None:
        self._url = sqlalchemy.make_url(url)
        self._schema = schema
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        shown = self._url.set(query={})  # libpq takes passwords there, too
        self.label = str(self._url.database) if self._is_sqlite else shown.render_as_string(hide_password=True)
        self._owes = self._is_sqlite  # deleted texts may be in the log: a killed process leaves it as it is
        self._engines: tuple[Engine, Engine] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Database:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"store-{self._schema.name}-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"store-{self._schema.name}-read")
        try:
            await self._on(self._writer, self._open)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. May be called twice."""
        threads = [t for t in (self._readers, self._writer) if t is not None]
        self._readers = self._writer = None
        for thread in threads:
            await asyncio.to_thread(thread.shutdown)
        engines, self._engines = self._engines or (), None
        for engine in engines:
            await asyncio.to_thread(engine.dispose)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, which only reads, all of it as of one moment. Raises `StoreError`."""
        return await self._on(self._readers, lambda: self._reading(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, all of it committed or none. Raises `StoreError`."""
        return await self._on(self._writer, lambda: self._writing(work))

    async def forget(self) -> None:
        """Let nothing of what was deleted stay behind in SQLite's log; PostgreSQL's own vacuum does that there.

        The deletion stands, whatever becomes of the log: what cannot be done now is done after the next write.
        """
        if self._is_sqlite and (why := await self._on(self._writer, lambda: self._forget(FORGET_S))):
            LOG.warning("store.forget_owed store=%s reason=%s", self.label, why)

    async def analyze(self) -> None:
        """Do now what PostgreSQL's autovacuum does in a while, for a measurement. On SQLite nothing is to be done."""
        if not self._is_sqlite:
            await self.write(postgres.analyze)

    async def check(self) -> dict[str, str]:
        """What answers, by part: the database, and what it searches with. Raises `StoreError` when it does not."""
        return await self.read(self._parts)

    async def _on(self, threads: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
        if threads is None:
            raise StoreError(f"{self.label} is not open")
        return await asyncio.get_running_loop().run_in_executor(threads, self._translated, work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlalchemy.exc.SQLAlchemyError, sqlite.driver().Error) as exc:
            cause = getattr(exc, "orig", None) or exc
            full = sqlite.is_full(cause) or postgres.is_full(cause)
            raise StoreError(f"{self.label}: {postgres.told(cause)}", is_full=full) from exc

    def _reading(self, work: Callable[[Connection], T]) -> T:
        with self._opened()[0].connect() as c:
            return work(c)

    def _writing(self, work: Callable[[Connection], T]) -> T:
        with self._opened()[1].begin() as c:
            if not self._is_sqlite:
                postgres.alone(c, self._schema.name)
            result = work(c)
        if self._owes:
            self._forget(0)
        return result

    def _forget(self, wait_s: float) -> str:
        """Why deleted texts are still in the log; "" when they are not."""
        self._owes, why = True, "a reader holds it"
        try:
            self._owes = not sqlite.forget(self._opened()[1], wait_s=wait_s)
        except (sqlalchemy.exc.SQLAlchemyError, sqlite.driver().Error) as exc:
            why = postgres.told(getattr(exc, "orig", None) or exc)
        return why if self._owes else ""

    def _parts(self, c: Connection) -> dict[str, str]:
        everything = "sqlite_master" if self._is_sqlite else "schema_version"
        c.execute(text(f"SELECT count(*) FROM {everything}")).scalar_one()
        parts = {"store": sqlite.version() if self._is_sqlite else postgres.version(c)}
        for index in self._schema.indexes:
            parts |= index.named(c)
        return parts

    def _opened(self) -> tuple[Engine, Engine]:
        if self._engines is None:
            raise StoreError(f"{self.label} is not open")
        return self._engines

    def _open(self) -> None:
        self._engines = self._sqlite() if self._is_sqlite else self._postgres()
        self._writing(self._migrate)

    def _sqlite(self) -> tuple[Engine, Engine]:
        sqlite.make_file(self._url)
        reads = sqlite.engine(self._url, writes=False, connections=READERS)
        return reads, sqlite.engine(self._url, writes=True, connections=1)

    def _postgres(self) -> tuple[Engine, Engine]:
        writes = postgres.engine(self._url, name=self._schema.name, connections=READERS + 1)
        return postgres.reading(writes), writes

    def _migrate(self, c: Connection) -> None:
        if not self._is_sqlite:
            postgres.make_schema(c, self._schema.name)
        migrate(c, self._schema, self.label)
