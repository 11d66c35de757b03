"""The tables of Notes, and how the file of an older version becomes them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.notes.links import named, targets
from services.store.jobs import Jobs
from services.store.lexical import WordIndex
from services.store.replies import Replies
from services.store.schema import Schema, statements
from services.store.vectors import VectorIndex

PRODUCER = ("provider", "engine", "model", "prompt_version", "at", "digest", "params_hash")
"""The columns of a `Producer`."""

TABLES = MetaData()

NOTE = Table(
    "note",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("id", String, nullable=False),
    Column("path", String, nullable=False),
    Column("name", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    UniqueConstraint("workspace", "id"),
    sqlite_autoincrement=True,
)
"""`path` is where an imported note lay in its folder; `name` is what links call the note (`links.named`)."""

NOTE_BY_NAME = Index("note_by_name", NOTE.c.workspace, NOTE.c.name)
NOTE_BY_PATH = Index("note_by_path", NOTE.c.workspace, NOTE.c.path)


VERSION = Table(
    "note_version",
    TABLES,
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("saved_at", String, nullable=False),
)
"""Every version of a note, the one that it has now included."""

SUMMARY = Table(
    "summary",
    TABLES,
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("summary", Text, nullable=False),
    Column("of_version", Integer, nullable=False),
    *(Column(name, String, nullable=False) for name in PRODUCER),
)

SUMMARY_BEFORE = Table(
    "summary_before",
    TABLES,
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("summary", Text, nullable=False),
    Column("of_version", Integer, nullable=False),
    *(Column(name, String, nullable=False) for name in PRODUCER),
)
"""What the summary that a note has now took the place of, so that both can be compared, and turned round."""

TAG = Table(
    "tag",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("slug", String, nullable=False),
    UniqueConstraint("workspace", "slug"),
)

TAG_ALIAS = Table(
    "tag_alias",
    TABLES,
    Column("workspace", String, primary_key=True),
    Column("slug", String, primary_key=True),
    Column("tag", ForeignKey("tag.number", ondelete="CASCADE"), nullable=False),
)
"""What a tag was called before it was merged: whoever names it so still means the tag that it became."""

NOTE_TAG = Table(
    "note_tag",
    TABLES,
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("tag", ForeignKey("tag.number", ondelete="CASCADE"), primary_key=True),
    Column("state", String, nullable=False),
    Column("of_version", Integer, nullable=False),
    *(Column(name, String, nullable=False) for name in PRODUCER),
)
"""A producer without a provider is a person."""

TAG_NOTES = Index("note_tag_by_tag", NOTE_TAG.c.tag)

LINK = Table(
    "note_link",
    TABLES,
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("name", String, primary_key=True),
)
LINK_BY_NAME = Index("note_link_by_name", LINK.c.name)


def _name_and_link(c: Connection) -> None:
    for row in c.execute(text("SELECT number, title, text FROM note")).all():
        c.execute(text("UPDATE note SET name = :name WHERE number = :n"), {"name": named(row.title), "n": row.number})
        for name in targets(row.text):
            c.execute(text("INSERT INTO note_link VALUES (:n, :name)"), {"n": row.number, "name": name})


PASSAGE = Table(
    "passage",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("note", ForeignKey("note.number", ondelete="CASCADE"), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""A piece of a note that has a vector: `start`..`end` of its text."""

PASSAGE_OF_NOTE = Index("passage_of_note", PASSAGE.c.note)

VECTORS = VectorIndex("note_vector", TABLES, reindex="POST /v1/rerun with where=vectors")

WORDS = WordIndex("note_words", ("title", "text"), (2.0, 1.0))

JOBS = Jobs(TABLES)
REPLIES = Replies(TABLES)
JOB_OF_NOTE = Index("job_of_note", JOBS.table.c.workspace, JOBS.table.c.payload)


def _with_parameters(c: Connection) -> None:
    statements(
        "ALTER TABLE summary ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE summary ADD COLUMN params_hash TEXT NOT NULL DEFAULT ''",
    )(c)


def _with_workspaces(c: Connection) -> None:
    """Notes get a workspace, a history and links."""
    statements(
        "ALTER TABLE summary RENAME TO summary_2",
        "ALTER TABLE note RENAME TO note_2",
        """CREATE TABLE note (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, workspace VARCHAR NOT NULL, id VARCHAR NOT NULL,
            path VARCHAR NOT NULL, name VARCHAR NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
            properties TEXT NOT NULL, archived BOOLEAN NOT NULL, version INTEGER NOT NULL,
            created_at VARCHAR NOT NULL, updated_at VARCHAR NOT NULL, UNIQUE (workspace, id))""",
        "CREATE INDEX note_by_name ON note (workspace, name)",
        "CREATE INDEX note_by_path ON note (workspace, path)",
        """INSERT INTO note (number, workspace, id, path, name, title, text, properties, archived, version,
            created_at, updated_at)
            SELECT number, 'default', id, '', '', title, text, '', 0, version, created_at, updated_at FROM note_2""",
        """CREATE TABLE note_version (
            note INTEGER NOT NULL REFERENCES note (number) ON DELETE CASCADE, version INTEGER NOT NULL,
            title TEXT NOT NULL, text TEXT NOT NULL, saved_at VARCHAR NOT NULL, PRIMARY KEY (note, version))""",
        "INSERT INTO note_version SELECT number, version, title, text, updated_at FROM note",
        """CREATE TABLE summary (
            note INTEGER NOT NULL PRIMARY KEY REFERENCES note (number) ON DELETE CASCADE, summary TEXT NOT NULL,
            of_version INTEGER NOT NULL, provider VARCHAR NOT NULL, engine VARCHAR NOT NULL,
            model VARCHAR NOT NULL, prompt_version VARCHAR NOT NULL,
            at VARCHAR NOT NULL, digest VARCHAR NOT NULL,
            params_hash VARCHAR NOT NULL)""",
        """INSERT INTO summary SELECT note, summary, of_version, provider, engine, model, prompt_version, at, digest,
            params_hash FROM summary_2""",
        "DROP TABLE summary_2",
        "DROP TABLE note_2",
        """CREATE TABLE note_link (
            note INTEGER NOT NULL REFERENCES note (number) ON DELETE CASCADE, name VARCHAR NOT NULL,
            PRIMARY KEY (note, name))""",
        "CREATE INDEX note_link_by_name ON note_link (name)",
    )(c)
    _name_and_link(c)


MIGRATIONS = (_with_parameters, _with_workspaces)
"""Only SQLite ever had the first two versions."""

SCHEMA = Schema(name="notes", tables=TABLES, migrations=MIGRATIONS, indexes=(WORDS, VECTORS))
