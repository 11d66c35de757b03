"""A file of notes that an older Cutover wrote: all of it is there afterwards, in the tables of today."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy

from services.notes.notebook import StoredNotebooks
from services.notes.store import Link
from services.store.sqlite import url_of

FIRST = (
    """CREATE TABLE note (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
        text TEXT NOT NULL, version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)""",
    """CREATE TABLE summary (
        note INTEGER PRIMARY KEY REFERENCES note (number) ON DELETE CASCADE, summary TEXT NOT NULL,
        of_version INTEGER NOT NULL, provider TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL,
        prompt_version TEXT NOT NULL, at TEXT NOT NULL)""",
    "CREATE VIRTUAL TABLE note_words USING fts5 (title, text, tokenize = 'porter unicode61')",
)
SECOND = (
    "ALTER TABLE summary ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE summary ADD COLUMN params_hash TEXT NOT NULL DEFAULT ''",
)


def written(path: Path, version: int) -> None:
    """Two notes, one with a summary, as that version kept them."""
    with sqlite3.connect(path) as c:
        for statement in (*FIRST, *(SECOND if version == 2 else ())):
            c.execute(statement)
        for number, title, text in ((1, "Old Plan", "words of [[rack]]"), (3, "Rack", "other words")):
            row = (number, f"id{number}", title, text, number, "2026-01-01", "2026-01-02")
            c.execute("INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            c.execute("INSERT INTO note_words (rowid, title, text) VALUES (?, ?, ?)", (number, title, text))
        made = "INSERT INTO summary (note, summary, of_version, provider, engine, model, prompt_version, at)"
        c.execute(f"{made} VALUES (3, 'short', 2, 'vllm', 'vllm', 'tiny', 's-1', 'then')")
        c.execute(f"PRAGMA user_version={version}")
    c.close()


@pytest.mark.parametrize("version", [1, 2])
async def test_nothing_of_an_older_file_is_lost(tmp_path: Path, version: int) -> None:
    """Notes, versions, summaries and search; links and history begin with what is there."""
    written(tmp_path / "notes.db", version)
    async with StoredNotebooks(url_of(tmp_path / "notes.db")) as store:
        notebook = store.of("default")
        plan, rack = await notebook.page(9, 0)

        assert [(n.number, n.id, n.title, n.version, n.created_at, n.updated_at) for n in (plan, rack)] == [
            (1, "id1", "Old Plan", 1, "2026-01-01", "2026-01-02"),
            (3, "id3", "Rack", 3, "2026-01-01", "2026-01-02"),
        ]
        assert rack.summary is not None
        assert (rack.summary.text, rack.summary.producer.model, rack.is_stale) == ("short", "tiny", True)
        assert await notebook.links(plan) == ([Link(name="rack", note_id="id3")], [])
        assert [v.version for v in await notebook.history("id3")] == [3]
        assert [h.id for h in await notebook.search("plan", 9)] == ["id1"]
        assert (await notebook.add("New", "x")).number > 3


@pytest.mark.parametrize("version", [1, 2])
async def test_a_migrated_file_has_the_tables_of_a_new_one(tmp_path: Path, version: int) -> None:
    written(tmp_path / "old.db", version)
    shapes = []
    for name in ("old.db", "new.db"):
        async with StoredNotebooks(url_of(tmp_path / name)):
            pass
        shapes.append(shape(tmp_path / name))

    assert shapes[0] == shapes[1]


def shape(path: Path) -> dict[str, object]:
    engine = sqlalchemy.create_engine(url_of(path))
    found = sqlalchemy.inspect(engine)
    shapes = {
        table: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(u["column_names"] for u in found.get_unique_constraints(table)),
            sorted((f["constrained_columns"], f["referred_table"]) for f in found.get_foreign_keys(table)),
            sorted(i["name"] or "" for i in found.get_indexes(table)),
        )
        for table in found.get_table_names()
        if not table.startswith("note_words")
    }
    engine.dispose()
    return shapes
