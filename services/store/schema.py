"""A service's tables and how older databases become them. Runs inside one transaction that `Database` holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Inspector, MetaData, inspect, text

from services.store.errors import StoreError

Migration = Callable[[Connection], None]
"""Leads from one schema version to the next, rows included. Frozen once it has shipped."""

FIRST = 1
"""The version of a database that no migration has touched."""


class Index(Protocol):
    """An index that is no plain table and differs between SQLite and PostgreSQL: words, vectors."""

    def create(self, c: Connection) -> None:
        """Make it where it is missing."""

    def named(self, c: Connection) -> Mapping[str, str]:
        """What it searches with, by what it searches for; for `/readyz`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a service keeps. `name` is the service; on PostgreSQL it is the schema that its tables live in.

    `migrations[n]` leads from version `FIRST + n` to the next. A new database starts at the newest version, from
    `tables` and `indexes`; an older one is led there first, and then gets the tables and indexes it lacks.
    """

    name: str
    tables: MetaData
    migrations: Sequence[Migration] = ()
    indexes: Sequence[Index] = ()

    @property
    def version(self) -> int:
        """The newest version."""
        return FIRST + len(self.migrations)


def migrate(c: Connection, schema: Schema, label: str) -> None:
    """Bring the database of `c` to `schema`. Raises `StoreError` for one that a newer program wrote."""
    version = _version(c)
    if version > schema.version:
        raise StoreError(f"{label} was written by a newer Cutover (schema {version}); upgrade this one")
    if version:
        for migration in schema.migrations[version - FIRST :]:
            migration(c)
    schema.tables.create_all(c)
    for index in schema.indexes:
        index.create(c)
    _keep_version(c, schema.version)


def statements(*lines: str) -> Migration:
    """A migration of plain SQL."""

    def run(c: Connection) -> None:
        for line in lines:
            c.execute(text(line))

    return run


def is_sqlite(c: Connection) -> bool:
    """Whether `c` leads to SQLite; the other one is PostgreSQL."""
    return c.dialect.name == "sqlite"


def _version(c: Connection) -> int:
    if is_sqlite(c):
        return int(c.execute(text("PRAGMA user_version")).scalar_one())
    found: Inspector = inspect(c)
    if not found.has_table("schema_version"):
        return 0
    return int(c.execute(text("SELECT version FROM schema_version")).scalar_one())


def _keep_version(c: Connection, version: int) -> None:
    if is_sqlite(c):
        c.execute(text(f"PRAGMA user_version={version}"))
        return
    c.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    c.execute(text("DELETE FROM schema_version"))
    c.execute(text("INSERT INTO schema_version VALUES (:version)"), {"version": version})
