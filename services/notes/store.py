"""Where notes and their summaries live: the port that the use cases need, and its SQLite adapter."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from services.web.provenance import Producer
from services.web.room import Store
from services.web.sqlite import Clock, Database, Migration, utc_now
from services.web.words import match_expression

SNIPPET_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A stored summary of version `of_version` of its note."""

    text: str
    of_version: int
    producer: Producer


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A stored note. `number` orders notes by age; `version` counts its saves."""

    number: int
    id: str
    title: str
    text: str
    version: int
    created_at: str
    updated_at: str
    summary: Summary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteHit:
    """A found note with the place that was found; a higher score is better."""

    id: str
    title: str
    snippet: str
    score: float


class VersionConflict(Exception):
    """Somebody saved the note meanwhile; `current` is its version now."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the note is at version {current} now")
        self.current = current


class Notebook(Store, Protocol):
    """The port. What it raises is a `StoreError`, or a `VersionConflict` where it says so."""

    async def add(self, title: str, text: str) -> Note: ...

    async def get(self, note_id: str) -> Note | None: ...

    async def page(self, limit: int, after: int) -> list[Note]:
        """At most `limit` notes younger than number `after`, oldest first."""

    async def save(self, note_id: str, title: str, text: str, *, expected: int | None) -> Note | None:
        """The note with a new version. Raises `VersionConflict` unless it was at `expected` (None: at any)."""

    async def delete(self, note_id: str) -> bool:
        """Forget the note and its summary for good; False when there was none."""

    async def search(self, query: str, limit: int) -> list[NoteHit]:
        """The best notes for the words of `query`, best first."""

    async def summarised(self, note_id: str, summary: Summary) -> Note | None:
        """The note with `summary` in place of an older one; None when the note is gone."""


MIGRATIONS: Sequence[Migration] = (
    (
        """CREATE TABLE note (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
            text TEXT NOT NULL, version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)""",
        """CREATE TABLE summary (
            note INTEGER PRIMARY KEY REFERENCES note (number) ON DELETE CASCADE, summary TEXT NOT NULL,
            of_version INTEGER NOT NULL, provider TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL,
            prompt_version TEXT NOT NULL, at TEXT NOT NULL)""",
        "CREATE VIRTUAL TABLE note_words USING fts5 (title, text, tokenize = 'porter unicode61')",
    ),
    (
        "ALTER TABLE summary ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE summary ADD COLUMN params_hash TEXT NOT NULL DEFAULT ''",
    ),
)

_NOTE = "SELECT * FROM note n LEFT JOIN summary s ON s.note = n.number"

_SEARCH = f"""
    SELECT n.id, n.title, snippet(note_words, 1, '', '', '…', {SNIPPET_TOKENS}) AS snippet,
        -bm25(note_words, 2.0, 1.0) AS score
    FROM note_words w JOIN note n ON n.number = w.rowid
    WHERE note_words MATCH ? ORDER BY score DESC, n.number LIMIT ?"""


_KEEP_SUMMARY = """
    INSERT INTO summary
        (note, summary, of_version, provider, engine, model, prompt_version, at, digest, params_hash)
    VALUES
        (:note, :summary, :of_version, :provider, :engine, :model, :prompt_version, :at, :digest, :params_hash)
    ON CONFLICT (note) DO UPDATE SET
        summary = excluded.summary, of_version = excluded.of_version, provider = excluded.provider,
        engine = excluded.engine, model = excluded.model, prompt_version = excluded.prompt_version, at = excluded.at,
        digest = excluded.digest, params_hash = excluded.params_hash
    WHERE excluded.of_version >= of_version"""
"""A slow summary of an old version never replaces one of a newer version."""


class SqliteNotebook:
    """The adapter for one SQLite file."""

    def __init__(
        self, path: Path, *, now: Clock = utc_now, new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self._database = Database(path, MIGRATIONS)
        self._now = now
        self._new_id = new_id

    async def __aenter__(self) -> SqliteNotebook:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.aclose()

    async def check(self) -> None:
        await self._database.check()

    async def add(self, title: str, text: str) -> Note:
        return await self._database.write(lambda c: _add(c, self._new_id(), title, text, self._now()))

    async def get(self, note_id: str) -> Note | None:
        return await self._database.read(lambda c: _get(c, note_id))

    async def page(self, limit: int, after: int) -> list[Note]:
        query = f"{_NOTE} WHERE n.number > ? ORDER BY n.number LIMIT ?"
        rows = await self._database.read(lambda c: c.execute(query, (after, limit)).fetchall())
        return [_note(row) for row in rows]

    async def save(self, note_id: str, title: str, text: str, *, expected: int | None) -> Note | None:
        return await self._database.write(lambda c: _save(c, note_id, title, text, expected, self._now()))

    async def delete(self, note_id: str) -> bool:
        deleted = await self._database.write(lambda c: _delete(c, note_id))
        if deleted:
            await self._database.forget()
        return deleted

    async def search(self, query: str, limit: int) -> list[NoteHit]:
        expression = match_expression(query)
        if expression is None:
            return []
        rows = await self._database.read(lambda c: c.execute(_SEARCH, (expression, limit)).fetchall())
        return [NoteHit(**row) for row in rows]

    async def summarised(self, note_id: str, summary: Summary) -> Note | None:
        return await self._database.write(lambda c: _summarised(c, note_id, summary))


def _get(connection: sqlite3.Connection, note_id: str) -> Note | None:
    row = connection.execute(f"{_NOTE} WHERE n.id = ?", (note_id,)).fetchone()
    return None if row is None else _note(row)


def _add(connection: sqlite3.Connection, note_id: str, title: str, text: str, at: str) -> Note:
    number = connection.execute(
        "INSERT INTO note (id, title, text, version, created_at, updated_at) VALUES (?, ?, ?, 1, ?, ?)",
        (note_id, title, text, at, at),
    ).lastrowid
    assert number is not None
    _index(connection, number, title, text)
    return Note(
        number=number, id=note_id, title=title, text=text, version=1, created_at=at, updated_at=at, summary=None
    )


def _save(
    connection: sqlite3.Connection, note_id: str, title: str, text: str, expected: int | None, at: str
) -> Note | None:
    note = _get(connection, note_id)
    if note is None:
        return None
    if expected is not None and note.version != expected:
        raise VersionConflict(note.version)
    connection.execute(
        "UPDATE note SET title = ?, text = ?, version = version + 1, updated_at = ? WHERE number = ?",
        (title, text, at, note.number),
    )
    connection.execute("DELETE FROM note_words WHERE rowid = ?", (note.number,))
    _index(connection, note.number, title, text)
    return _get(connection, note_id)


def _delete(connection: sqlite3.Connection, note_id: str) -> bool:
    note = _get(connection, note_id)
    if note is None:
        return False
    connection.execute("DELETE FROM note_words WHERE rowid = ?", (note.number,))
    connection.execute("DELETE FROM note WHERE number = ?", (note.number,))
    connection.execute("INSERT INTO note_words (note_words) VALUES ('optimize')")  # drops the deleted words as well
    return True


def _summarised(connection: sqlite3.Connection, note_id: str, summary: Summary) -> Note | None:
    note = _get(connection, note_id)
    if note is None:
        return None
    made = {"note": note.number, "summary": summary.text, "of_version": summary.of_version}
    connection.execute(_KEEP_SUMMARY, {**made, **summary.producer.model_dump()})
    return _get(connection, note_id)


def _index(connection: sqlite3.Connection, number: int, title: str, text: str) -> None:
    connection.execute("INSERT INTO note_words (rowid, title, text) VALUES (?, ?, ?)", (number, title, text))


def _note(row: sqlite3.Row) -> Note:
    return Note(summary=_summary(row), **{f: row[f] for f in _COLUMNS})


def _summary(row: sqlite3.Row) -> Summary | None:
    if row["note"] is None:
        return None
    made: dict[str, Any] = {f: row[f] for f in Producer.model_fields}
    return Summary(text=row["summary"], of_version=row["of_version"], producer=Producer(**made))


_COLUMNS = ("number", "id", "title", "text", "version", "created_at", "updated_at")
