"""RAG's tables and indexes, and the way of older files to them."""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.store.jobs import Jobs
from services.store.lexical import WordIndex
from services.store.replies import Replies
from services.store.schema import Schema, statements
from services.store.vectors import VectorIndex

TITLE_WEIGHT, TEXT_WEIGHT = 2.0, 1.0
"""A word in the title says more about what a passage is about than one in its text."""

PRODUCER = ("provider", "engine", "model", "prompt_version", "at", "digest", "params_hash")
"""The columns of a `Producer`."""

TABLES = MetaData()

DOCUMENT = Table(
    "document",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("chars", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("pages", Text, nullable=False),
    Column("is_embedded", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("workspace", "id"),
    Index("document_source", "workspace", "collection", "content_hash"),
    sqlite_autoincrement=True,
)

CHUNK = Table(
    "chunk",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("document", Integer, ForeignKey("document.number", ondelete="CASCADE"), nullable=False),
    Column("workspace", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer),
    UniqueConstraint("document", "number"),
    sqlite_autoincrement=True,
)

COLLECTION = Table(
    "collection",
    TABLES,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("workspace", "name"),
)

UPLOAD = Table(
    "upload",
    TABLES,
    Column("job", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

FEEDBACK = Table(
    "feedback",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("workspace", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("rating", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("wrong_n", Integer),
    Column("wrong_document", Text),
    Column("wrong_start", Integer),
    Column("wrong_end", Integer),
    *(Column(name, Text, nullable=False) for name in PRODUCER),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    UniqueConstraint("workspace", "reader", "about"),
    Index("feedback_document", "workspace", "wrong_document"),
    sqlite_autoincrement=True,
)
"""A producer without a provider: no model was asked. Older stores get the table when they are opened."""

JOBS = Jobs(TABLES)
REPLIES = Replies(TABLES)
WORDS = WordIndex("chunk_words", ("title", "text"), (TITLE_WEIGHT, TEXT_WEIGHT))
VECTORS = VectorIndex("chunk_vector", TABLES, reindex="cutover reindex rag")


def _hash_sources(c: Connection) -> None:
    """What plain text came from is the text itself."""
    for (number,) in c.execute(text("SELECT number FROM document")).tuples().all():
        words = c.execute(text("SELECT text FROM document WHERE number = :n"), {"n": number}).scalar_one()
        known = {"n": number, "hash": hashlib.sha256(words.encode()).hexdigest()}
        c.execute(text("UPDATE document SET content_hash = :hash WHERE number = :n"), known)


_REBUILD = statements(
    "ALTER TABLE chunk RENAME TO chunk_1",
    "ALTER TABLE document RENAME TO document_1",
    """CREATE TABLE document (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, workspace TEXT NOT NULL,
        collection TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, chars INTEGER NOT NULL,
        source TEXT NOT NULL, media_type TEXT NOT NULL, content_hash TEXT NOT NULL, pages TEXT NOT NULL,
        is_embedded INTEGER NOT NULL, created_at TEXT NOT NULL, UNIQUE (workspace, id))""",
    "CREATE INDEX document_source ON document (workspace, collection, content_hash)",
    """CREATE TABLE chunk (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE, workspace TEXT NOT NULL,
        collection TEXT NOT NULL, number INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
        page INTEGER, UNIQUE (document, number))""",
    """INSERT INTO document SELECT number, id, 'default', '', title, text, length(text), '', 'text/plain', '', '[]', 0,
        created_at FROM document_1""",
    """INSERT INTO chunk SELECT id, document, 'default', '', number, start, "end", NULL FROM chunk_1""",
    "DROP TABLE chunk_1",
    "DROP TABLE document_1",
)


def _to_workspaces(c: Connection) -> None:
    """From version 1, SQLite's alone: documents had neither workspace nor collection, and no source but their text.

    Passages keep their numbers, and with them their words.
    """
    _REBUILD(c)
    _hash_sources(c)


SCHEMA = Schema(name="rag", tables=TABLES, migrations=(_to_workspaces,), indexes=(WORDS, VECTORS))
