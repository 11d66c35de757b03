"""Where documents, entities and mentions live: the port that the use cases need, and its SQLite adapter."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from services.ner.grounding import Mention
from services.web.provenance import Producer
from services.web.room import Store
from services.web.sqlite import Clock, Database, Migration, utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document that was read, and who read it."""

    id: str
    text: str
    created_at: str
    producer: Producer


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A name of one type, under however many spellings; `mentions` counts its places in all documents."""

    id: int
    name: str
    type: str
    mentions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One mention: where an entity is named, and who found it there."""

    document_id: str
    text: str
    start: int
    end: int
    producer: Producer


class Graph(Store, Protocol):
    """The port. Everything it raises is a `StoreError`."""

    async def put(self, text: str, mentions: Sequence[Mention], producer: Producer) -> tuple[StoredDocument, bool]:
        """The document with these mentions in place of older ones, and whether its text is new."""

    async def document(self, document_id: str) -> tuple[StoredDocument, list[Mention]] | None: ...

    async def delete(self, document_id: str) -> bool:
        """Forget the document and its mentions; entities live on while another document names them."""

    async def entities(self, q: str, type: str | None, limit: int) -> list[Entity]:
        """Entities whose name holds `q`, the most mentioned first."""

    async def entity(self, entity_id: int) -> tuple[Entity, list[Place]] | None: ...


_PRODUCER_COLUMNS = (
    "provider TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL, prompt_version TEXT NOT NULL, at TEXT NOT NULL"
)

MIGRATIONS: Sequence[Migration] = (
    (
        f"""CREATE TABLE document (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, created_at TEXT NOT NULL,
            {_PRODUCER_COLUMNS})""",
        """CREATE TABLE entity (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL,
            UNIQUE (key, type))""",
        """CREATE TABLE mention (
            document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE,
            entity INTEGER NOT NULL REFERENCES entity (id), start INTEGER NOT NULL, "end" INTEGER NOT NULL,
            text TEXT NOT NULL, PRIMARY KEY (document, start, "end", entity)) WITHOUT ROWID""",
        "CREATE INDEX mention_entity ON mention (entity)",
    ),
    (
        "ALTER TABLE document ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE document ADD COLUMN params_hash TEXT NOT NULL DEFAULT ''",
    ),
)

_ENTITY = """
    SELECT e.id, e.name, e.type, (SELECT count(*) FROM mention m WHERE m.entity = e.id) AS mentions FROM entity e"""

_PLACES = """
    SELECT d.id AS document_id, m.text, m.start, m."end", d.provider, d.engine, d.model, d.prompt_version, d.at,
        d.digest, d.params_hash
    FROM mention m JOIN document d ON d.number = m.document WHERE m.entity = ? ORDER BY d.number, m.start"""

_MENTIONS = """
    SELECT m.text, e.type, m.start, m."end" FROM mention m JOIN entity e ON e.id = m.entity
    JOIN document d ON d.number = m.document WHERE d.id = ? ORDER BY m.start, m."end", e.type"""


class SqliteGraph:
    """The adapter for one SQLite file."""

    def __init__(self, path: Path, *, now: Clock = utc_now) -> None:
        self._database = Database(path, MIGRATIONS)
        self._now = now

    async def __aenter__(self) -> SqliteGraph:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.aclose()

    async def check(self) -> None:
        await self._database.check()

    async def put(self, text: str, mentions: Sequence[Mention], producer: Producer) -> tuple[StoredDocument, bool]:
        return await self._database.write(lambda c: _put(c, text, mentions, producer, self._now()))

    async def document(self, document_id: str) -> tuple[StoredDocument, list[Mention]] | None:
        return await self._database.read(lambda c: _document(c, document_id))

    async def delete(self, document_id: str) -> bool:
        deleted = await self._database.write(lambda c: _delete(c, document_id))
        if deleted:
            await self._database.forget()
        return deleted

    async def entities(self, q: str, type: str | None, limit: int) -> list[Entity]:
        query = (
            f"{_ENTITY} WHERE instr(e.key, ?) > 0 AND e.type = coalesce(?, e.type) ORDER BY mentions DESC, e.id LIMIT ?"
        )
        rows = await self._database.read(lambda c: c.execute(query, (_key(q), type, limit)).fetchall())
        return [_entity(row) for row in rows]

    async def entity(self, entity_id: int) -> tuple[Entity, list[Place]] | None:
        return await self._database.read(lambda c: _entity_with_places(c, entity_id))


def document_id(text: str) -> str:
    """The same text has the same id, here and on every other machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _key(name: str) -> str:
    """What two spellings of one name share."""
    return " ".join(name.casefold().split())


def _put(
    connection: sqlite3.Connection, text: str, mentions: Sequence[Mention], producer: Producer, at: str
) -> tuple[StoredDocument, bool]:
    identifier = document_id(text)
    existing = connection.execute("SELECT number, created_at FROM document WHERE id = ?", (identifier,)).fetchone()
    made = producer.model_dump()
    if existing is None:
        columns = {"id": identifier, "text": text, "created_at": at, **made}
        names, marks = ", ".join(columns), ", ".join(f":{c}" for c in columns)
        number = connection.execute(f"INSERT INTO document ({names}) VALUES ({marks})", columns).lastrowid
    else:
        number, at = existing["number"], existing["created_at"]
        changes = ", ".join(f"{c} = :{c}" for c in made)
        connection.execute(f"UPDATE document SET {changes} WHERE number = :number", {**made, "number": number})
        connection.execute("DELETE FROM mention WHERE document = ?", (number,))
    for mention in mentions:
        connection.execute(
            'INSERT OR IGNORE INTO mention (document, entity, start, "end", text) VALUES (?, ?, ?, ?, ?)',
            (number, _entity_id(connection, mention), mention.start, mention.end, mention.text),
        )
    _drop_unnamed(connection)
    return StoredDocument(id=identifier, text=text, created_at=at, producer=producer), existing is None


def _entity_id(connection: sqlite3.Connection, mention: Mention) -> int:
    named = (_key(mention.text), mention.type)
    connection.execute(
        "INSERT INTO entity (name, key, type) VALUES (?, ?, ?) ON CONFLICT (key, type) DO NOTHING",
        (mention.text, *named),
    )
    row = connection.execute("SELECT id FROM entity WHERE key = ? AND type = ?", named).fetchone()
    return int(row["id"])


def _drop_unnamed(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM entity WHERE NOT EXISTS (SELECT 1 FROM mention m WHERE m.entity = entity.id)")


def _delete(connection: sqlite3.Connection, document_id: str) -> bool:
    gone = connection.execute("DELETE FROM document WHERE id = ?", (document_id,)).rowcount > 0
    _drop_unnamed(connection)
    return gone


def _document(connection: sqlite3.Connection, document_id: str) -> tuple[StoredDocument, list[Mention]] | None:
    row = connection.execute("SELECT * FROM document WHERE id = ?", (document_id,)).fetchone()
    if row is None:
        return None
    document = StoredDocument(id=row["id"], text=row["text"], created_at=row["created_at"], producer=_producer(row))
    rows = connection.execute(_MENTIONS, (document_id,)).fetchall()
    return document, [Mention(text=r["text"], type=r["type"], start=r["start"], end=r["end"]) for r in rows]


def _entity_with_places(connection: sqlite3.Connection, entity_id: int) -> tuple[Entity, list[Place]] | None:
    row = connection.execute(f"{_ENTITY} WHERE e.id = ?", (entity_id,)).fetchone()
    if row is None:
        return None
    return _entity(row), [_place(r) for r in connection.execute(_PLACES, (entity_id,)).fetchall()]


def _entity(row: sqlite3.Row) -> Entity:
    return Entity(id=row["id"], name=row["name"], type=row["type"], mentions=row["mentions"])


def _place(row: sqlite3.Row) -> Place:
    return Place(
        document_id=row["document_id"], text=row["text"], start=row["start"], end=row["end"], producer=_producer(row)
    )


def _producer(row: sqlite3.Row) -> Producer:
    made: dict[str, Any] = {f: row[f] for f in Producer.model_fields}
    return Producer(**made)
