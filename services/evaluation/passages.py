"""The passages in a store of their own, with the indexes that RAG has: what is measured is what serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, select

from services.store.blend import CANDIDATES
from services.store.database import Database
from services.store.lexical import WordIndex
from services.store.schema import Schema
from services.store.sqlite import url_of
from services.store.vectors import Space, VectorIndex

WORKSPACE = "evaluation"
TABLES = MetaData()
PASSAGE = Table("passage", TABLES, Column("number", Integer, primary_key=True), Column("page", Text, nullable=False))
WORDS = WordIndex("passage_words", ("title", "text"), (2.0, 1.0))
VECTORS = VectorIndex("passage_vector", TABLES, reindex="cutover eval rag")
SCHEMA = Schema(name="evaluation", tables=TABLES, indexes=(WORDS, VECTORS))

Rows = Sequence[tuple[str, str, Sequence[float]]]
"""Page, text and vector of each passage; its number is its place."""


def store(folder: Path) -> Database:
    """A new database in `folder`, which holds none."""
    return Database(url_of(folder / "passages.db"), SCHEMA)


async def put(database: Database, space: Space, rows: Rows) -> None:
    """Keep and index every passage, in one transaction."""
    await database.write(lambda c: _put(c, space, rows))


async def found(
    database: Database, space: Space, words: str, vector: Sequence[float]
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """The nearest passages in meaning, and those that share words: number and score, best first."""
    return await database.read(lambda c: (_near(c, space, vector), _worded(c, words)))


def _put(c: Connection, space: Space, rows: Rows) -> None:
    c.execute(insert(PASSAGE), [{"number": n, "page": page} for n, (page, _, _) in enumerate(rows)])
    WORDS.put(c, [(n, (_title(page), text)) for n, (page, text, _) in enumerate(rows)])
    VECTORS.put(c, space, [(n, WORKSPACE, "", vector) for n, (_, _, vector) in enumerate(rows)])


def _title(page: str) -> str:
    """The name of the page: what an uploaded file would be called."""
    return page.rpartition("/")[2].removesuffix(".html").removesuffix(".en")


def _near(c: Connection, space: Space, vector: Sequence[float]) -> list[tuple[int, float]]:
    return VECTORS.nearest(c, space, vector, CANDIDATES, workspace=WORKSPACE)


def _worded(c: Connection, words: str) -> list[tuple[int, float]]:
    matches = WORDS.matches(c, words)
    if matches is None:
        return []
    query = select(matches.c.key, matches.c.score).order_by(matches.c.score.desc(), matches.c.key).limit(CANDIDATES)
    return [(int(key), float(score)) for key, score in c.execute(query).tuples()]
