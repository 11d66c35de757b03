"""One SQLite file per service: opened and migrated once, used from one thread of its own, written in transactions.

One thread and one connection, because SQLite has one writer anyway and the engines, not the store, are what a
request waits for. A transaction that a killed process leaves behind is rolled back by the next open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from services.store.clock import Clock as Clock
from services.store.clock import utc_now as utc_now
from services.store.errors import StoreError as StoreError

T = TypeVar("T")

BUSY_S = 10.0
"""How long a write waits for another process that writes to the same file, in seconds."""

Migration = Sequence[str]
"""The statements that lead from one schema version to the next."""


class Database:
    """Use as `async with`. `migrations[n]` leads from version n to n+1; `PRAGMA user_version` counts them."""

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self._path = path
        self._migrations = migrations
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Database:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"store-{self._path.stem}")
        try:
            await self._call(self._open)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file. May be called twice."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        thread.submit(self._close)
        await asyncio.to_thread(thread.shutdown)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`, which only reads. Raises `StoreError`."""
        return await self._call(lambda: work(self._opened()))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`, all of it committed or none. Raises `StoreError`."""
        return await self._call(lambda: self._transact(work))

    async def forget(self) -> None:
        """Let nothing of what was deleted stay behind in the write-ahead log."""
        await self.read(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def check(self) -> None:
        """Raises `StoreError` when the store does not answer."""
        await self.read(lambda c: c.execute("SELECT count(*) FROM sqlite_master").fetchone())

    async def _call(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"{self._path} is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as exc:
            code = getattr(exc, "sqlite_errorcode", None)
            raise StoreError(f"{self._path}: {exc}", is_full=code == sqlite3.SQLITE_FULL) from exc

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._opened()
        with transaction(connection):
            return work(connection)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path} is not open")
        return self._connection

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"cannot make the folder of {self._path}: {exc}") from exc
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        self._connection = connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # what was answered 201 survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # a deleted text is overwritten, not just unlinked
        self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(self._migrations):
                raise StoreError(f"{self._path} was written by a newer Cutover (schema {version}); upgrade this one")
            for migration in self._migrations[version:]:
                for statement in migration:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(self._migrations)}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end, or roll everything back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
