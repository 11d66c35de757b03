"""SQLite as the stores use it: which build of it, how a file is opened, and what its transactions are."""

from __future__ import annotations

import functools
import importlib
import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event

from services.store.errors import StoreError

BUSY_S = 10.0
"""How long a write waits for another process that writes to the same file, in seconds."""

READER_CACHE_KIB = 32 * 1024
"""What each reading connection may keep in memory of the log's pages, in KiB; those of the file come from the map."""

READER_MAP_BYTES = 2**32
"""How much of a file the reading connections see through the system's own cache, without copying each page of it:
vectors are read from all over the file. It is address space; the memory is the system's to take back."""


def url_of(path: Path) -> str:
    """The address of the store in the file `path`."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()


@functools.cache
def driver() -> ModuleType:
    """Python's own sqlite3 or pysqlite3: whichever loads extensions, the newer where both do; else Python's own.

    One build for a whole process: two in one would break each other's locks on the same file.
    """
    try:
        other = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3
    is_newest = sqlite3.sqlite_version_info >= other.sqlite_version_info
    return sqlite3 if is_newest and hasattr(sqlite3.Connection, "enable_load_extension") else other


@functools.cache
def vector_extension() -> tuple[str, str]:
    """The file of sqlite-vec, or why there is none: exactly one of the two is empty."""
    if not hasattr(driver().Connection, "enable_load_extension"):
        return "", "this Python's sqlite3 loads no extensions, and pysqlite3-binary is not installed"
    try:
        path = str(importlib.import_module("sqlite_vec").loadable_path())
        with_it = driver().connect(":memory:")
        _load(with_it, path)
        with_it.close()
    except (ImportError, driver().Error) as exc:
        return "", f"sqlite-vec does not load: {exc}"
    return path, ""


def engine(url: sqlalchemy.URL, *, writes: bool, connections: int) -> Engine:
    """An engine on the file of `url`. One that does not write refuses to."""
    made = sqlalchemy.create_engine(
        url,
        module=driver(),
        poolclass=sqlalchemy.QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        hide_parameters=True,
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    event.listen(made, "connect", lambda raw, _: _prepare(raw, writes=writes))
    event.listen(made, "begin", lambda c: _begin(c, begin))
    return made


def version() -> str:
    """The SQLite in use, and by which driver."""
    return f"SQLite {driver().sqlite_version} ({driver().__name__.partition('.')[0]})"


def make_file(url: sqlalchemy.URL) -> None:
    """The file of `url` and its folder, where they are missing, for their owner alone. Raises `StoreError`.

    SQLite gives the files beside it (`-wal`, `-shm`) the same mode. What is there keeps the mode that somebody gave it.
    """
    path = Path(url.database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as exc:
        raise StoreError(f"cannot make {path} or its folder: {exc}") from exc


def forget(made: Engine, *, wait_s: float) -> bool:
    """Let nothing of what was deleted stay behind in the write-ahead log. False: a reader still holds it."""
    raw = made.raw_connection()
    try:
        raw.cursor().execute(f"PRAGMA busy_timeout={wait_s * 1000:.0f}")
        is_held, *_ = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        raw.cursor().execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")
        raw.close()
    return not is_held


def seen(c: Connection) -> int | None:
    """A number that is another one after another connection has written, while `c` reads.

    None where `c` has written itself: such a write does not change the number, nor does its being undone.
    """
    raw: Any = c.connection.dbapi_connection
    if raw is None or raw.total_changes:
        return None
    return int(c.exec_driver_sql("PRAGMA data_version").scalar_one())


def is_full(error: BaseException | None) -> bool:
    """Whether the driver's `error` says that the disk is full."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _prepare(raw: Any, *, writes: bool) -> None:
    raw.isolation_level = None  # the driver begins no transactions of its own
    raw.execute("PRAGMA foreign_keys=ON")
    if writes:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")  # what was answered 201 survives a power cut
        raw.execute("PRAGMA secure_delete=ON")  # a deleted text is overwritten, not just unlinked
    else:
        raw.execute("PRAGMA query_only=ON")
        raw.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
        raw.execute(f"PRAGMA mmap_size={READER_MAP_BYTES}")
    path, _ = vector_extension()
    if path:
        _load(raw, path)


def _load(raw: Any, path: str) -> None:
    raw.enable_load_extension(True)
    raw.load_extension(path)
    raw.enable_load_extension(False)


def _begin(c: Connection, statement: str) -> None:
    c.exec_driver_sql(statement)
