"""Where documents and their passages live: the port that the use cases need, and its SQLite adapter (FTS5, bm25)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.rag.chunking import Span
from services.web.room import Store
from services.web.sqlite import Clock, Database, Migration, utc_now
from services.web.words import match_expression

TITLE_WEIGHT, TEXT_WEIGHT = 2.0, 1.0
"""A word in the title says more about what a passage is about than one in its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A stored document; `chunks` is how many passages it was cut into."""

    id: str
    title: str
    text: str
    chunks: int
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A found passage: number `chunk` of its document, an exact span of its text; a higher score is better."""

    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    text: str
    score: float


class Documents(Store, Protocol):
    """The port. Everything it raises is a `StoreError`."""

    async def add(self, title: str, text: str, spans: Sequence[Span]) -> tuple[Document, bool]:
        """The stored document, and whether it is new; title and text that are there already are not stored twice."""

    async def get(self, document_id: str) -> Document | None: ...

    async def all(self) -> list[Document]:
        """Every document, oldest first."""

    async def delete(self, document_id: str) -> bool:
        """Forget the document and its passages for good; False when there was none."""

    async def search(self, query: str, k: int) -> list[Hit]:
        """The `k` best passages for the words of `query`, best first."""


MIGRATIONS: Sequence[Migration] = (
    (
        """CREATE TABLE document (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL,
            created_at TEXT NOT NULL)""",
        """CREATE TABLE chunk (
            id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE,
            number INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, UNIQUE (document, number))""",
        "CREATE VIRTUAL TABLE chunk_words USING fts5 (title, text, tokenize = 'porter unicode61')",
    ),
)

_DOCUMENT = """
    SELECT d.id, d.title, d.text, d.created_at, (SELECT count(*) FROM chunk c WHERE c.document = d.number) AS chunks
    FROM document d"""

_SEARCH = """
    SELECT d.id AS document_id, d.title, c.number AS chunk, c.start, c."end", w.text, -bm25(chunk_words, ?, ?) AS score
    FROM chunk_words w JOIN chunk c ON c.id = w.rowid JOIN document d ON d.number = c.document
    WHERE chunk_words MATCH ? ORDER BY score DESC, c.id LIMIT ?"""


def document_id(title: str, text: str) -> str:
    """The same content has the same id, here and on every other machine."""
    return hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()[:20]


class SqliteDocuments:
    """The adapter for one SQLite file."""

    def __init__(self, path: Path, *, now: Clock = utc_now) -> None:
        self._database = Database(path, MIGRATIONS)
        self._now = now

    async def __aenter__(self) -> SqliteDocuments:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.aclose()

    async def check(self) -> None:
        await self._database.check()

    async def add(self, title: str, text: str, spans: Sequence[Span]) -> tuple[Document, bool]:
        return await self._database.write(lambda c: _add(c, title, text, spans, self._now()))

    async def get(self, document_id: str) -> Document | None:
        return await self._database.read(lambda c: _get(c, document_id))

    async def all(self) -> list[Document]:
        rows = await self._database.read(lambda c: c.execute(f"{_DOCUMENT} ORDER BY d.number").fetchall())
        return [Document(**row) for row in rows]

    async def delete(self, document_id: str) -> bool:
        deleted = await self._database.write(lambda c: _delete(c, document_id))
        if deleted:
            await self._database.forget()
        return deleted

    async def search(self, query: str, k: int) -> list[Hit]:
        expression = match_expression(query)
        if expression is None:
            return []
        found = (TITLE_WEIGHT, TEXT_WEIGHT, expression, k)
        rows = await self._database.read(lambda c: c.execute(_SEARCH, found).fetchall())
        return [Hit(**row) for row in rows]


def _get(connection: sqlite3.Connection, document_id: str) -> Document | None:
    row = connection.execute(f"{_DOCUMENT} WHERE d.id = ?", (document_id,)).fetchone()
    return None if row is None else Document(**row)


def _add(
    connection: sqlite3.Connection, title: str, text: str, spans: Sequence[Span], created_at: str
) -> tuple[Document, bool]:
    identifier = document_id(title, text)
    existing = _get(connection, identifier)
    if existing is not None:
        return existing, False
    number = connection.execute(
        "INSERT INTO document (id, title, text, created_at) VALUES (?, ?, ?, ?)",
        (identifier, title, text, created_at),
    ).lastrowid
    for n, span in enumerate(spans):
        chunk = connection.execute(
            'INSERT INTO chunk (document, number, start, "end") VALUES (?, ?, ?, ?)',
            (number, n, span.start, span.end),
        ).lastrowid
        connection.execute(
            "INSERT INTO chunk_words (rowid, title, text) VALUES (?, ?, ?)",
            (chunk, title, text[span.start : span.end]),
        )
    document = Document(id=identifier, title=title, text=text, chunks=len(spans), created_at=created_at)
    return document, True


def _delete(connection: sqlite3.Connection, document_id: str) -> bool:
    row = connection.execute("SELECT number FROM document WHERE id = ?", (document_id,)).fetchone()
    if row is None:
        return False
    number = row["number"]
    connection.execute("DELETE FROM chunk_words WHERE rowid IN (SELECT id FROM chunk WHERE document = ?)", (number,))
    connection.execute("DELETE FROM document WHERE number = ?", (number,))
    connection.execute("INSERT INTO chunk_words (chunk_words) VALUES ('optimize')")  # drops the deleted words as well
    return True
