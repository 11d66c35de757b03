"""What was deleted is in no file: the index by words keeps none of a dropped row's words, however it came to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, text

from services.store import lexical
from services.store.database import Database
from services.store.lexical import WordIndex
from services.store.schema import Schema
from services.store.sqlite import url_of

TABLES = MetaData()
ROW = Table("row", TABLES, Column("number", Integer, primary_key=True))
WORDS = WordIndex("row_words", ("text",), (1.0,))
SCHEMA = Schema(name="words", tables=TABLES, indexes=(WORDS,))
ROUNDS = 40


async def write_and_drop(path: Path, *, rounds: int, every: int = 2) -> list[str]:
    """Rows in many transactions, `every` second one or each dropped again; the words that only dropped rows held."""
    gone = []
    async with Database(url_of(path), SCHEMA) as database:
        for n in range(rounds):
            word = f"zq{n:04d}word"

            def put(c: Connection, word: str = word) -> int:
                number: int = c.execute(insert(ROW).returning(ROW.c.number)).scalar_one()
                WORDS.put(c, [(number, (f"{word} stays beside others " * 50,))])
                return number

            def drop(c: Connection, number: int) -> None:
                WORDS.drop(c, [number])
                WORDS.scrub(c)

            numbers = [await database.write(put) for _ in range(3)]
            if n % every == every - 1:
                gone.append(word)
                for number in numbers:
                    await database.write(lambda c, number=number: drop(c, number))
                await database.forget()
    return gone


async def test_an_older_index_without_a_row_forgets_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as it is opened: no later deletion would."""
    path = tmp_path / "store.db"
    with monkeypatch.context() as older:
        older.setattr(lexical, "FORGETS_SINCE", (9, 0))
        older.setattr(WordIndex, "scrub", lambda index, c: None)
        gone = await write_and_drop(path, rounds=ROUNDS, every=1)
    assert in_files(path, gone)

    async with Database(url_of(path), SCHEMA):
        pass

    assert in_files(path, gone) == []


def still_there(path: Path, words: list[str]) -> list[str]:
    assert in_files(path, ["zq0000word"])  # a kept word can be seen like this, so a dropped one could be
    return in_files(path, words)


def in_files(path: Path, words: list[str]) -> list[str]:
    data = b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))
    return [word for word in words if word.encode() in data]


@pytest.mark.parametrize("since", [lexical.FORGETS_SINCE, (9, 0)], ids=["deletes at once", "made anew"])
async def test_dropped_words_are_in_no_file(
    tmp_path: Path, since: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the SQLite in use, and as with one that does not know how."""
    monkeypatch.setattr(lexical, "FORGETS_SINCE", since)
    gone = await write_and_drop(tmp_path / "store.db", rounds=ROUNDS)
    assert still_there(tmp_path / "store.db", gone) == []


async def test_an_older_index_forgets_what_it_still_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its marks of deleted words go with the first deletion by a store that deletes at once."""
    path = tmp_path / "store.db"
    with monkeypatch.context() as older:
        older.setattr(lexical, "FORGETS_SINCE", (9, 0))
        older.setattr(WordIndex, "scrub", lambda index, c: None)
        gone = await write_and_drop(path, rounds=ROUNDS)
    assert still_there(path, gone)

    async with Database(url_of(path), SCHEMA) as database:
        await database.write(WORDS.scrub)
        await database.forget()

    assert still_there(path, gone) == []
    async with Database(url_of(path), SCHEMA) as database:
        kept = await database.read(
            lambda c: c.execute(text("SELECT count(*) FROM row_words WHERE row_words MATCH 'zq0000word'")).scalar_one()
        )
    assert kept == 3
