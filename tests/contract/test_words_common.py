"""How common a word is: PostgreSQL's statistics say it, the search is right before it has any and with old ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, select, text

from services.store import lexical
from services.store.database import Database
from services.store.lexical import WordIndex
from services.store.schema import Schema
from services.store.words_postgres import Statistics, statistics
from tests import databases

TABLES = MetaData()
NOTE = Table("note", TABLES, Column("number", Integer, primary_key=True), Column("workspace", Text, nullable=False))
WORDS = WordIndex("note_words", ("title", "text"), (2.0, 1.0))
SCHEMA = Schema(name="words", tables=TABLES, indexes=(WORDS,))


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    """Nothing but the test itself has its table analyzed."""
    async with Database(databases.own_database(postgres), SCHEMA) as opened:
        await opened.write(lambda c: c.execute(text("ALTER TABLE note_words SET (autovacuum_enabled = false)")))
        yield opened


async def kept(database: Database, *texts: str) -> list[int]:
    """The numbers of new notes with these texts."""

    def put(c: Connection) -> list[int]:
        new = insert(NOTE).values(workspace="default").returning(NOTE.c.number)
        numbers = [c.execute(new).scalar_one() for _ in texts]
        WORDS.put(c, [(number, ("A", body)) for number, body in zip(numbers, texts, strict=True)])
        return numbers

    return await database.write(put)


async def known(database: Database, *terms: str) -> Statistics:
    return await database.read(lambda c: statistics(c, "note_words", terms))


async def found(database: Database, words: str, enough: int = 1) -> Sequence[int]:
    def search(c: Connection) -> list[int]:
        rows = WORDS.best(c, words, lambda m: select(m.c.key).order_by(m.c.score.desc(), m.c.key), enough)
        return [row.key for row in rows]

    return await database.read(search)


async def test_common_words_are_known_by_their_stems(database: Database) -> None:
    """Not one that no row has, nor a name of several parts: those are counted."""
    await kept(database, *["pumps and err_4711"] * 60, *["a valve"] * 20)
    await database.analyze()

    counted = await known(database, "pumping", "valve", "xyzzy", "err_4711", "the")
    assert counted == Statistics(rows=80, counts={"pumping": 60, "valve": 20})


async def test_a_common_word_is_not_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted reads rows; the rare word is ranked as if both had been counted."""
    asked: list[Sequence[str]] = []
    counting = WordIndex._counted

    def spied(index: WordIndex, c: Connection, wanted: Sequence[str]) -> dict[str, int]:
        asked.append(wanted)
        return counting(index, c, wanted)

    monkeypatch.setattr(WordIndex, "_counted", spied)
    monkeypatch.setattr(lexical, "RANKED_ROWS", 30)
    await kept(database, *["pump"] * 60)
    await database.analyze()
    rare = await kept(database, "pump and gasket")

    assert await found(database, "pump gasket") == rare
    assert asked == [["gasket"]]


async def test_the_same_is_found_without_statistics(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was just filled answers as it does later."""
    monkeypatch.setattr(lexical, "RANKED_ROWS", 10)
    await kept(database, *["pump"] * 12, "valve", *["pump valve and gasket"] * 3, "gasket")
    questions = ("pump valve", "gasket", "pump", "pump gasket valve", "xyzzy pump")
    assert await known(database, "pump") == Statistics()
    before = [await found(database, question) for question in questions]

    await database.analyze()
    assert (await known(database, "pump")).counts == {"pump": 15}
    assert [await found(database, question) for question in questions] == before
    assert all(before)


async def test_old_statistics_hide_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that were common and are gone or rare, and one that is common by now."""
    monkeypatch.setattr(lexical, "RANKED_ROWS", 10)
    old = await kept(database, *["pump"] * 20, *["gasket"] * 5)
    await database.analyze()
    await database.write(lambda c: WORDS.drop(c, old))
    new = await kept(database, *["valve"] * 15, "pump")

    assert await found(database, "valve") == new[:15]
    assert await found(database, "pump") == new[15:]
    assert await found(database, "gasket") == []
    assert set(await found(database, "gasket valve")) == set(new[:15])
    assert set(await found(database, "pump gasket valve", enough=16)) == set(new)


async def test_a_common_word_is_in_one_row_at_least(database: Database) -> None:
    """A VACUUM has found that few rows are left, and no ANALYZE came since: the one with the word is found."""
    old = await kept(database, *["pump and fan"] * 5, *["valve"] * 395)
    await database.analyze()
    await database.write(lambda c: WORDS.drop(c, old[1:]))
    await database.write(lambda c: c.execute(text("UPDATE pg_class SET reltuples = 2 WHERE relname = 'note_words'")))
    new = await kept(database, "gasket")

    assert (await known(database, "pump")).counts == {"pump": 1}
    assert set(await found(database, "pump gasket", enough=2)) == {old[0], *new}


async def test_a_table_that_grew_is_known_to_have_grown(database: Database) -> None:
    """By its pages, as the planner reckons: the next ANALYZE comes later."""
    await kept(database, *["pump " * 50] * 60)
    await database.analyze()
    await kept(database, *["pump " * 50] * 540)

    assert (await known(database, "pump")).rows == pytest.approx(600, rel=0.2)


async def test_deleted_words_leave_the_statistics(database: Database) -> None:
    """With the next ANALYZE, which the server makes by itself."""
    gone = await kept(database, *["secret"] * 20)
    await kept(database, *["pump"] * 20)
    await database.analyze()
    assert (await known(database, "secret")).counts == {"secret": 20}

    await database.write(lambda c: WORDS.drop(c, gone))
    await database.analyze()
    assert (await known(database, "secret", "pump")).counts == {"pump": 20}
