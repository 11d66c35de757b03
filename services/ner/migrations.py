"""How the database of an older NER becomes today's. Frozen once shipped; only SQLite ever had the first two."""

from __future__ import annotations

from sqlalchemy import Connection, text

from services.ner.names import key, skeleton
from services.store.schema import Migration, statements

_PARAMETERS = (
    "ALTER TABLE document ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE document ADD COLUMN params_hash TEXT NOT NULL DEFAULT ''",
)

_ASKED = (
    "ALTER TABLE reading ADD COLUMN params VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE reading ADD COLUMN accepted_by VARCHAR DEFAULT '' NOT NULL",
)

_RENAMED = (
    "DROP INDEX mention_entity",
    "ALTER TABLE mention RENAME TO mention_2",
    "ALTER TABLE entity RENAME TO entity_2",
    "ALTER TABLE document RENAME TO document_2",
)

_MADE = (
    """CREATE TABLE document (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, workspace VARCHAR NOT NULL, id VARCHAR NOT NULL,
        text TEXT NOT NULL, created_at VARCHAR NOT NULL, UNIQUE (workspace, id))""",
    """CREATE TABLE reading (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE,
        provider VARCHAR DEFAULT '' NOT NULL, engine VARCHAR DEFAULT '' NOT NULL, model VARCHAR DEFAULT '' NOT NULL,
        prompt_version VARCHAR DEFAULT '' NOT NULL, at VARCHAR DEFAULT '' NOT NULL,
        digest VARCHAR DEFAULT '' NOT NULL, params_hash VARCHAR DEFAULT '' NOT NULL)""",
    """CREATE TABLE entity (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, workspace VARCHAR NOT NULL, name TEXT NOT NULL,
        type VARCHAR NOT NULL, "key" TEXT NOT NULL, skeleton TEXT NOT NULL, root INTEGER NOT NULL,
        UNIQUE (workspace, "key", type))""",
    """CREATE TABLE mention (
        reading INTEGER NOT NULL REFERENCES reading (id) ON DELETE CASCADE, start INTEGER NOT NULL,
        "end" INTEGER NOT NULL, entity INTEGER NOT NULL REFERENCES entity (id) ON DELETE CASCADE, text TEXT NOT NULL,
        PRIMARY KEY (reading, start, "end", entity))""",
    "CREATE INDEX reading_document ON reading (document)",
    "CREATE INDEX entity_root ON entity (root)",
    "CREATE INDEX entity_type ON entity (workspace, type)",
    "CREATE INDEX mention_entity ON mention (entity)",
)

_MOVED = (
    "INSERT INTO document SELECT number, 'default', id, text, created_at FROM document_2",
    """INSERT INTO reading SELECT number, number, provider, engine, model, prompt_version, at, digest, params_hash
        FROM document_2""",
)

_DROPPED = ("DROP TABLE mention_2", "DROP TABLE entity_2", "DROP TABLE document_2")


def _with_parameters(c: Connection) -> None:
    statements(*_PARAMETERS)(c)


def _graph(c: Connection) -> None:
    """Workspaces, readings, and names that are compared by key and by skeleton."""
    statements(*_RENAMED, *_MADE, *_MOVED)(c)
    _names(c)
    statements(*_DROPPED)(c)


def _names(c: Connection) -> None:
    """Each entity under its new key; those that share one now become the oldest of them."""
    new = text("INSERT INTO entity VALUES (:id, 'default', :name, :type, :key, :skeleton, :id)")
    move = text(
        """INSERT OR IGNORE INTO mention
            SELECT document, start, "end", :kept, text FROM mention_2 WHERE entity = :id"""
    )
    kept: dict[tuple[str, str], int] = {}
    for row in c.execute(text("SELECT id, name, type FROM entity_2 ORDER BY id")).all():
        named = (key(row.name), row.type)
        if named not in kept:
            kept[named] = row.id
            values = {"id": row.id, "name": row.name, "type": row.type}
            c.execute(new, {**values, "key": named[0], "skeleton": skeleton(row.name)})
        c.execute(move, {"kept": kept[named], "id": row.id})


def _asked(c: Connection) -> None:
    """What a reading was asked for, and who accepted what was proposed; on SQLite and PostgreSQL alike."""
    statements(*_ASKED)(c)


MIGRATIONS: tuple[Migration, ...] = (_with_parameters, _graph, _asked)
