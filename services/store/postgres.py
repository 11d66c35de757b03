"""PostgreSQL as the stores use it: a schema per service, one writer at a time, and what its errors mean."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Connection, Engine, text

WAIT_S = 10.0
"""How long a write waits for another one, and a connection for the server, in seconds; as SQLite's `BUSY_S`."""

DISK_FULL = "53100"
"""The SQLSTATE of a full disk."""


def engine(url: sqlalchemy.URL, *, name: str, connections: int) -> Engine:
    """An engine whose tables live in the schema `name`; types of extensions are found in `public`.

    Every query of a store is short: to compile it, or to start processes for it, takes longer than it does. Planned
    once for all that may be asked, a search would parse the words again for each row. And pages that the system holds
    in memory, as it does those of a store in use, are read sooner by the query itself than by other processes for it.
    """
    short = "-cjit=off -cmax_parallel_workers_per_gather=0 -ceffective_io_concurrency=0"
    fixed = f"-csearch_path={name},public -clock_timeout={WAIT_S:.0f}s -cplan_cache_mode=force_custom_plan"
    return sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"options": f"{fixed} {short}", "connect_timeout": int(WAIT_S)},
        hide_parameters=True,
    )


def reading(made: Engine) -> Engine:
    """The same connections, for transactions that see one moment and refuse to write."""
    return made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def alone(c: Connection, name: str) -> None:
    """Wait until no other writer of the schema `name` is left, in this process or another; ends with the transaction.

    SQLite has one writer. With one here as well, a use case that is right on one store is right on the other.
    """
    c.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"cutover {name}"})


def make_schema(c: Connection, name: str) -> None:
    """The schema `name`, where it is missing."""
    c.execute(sqlalchemy.schema.CreateSchema(name, if_not_exists=True))


def version(c: Connection) -> str:
    """The server that answers, and what it keeps pages in: a search is slower where the store's do not fit."""
    number, buffers = (c.execute(text(f"SHOW {name}")).scalar_one() for name in ("server_version", "shared_buffers"))
    return f"PostgreSQL {number} (shared_buffers {buffers})"


def analyze(c: Connection) -> None:
    """Renew what the server knows of the schema's tables, as its autovacuum does a minute or so after many writes."""
    tables = c.execute(text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()"))
    c.execute(text(f"ANALYZE {', '.join(tables.scalars())}"))


def is_full(error: BaseException | None) -> bool:
    """Whether the driver's `error` says that the disk is full."""
    return getattr(error, "sqlstate", None) == DISK_FULL


def told(error: BaseException) -> str:
    """The driver's message without its details, which may hold texts of the rows."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return str(primary or error).strip()
