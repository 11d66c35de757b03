"""Search by words on SQLite and on PostgreSQL: what people type is found and is never syntax."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Select, Subquery, Table, Text, insert, select

from services.store import lexical
from services.store.database import Database
from services.store.lexical import WordIndex
from services.store.schema import Schema
from services.store.words import MAX_TERMS, terms

TABLES = MetaData()
NOTE = Table("note", TABLES, Column("number", Integer, primary_key=True), Column("workspace", Text, nullable=False))
WORDS = WordIndex("note_words", ("title", "text"), (2.0, 1.0))
SCHEMA = Schema(name="words", tables=TABLES, indexes=(WORDS,))
FILLER = "Nothing of note stands in this sentence. " * 5


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    async with Database(store_url, SCHEMA) as opened:
        yield opened


async def kept(database: Database, *notes: tuple[str, str], workspace: str = "default") -> None:
    """Notes with these titles and texts, numbered on from those that are there."""

    def put(c: Connection) -> None:
        for title, body in notes:
            number = c.execute(insert(NOTE).values(workspace=workspace).returning(NOTE.c.number)).scalar_one()
            WORDS.put(c, [(number, (title, body))])

    await database.write(put)


async def found(database: Database, words: str, *, k: int = 10, workspace: str = "default") -> list[int]:
    def search(c: Connection) -> Sequence[int]:
        matches = WORDS.matches(c, words)
        if matches is None:
            return []
        query = select(NOTE.c.number).join(matches, matches.c.key == NOTE.c.number)
        return (
            c.execute(
                query.where(NOTE.c.workspace == workspace).order_by(matches.c.score.desc(), NOTE.c.number).limit(k)
            )
            .scalars()
            .all()
        )

    return list(await database.read(search))


async def test_any_word_finds_and_more_words_find_better(database: Database) -> None:
    """The row with both is first; one with neither is not found."""
    await kept(database, ("A", f"the pump {FILLER}"), ("B", f"pump and valve {FILLER}"), ("C", FILLER))
    assert await found(database, "valve pump") == [2, 1]


async def test_a_rare_word_counts_more_than_a_common_one(database: Database) -> None:
    """Both rows hold one word of the two."""
    common = [("x", f"pump {FILLER}")] * 8
    await kept(database, *common, ("x", f"gasket {FILLER}"))
    assert (await found(database, "pump gasket", k=1)) == [9]


async def test_a_word_in_the_title_counts_more(database: Database) -> None:
    """Its row is more likely about it."""
    await kept(database, ("Filler", f"pump {FILLER}"), ("Pump", f"filler {FILLER}"))
    assert await found(database, "pump") == [2, 1]


async def test_words_are_found_in_their_other_forms(database: Database) -> None:
    """By their stems, in any case of letters."""
    await kept(database, ("A", "Restarting the PUMPS"))
    assert await found(database, "restart pump") == [1]


@pytest.mark.parametrize("words", ["ERR_4711", "E4711-x", "sources.list", "/etc/apt", "libfoo2.1", "größe"])
async def test_codes_and_names_are_found_as_they_are_written(database: Database, words: str) -> None:
    """Identifiers are what words find better than meaning does."""
    await kept(database, ("A", f"before {words} after"), ("B", FILLER))
    assert await found(database, words) == [1]


@pytest.mark.parametrize(
    "words",
    [
        'pump" OR "',
        "pump*",
        "title:pump",
        "NEAR(pump valve)",
        "pump & !valve",
        "pump:*",
        "pump'); DROP TABLE note; --",
        "-pump",
    ],
)
async def test_nothing_that_is_typed_is_syntax(database: Database, words: str) -> None:
    """Whatever a query language would make of it, `pump` is looked for."""
    await kept(database, ("A", "pump"), ("B", FILLER))
    assert (await found(database, words))[0] == 1


@pytest.mark.parametrize("words", ["", "the of and", "?!", "___", "🙂", "'", '"'])
async def test_no_word_finds_nothing(database: Database, words: str) -> None:
    """And is no error."""
    await kept(database, ("A", "the of and 🙂"))
    assert await found(database, words) == []


async def test_a_workspace_finds_its_own(database: Database) -> None:
    """The filter is inside the search: the others' rows do not use up the limit."""
    await kept(database, *[("pump", "pump pump")] * 5, workspace="other")
    await kept(database, ("A", f"pump {FILLER}"))
    assert await found(database, "pump", k=1) == [6]


async def test_a_changed_text_is_found_by_its_new_words_only(database: Database) -> None:
    """`put` replaces, `drop` forgets."""
    await kept(database, ("A", "pump"))
    await database.write(lambda c: WORDS.put(c, [(1, ("A", "valve"))]))
    assert (await found(database, "pump"), await found(database, "valve")) == ([], [1])
    await database.write(lambda c: WORDS.drop(c, [1]))
    assert await found(database, "valve") == []


async def test_a_snippet_shows_the_place(database: Database) -> None:
    """A few words around what was found, not the text's beginning."""

    def shown(c: Connection) -> str:
        matches = WORDS.matches(c, "gasket", snippet="text")
        assert matches is not None
        return str(c.execute(select(matches.c.snippet)).scalar_one())

    await kept(database, ("A", f"{FILLER * 3} Mind the gasket of it. {FILLER * 3}"))
    snippet = await database.read(shown)
    assert "gasket" in snippet
    assert len(snippet) < 200


async def test_a_word_that_is_everywhere_is_left_out_beside_a_rare_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would cost much and tell little; alone, or beside a word that no row has, it is looked for all the same."""
    monkeypatch.setattr(lexical, "RANKED_ROWS", 3)
    await kept(database, *[("A", "pump")] * 4, ("B", "gasket"))
    assert await found(database, "pump gasket") == [5]
    assert await found(database, "pump") == [1, 2, 3, 4]
    assert await found(database, "pump xyzzy") == [1, 2, 3, 4]
    assert await found(database, "xyzzy") == []


async def test_of_common_words_alone_all_are_wanted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them where no row has all."""
    monkeypatch.setattr(lexical, "RANKED_ROWS", 3)
    await kept(database, *[("A", "pump")] * 4, *[("B", "valve")] * 4, ("C", f"pump valve {FILLER}"))
    assert await found(database, "pump valve") == [9]
    await database.write(lambda c: WORDS.drop(c, [9]))
    assert await found(database, "pump valve") == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("theirs", [("pump valve",) * 4, ("pump", "pump", "pump", "valve")], ids=["all", "rare"])
async def test_what_others_keep_hides_nothing(
    database: Database, theirs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner has rows with every word, or one of a word that is rare and not here: ours with any are found."""
    monkeypatch.setattr(lexical, "RANKED_ROWS", 3)
    await kept(database, *[("A", text) for text in theirs], workspace="other")
    await kept(database, ("B", f"pump {FILLER}"), ("C", "gasket"))

    def ours(matches: Subquery) -> Select[tuple[int]]:
        mine = select(NOTE.c.number).join(matches, matches.c.key == NOTE.c.number)
        return mine.where(NOTE.c.workspace == "default").order_by(matches.c.score.desc()).limit(2)

    rows = await database.read(lambda c: WORDS.best(c, "pump valve", ours, 2))
    assert [row.number for row in rows] == [5]
    assert await found(database, "pump valve") == []


def test_the_rarest_words_are_ranked_as_far_as_they_are_in_few_rows() -> None:
    """A word that no row has is none of them."""
    counted = [("common", 4000), ("rare", 7), ("often", 3000), ("absent", 0), ("more", 2000)]
    assert lexical.telling(counted) == [("rare", 7), ("more", 2000)]
    assert lexical.telling([("common", 4000), ("absent", 0)]) == []


async def test_a_very_long_text_is_kept(database: Database) -> None:
    """Longer than a tsvector may be."""
    await kept(database, ("A", " ".join(f"wort{n}" for n in range(60_000))))
    assert await found(database, "wort7") == [1]


def test_a_question_has_at_most_so_many_terms() -> None:
    """Each once, in order."""
    many = [f"w{n}" for n in range(100)]
    assert terms(" ".join(many + many)) == many[:MAX_TERMS]
    assert terms("What was the Pump, the pump?") == ["pump"]
