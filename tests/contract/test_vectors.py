"""Search by meaning on SQLite (with sqlite-vec, and with numpy where that does not load) and on PostgreSQL."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, text

from services.store import sqlite, vectors_sqlite
from services.store.database import Database
from services.store.schema import Schema
from services.store.sqlite import url_of
from services.store.vectors import ForeignSpace, Space, VectorIndex
from tests import databases

TABLES = MetaData()
CHUNK = Table("chunk", TABLES, Column("id", Integer, primary_key=True), Column("year", Integer))
VECTORS = VectorIndex("chunk_vector", TABLES, reindex="cutover reindex things")
SCHEMA = Schema(name="vectors", tables=TABLES, indexes=(VECTORS,))
WIDE, NARROW = Space(name="m@1:20:unit", dimension=20), Space(name="n@1:8:unit", dimension=8)


def unit(seed: int, dimension: int = 20) -> list[float]:
    """A direction drawn by `seed`."""
    drawn = [random.Random(f"{seed}-{n}").gauss(0, 1) for n in range(dimension)]
    length = math.hypot(*drawn)
    return [x / length for x in drawn]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture(params=["sqlite-vec", "numpy", "postgres"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The three ways to search."""
    if request.param == "numpy":
        monkeypatch.setattr(sqlite, "vector_extension", lambda: ("", "not in this test"))
    elif request.param == "sqlite-vec" and not sqlite.vector_extension()[0]:
        pytest.skip(sqlite.vector_extension()[1])
    return str(request.param)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> str:
    if kind == "postgres":
        return databases.own_database(request.getfixturevalue("postgres"))
    return databases.sqlite_file(tmp_path)


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    async with Database(store_url, SCHEMA) as opened:
        yield opened


def put(c: Connection, numbers: Sequence[int], *, workspace: str = "default", part: str = "") -> None:
    VECTORS.put(c, WIDE, [(n, workspace, part, unit(n)) for n in numbers])


async def nearest(database: Database, seed: int, k: int = 3, **filters: object) -> list[tuple[int, float]]:
    filters.setdefault("workspace", "default")
    return await database.read(lambda c: VECTORS.nearest(c, WIDE, unit(seed), k, **filters))  # type: ignore[arg-type]


async def test_the_nearest_come_first_with_their_cosines(database: Database) -> None:
    """As an exact computation has them."""
    await database.write(lambda c: put(c, range(1, 40)))
    wanted = sorted(((n, cosine(unit(n), unit(99))) for n in range(1, 40)), key=lambda row: -row[1])[:5]
    got = await nearest(database, 99, 5)
    assert [n for n, _ in got] == [n for n, _ in wanted]
    assert [c for _, c in got] == pytest.approx([c for _, c in wanted], abs=1e-5)


async def test_a_store_without_vectors_finds_none(database: Database) -> None:
    """Nor does it know a space yet."""
    assert await nearest(database, 1) == []
    assert await database.read(VECTORS.space) is None


async def test_filters_are_inside_the_search(database: Database) -> None:
    """Whole pages of nearer rows of others do not use up the limit: workspace, part, and any choice of rows."""

    def fill(c: Connection) -> None:
        put(c, range(1, 30), workspace="other")
        put(c, range(30, 40), part="a")
        put(c, range(40, 50), part="b")
        c.execute(insert(CHUNK), [{"id": n, "year": 2000 + n} for n in range(1, 50)])

    await database.write(fill)
    assert (await nearest(database, 7, 1))[0][0] >= 30
    assert {n // 10 for n, _ in await nearest(database, 7, 10, part="b")} == {4}
    late = select(CHUNK.c.id).where(CHUNK.c.year >= 2045)
    assert sorted(n for n, _ in await nearest(database, 7, 10, among=late)) == [45, 46, 47, 48, 49]
    assert await nearest(database, 7, 10, part="c") == []


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
async def test_a_small_workspace_in_a_large_store_gets_all_it_asks_for(database: Database) -> None:
    """Also where the index gives up before it has come to one of its rows."""

    def fill(c: Connection) -> None:
        near = [
            (n, "other", "", [a + b / 50 for a, b in zip(unit(7), unit(n), strict=True)]) for n in range(1000, 1600)
        ]
        VECTORS.put(c, WIDE, near)
        VECTORS.put(c, WIDE, [(n, "default", "", [-x for x in unit(7)]) for n in range(1, 6)])

    def hurried(c: Connection) -> list[tuple[int, float]]:
        for setting in (
            "hnsw.max_scan_tuples = 1",
            "enable_seqscan = off",
            "enable_sort = off",
            "enable_bitmapscan = off",
        ):
            c.execute(text(f"SET LOCAL {setting}"))
        return VECTORS.nearest(c, WIDE, unit(7), 3, workspace="default")

    await database.write(fill)
    assert [round(c) for _, c in await database.read(hurried)] == [-1, -1, -1]


async def test_a_vector_is_replaced_and_forgotten(database: Database) -> None:
    """`put` twice keeps one; `drop` leaves none."""

    def twice(c: Connection) -> None:
        put(c, [1, 2])
        VECTORS.put(c, WIDE, [(1, "default", "", unit(77))])

    await database.write(twice)
    assert (await nearest(database, 77, 1))[0] == (1, pytest.approx(1))
    await database.write(lambda c: VECTORS.drop(c, [1]))
    assert [n for n, _ in await nearest(database, 77, 5)] == [2]


async def test_what_is_rolled_back_was_never_indexed(database: Database) -> None:
    """Vectors are kept with the rows they stand for, or not at all."""

    def refused(c: Connection) -> None:
        put(c, [2])
        raise KeyError

    await database.write(lambda c: put(c, [1]))
    with pytest.raises(KeyError):
        await database.write(refused)
    assert [n for n, _ in await nearest(database, 2, 5)] == [1]


async def test_another_space_is_refused_and_the_way_out_is_told(database: Database) -> None:
    """On writing and on searching; what is held stays."""
    await database.write(lambda c: put(c, [1]))
    with pytest.raises(ForeignSpace, match="cutover reindex things"):
        await database.write(lambda c: VECTORS.put(c, NARROW, [(2, "default", "", unit(2, 8))]))
    with pytest.raises(ForeignSpace, match="m@1:20:unit"):
        await database.read(lambda c: VECTORS.nearest(c, NARROW, unit(2, 8), 1, workspace="default"))
    with pytest.raises(ForeignSpace, match="20 components"):
        await database.write(lambda c: VECTORS.put(c, WIDE, [(2, "default", "", unit(2, 8))]))
    assert [n for n, _ in await nearest(database, 1, 5)] == [1]


async def test_a_cleared_store_takes_another_space(database: Database) -> None:
    """Which is how it is made anew, wider or narrower."""
    await database.write(lambda c: put(c, [1]))
    await database.write(VECTORS.clear)
    await database.write(lambda c: VECTORS.put(c, NARROW, [(1, "default", "", unit(5, 8))]))
    found = await database.read(lambda c: VECTORS.nearest(c, NARROW, unit(5, 8), 1, workspace="default"))
    assert found == [(1, pytest.approx(1))]
    assert await database.read(VECTORS.space) == NARROW


async def test_vectors_survive(database: Database, store_url: str) -> None:
    """The next process finds them."""
    await database.write(lambda c: put(c, [1, 2]))
    async with Database(store_url, SCHEMA) as again:
        assert (await nearest(again, 2, 1))[0][0] == 2


async def test_the_index_in_use_is_named(database: Database, kind: str) -> None:
    """For `/readyz`, with the reason where it is not the usual one, and the space; or that there is none yet."""
    assert "no vectors, so search is by words only" in (await database.check())["vectors"]
    await database.write(lambda c: put(c, [1]))
    wanted = {"sqlite-vec": "sqlite-vec v", "numpy": "numpy (not in this test)", "postgres": "pgvector 0."}
    assert wanted[kind] in (named := (await database.check())["vectors"])
    assert WIDE.name in named


class TestSigns:
    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vectors_sqlite, "EXACT_ROWS", 10)
        monkeypatch.setattr(vectors_sqlite, "CANDIDATES", 40)
        monkeypatch.setattr(vectors_sqlite, "PAGE_ROWS", 16)

    async def test_candidates_by_sign_are_decided_by_their_vectors(self, tmp_path: Path) -> None:
        """A row's own vector finds it, whatever the filter."""

        def fill(c: Connection) -> None:
            put(c, range(100, 300), workspace="other")
            put(c, range(300, 400), part="a")
            put(c, range(400, 500), part="b")
            c.execute(insert(CHUNK), [{"id": n, "year": n} for n in range(300, 500)])

        async with Database(url_of(tmp_path / "x.db"), SCHEMA) as database:
            await database.write(fill)
            assert (await nearest(database, 321, 1))[0] == (321, pytest.approx(1))
            assert (await nearest(database, 421, 1, part="b"))[0][0] == 421
            assert {n // 100 for n, _ in await nearest(database, 421, 20, part="a")} == {3}
            late = select(CHUNK.c.id).where(CHUNK.c.year >= 450)
            assert all(n >= 450 for n, _ in await nearest(database, 421, 20, among=late))
            assert (await nearest(database, 470, 1, among=late))[0][0] == 470

    async def test_signs_that_a_connection_holds_are_read_again_after_a_write(self, tmp_path: Path) -> None:
        """Of this process or another one; a writer sees its own rows, and no reader those that were undone."""

        def undone(c: Connection) -> None:
            put(c, [300])
            assert VECTORS.nearest(c, WIDE, unit(300), 1, workspace="default")[0][0] == 300
            raise KeyError

        url = url_of(tmp_path / "x.db")
        async with Database(url, SCHEMA) as database, Database(url, SCHEMA) as other:
            await database.write(lambda c: put(c, range(1, 200)))
            assert (await nearest(database, 5, 1))[0][0] == 5
            await other.write(lambda c: VECTORS.drop(c, [5]))
            await database.write(lambda c: put(c, [205]))
            assert (await nearest(database, 5, 1))[0][0] != 5
            assert (await nearest(database, 205, 1))[0][0] == 205
            with pytest.raises(KeyError):
                await database.write(undone)
            again = await database.write(lambda c: VECTORS.nearest(c, WIDE, unit(300), 1, workspace="default"))
            assert again[0][0] != 300

    async def test_a_process_without_the_extension_leaves_nothing_wrong(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What it wrote and took away is seen by the next that has it, and the other way round."""
        url = url_of(tmp_path / "x.db")
        async with Database(url, SCHEMA) as database:
            await database.write(lambda c: put(c, range(1, 50)))
        with monkeypatch.context() as without:
            without.setattr(sqlite, "vector_extension", lambda: ("", "not in this test"))
            async with Database(url, SCHEMA) as database:
                await database.write(lambda c: put(c, range(50, 60)))
                await database.write(lambda c: VECTORS.drop(c, range(1, 20)))
        async with Database(url, SCHEMA) as database:
            assert (await nearest(database, 55, 1))[0][0] == 55
            assert all(n >= 20 for n, _ in await nearest(database, 5, 40))

    async def test_no_byte_of_a_dropped_vector_stays(self, tmp_path: Path) -> None:
        """Nor of its signs."""

        def bits(seed: int) -> bytes:
            signs = [int(x > 0) for x in unit(seed, 256)]
            return bytes(sum(bit << 7 - n for n, bit in enumerate(signs[i : i + 8])) for i in range(0, 256, 8))

        def held(what: bytes) -> bool:
            return any(what in file.read_bytes() for file in tmp_path.iterdir())

        space = Space(name="x", dimension=256)
        async with Database(url_of(tmp_path / "x.db"), SCHEMA) as database:
            await database.write(lambda c: VECTORS.put(c, space, [(n, "w", "", unit(n, 256)) for n in (1, 2)]))
            await database.forget()
            assert held(bits(1))
            assert held(vectors_sqlite.packed(unit(1, 256)))
            await database.write(lambda c: VECTORS.drop(c, [1]))
            await database.forget()
            assert not held(bits(1))
            assert not held(vectors_sqlite.packed(unit(1, 256)))
            assert held(bits(2))
