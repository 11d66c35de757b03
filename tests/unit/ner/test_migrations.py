"""A graph that an older NER wrote: everything in it is there in today's, under the same numbers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy

from services.ner.store import Graphs
from services.store.sqlite import url_of

SHIPPED = """
CREATE TABLE document (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, created_at TEXT NOT NULL,
    provider TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL, prompt_version TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE entity (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL,
    UNIQUE (key, type));
CREATE TABLE mention (
    document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE,
    entity INTEGER NOT NULL REFERENCES entity (id), start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY (document, start, "end", entity)) WITHOUT ROWID;
CREATE INDEX mention_entity ON mention (entity);
INSERT INTO document VALUES (4, 'd4', 'Tessel pays Tes\u00adsel.', 'c', 'vllm', 'vllm', 'tiny', 'entities-2', 'at');
INSERT INTO entity VALUES (2, 'Tessel', 'organisation', 'tessel'), (9, 'Tes\u00adsel', 'organisation', 'tes\u00adsel'),
    (11, 'Tessel', 'place', 'tessel');
INSERT INTO mention VALUES (4, 2, 0, 6, 'Tessel'), (4, 11, 0, 6, 'Tessel'), (4, 9, 12, 19, 'Tes\u00adsel');
PRAGMA user_version = 1;
"""
"""As the first version made it. Two of the names have one key today: a soft hyphen parts no names any more."""

WITH_PARAMETERS = """
ALTER TABLE document ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE document ADD COLUMN params_hash TEXT NOT NULL DEFAULT '';
UPDATE document SET params_hash = 'p';
PRAGMA user_version = 2;
"""


def written(path: Path, *scripts: str) -> str:
    with sqlite3.connect(path) as raw:
        for script in scripts:
            raw.executescript(script)
    raw.close()
    return url_of(path)


@pytest.mark.parametrize(("scripts", "params"), [((SHIPPED,), ""), ((SHIPPED, WITH_PARAMETERS), "p")])
async def test_an_older_graph_is_kept(tmp_path: Path, scripts: tuple[str, ...], params: str) -> None:
    """Documents with their producer, entities under their numbers, mentions at their places."""
    async with Graphs(written(tmp_path / "ner.db", *scripts)) as graphs:
        graph = graphs.of("default")
        found = await graph.document("d4")
        entities = await graph.entities("", None, 10, None)

        assert found is not None
        document, mentions = found
        assert (document.text, document.created_at, document.producer.model) == (
            "Tessel pays Tes\u00adsel.",
            "c",
            "tiny",
        )
        assert document.producer.params_hash == params
        assert [(m.text, m.type, m.start) for m in mentions] == [
            ("Tessel", "organisation", 0),
            ("Tessel", "place", 0),
            ("Tes\u00adsel", "organisation", 12),
        ]
        assert [(e.id, e.type, e.mentions) for e in entities] == [(2, "organisation", 2), (11, "place", 1)]
        assert await graph.delete("d4")
        assert await graph.entities("", None, 10, None) == []


async def test_a_migrated_file_is_like_a_new_one(tmp_path: Path) -> None:
    """The same tables, columns and indexes."""
    old, new = written(tmp_path / "old.db", SHIPPED), url_of(tmp_path / "new.db")
    for url in (old, new):
        async with Graphs(url):
            pass

    assert described(old) == described(new)


def described(url: str) -> dict[str, object]:
    engine = sqlalchemy.create_engine(url)
    seen = sqlalchemy.inspect(engine)
    tables = {
        t: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"], c["primary_key"]) for c in seen.get_columns(t)],
            sorted((str(i["name"]), i["column_names"]) for i in seen.get_indexes(t)),
            sorted(str(f["referred_table"]) for f in seen.get_foreign_keys(t)),
            sorted(u["column_names"] for u in seen.get_unique_constraints(t)),
        )
        for t in seen.get_table_names()
        if not t.startswith("sqlite_")
    }
    engine.dispose()
    return tables
