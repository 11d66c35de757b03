"""What a service may rely on from its database, on SQLite and on PostgreSQL: one suite for both."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import URL, Column, Connection, Integer, MetaData, Table, func, insert, inspect, select, text

from services.store.database import Database
from services.store.errors import StoreError
from services.store.schema import Schema, statements
from services.store.sqlite import driver, url_of

TABLES = MetaData()
THING = Table("thing", TABLES, Column("x", Integer, primary_key=True), Column("y", Integer))
ONE = Schema(name="things", tables=TABLES)


def count(c: Connection) -> int:
    return c.execute(select(func.count()).select_from(THING)).scalar_one()


def added(x: int, c: Connection) -> None:
    c.execute(insert(THING).values(x=x))


class TestTransactions:
    async def test_what_was_written_is_read(self, store_url: str) -> None:
        """By this process, and by the next that opens it."""
        async with Database(store_url, ONE) as database:
            await database.write(lambda c: added(1, c))
            assert await database.read(count) == 1
        async with Database(store_url, ONE) as database:
            assert await database.read(count) == 1

    async def test_a_failed_write_changes_nothing(self, store_url: str) -> None:
        """A transaction is whole or not at all, and the store works on."""

        def half(c: Connection) -> None:
            added(1, c)
            c.execute(text("INSERT INTO nowhere VALUES (1)"))

        async with Database(store_url, ONE) as database:
            with pytest.raises(StoreError, match="nowhere"):
                await database.write(half)
            assert await database.read(count) == 0

    async def test_an_error_of_the_caller_passes_and_undoes(self, store_url: str) -> None:
        """A use case refuses in the middle of its own write; its error stays its own."""

        def refused(c: Connection) -> None:
            added(1, c)
            raise KeyError("mine")

        async with Database(store_url, ONE) as database:
            with pytest.raises(KeyError, match="mine"):
                await database.write(refused)
            assert await database.read(count) == 0

    async def test_a_read_does_not_write(self, store_url: str) -> None:
        """It is refused loudly; a write that is rolled back in silence would be lost."""
        async with Database(store_url, ONE) as database:
            with pytest.raises(StoreError, match=r"readonly|read-only"):
                await database.read(lambda c: added(1, c))

    async def test_a_read_goes_on_beside_a_write_and_sees_none_of_it(self, store_url: str) -> None:
        """A long ingest holds up no search."""
        written, seen = threading.Event(), threading.Event()

        def slow(c: Connection) -> None:
            added(1, c)
            written.set()
            assert seen.wait(30)

        async with Database(store_url, ONE) as database:
            write = asyncio.create_task(database.write(slow))
            assert await asyncio.to_thread(written.wait, 30)
            before = await database.read(count)
            seen.set()
            await write
            assert (before, await database.read(count)) == (0, 1)

    async def test_writers_of_two_processes_take_turns(self, store_url: str) -> None:
        """Look, then write: nobody else writes in between, so that what was looked at still holds."""

        def next_one(c: Connection) -> None:
            added(count(c) + 1, c)

        async with Database(store_url, ONE) as one, Database(store_url, ONE) as other:
            await asyncio.gather(*(database.write(next_one) for _ in range(20) for database in (one, other)))
            assert await one.read(count) == 40


class TestMigrations:
    async def test_an_older_store_is_led_to_the_newest_schema(self, store_url: str) -> None:
        """Its rows come along, each step runs once, and tables that are new are made."""
        added_table = MetaData()
        wider = Table(
            "thing", added_table, Column("x", Integer, primary_key=True), Column("y", Integer), Column("z", Integer)
        )
        Table("other", added_table, Column("x", Integer, primary_key=True))
        two = Schema(
            name="things",
            tables=added_table,
            migrations=[statements("ALTER TABLE thing ADD COLUMN z INTEGER DEFAULT 2")],
        )
        async with Database(store_url, ONE) as database:
            await database.write(lambda c: added(1, c))
        for _ in range(2):
            async with Database(store_url, two) as database:
                rows = await database.read(lambda c: [tuple(r) for r in c.execute(select(wider))])
                tables = await database.read(lambda c: inspect(c).get_table_names())

        assert rows == [(1, None, 2)]
        assert {"thing", "other"} <= set(tables)

    async def test_a_new_store_starts_at_the_newest_version(self, store_url: str) -> None:
        """No migration runs where there is nothing to migrate."""
        two = Schema(name="things", tables=TABLES, migrations=[statements("ALTER TABLE gone ADD COLUMN z INTEGER")])
        async with Database(store_url, two) as database:
            assert await database.read(count) == 0

    async def test_a_migration_that_fails_leaves_the_store_as_it_was(self, store_url: str) -> None:
        """The older program opens it again."""
        broken = statements("CREATE TABLE half (x INTEGER)", "ALTER TABLE gone ADD COLUMN z INTEGER")
        async with Database(store_url, ONE) as database:
            await database.write(lambda c: added(1, c))
        with pytest.raises(StoreError, match="gone"):
            await Database(store_url, Schema(name="things", tables=TABLES, migrations=[broken])).__aenter__()

        async with Database(store_url, ONE) as database:
            assert await database.read(count) == 1
            assert "half" not in await database.read(lambda c: inspect(c).get_table_names())

    async def test_a_store_of_a_newer_version_is_left_alone(self, store_url: str) -> None:
        """An older program must not write what it does not understand."""
        two = Schema(name="things", tables=TABLES, migrations=[statements("SELECT 1")])
        async with Database(store_url, two):
            pass
        with pytest.raises(StoreError, match="newer Cutover"):
            await Database(store_url, ONE).__aenter__()

    async def test_two_services_share_a_server(self, postgres: str, store_url: str) -> None:
        """On PostgreSQL each has a schema of its own: equal names of tables do not meet."""
        async with Database(store_url, ONE) as one:
            await one.write(lambda c: added(1, c))
            if "postgres" in store_url:
                async with Database(store_url, Schema(name="others", tables=TABLES)) as other:
                    assert await other.read(count) == 0


class TestTrouble:
    async def test_a_closed_store_says_so(self, store_url: str) -> None:
        """Not a crash of the driver."""
        with pytest.raises(StoreError, match="not open"):
            await Database(store_url, ONE).check()

    async def test_a_store_that_answers_passes_its_check(self, store_url: str) -> None:
        """What `/readyz` asks; of PostgreSQL it says what a search needs as well."""
        async with Database(store_url, ONE) as database:
            told = (await database.check())["store"]
        is_postgres = "postgres" in store_url
        assert re.fullmatch(r"PostgreSQL [\d.]+ \(shared_buffers \d+\w+\)" if is_postgres else r"SQLite .+", told)

    async def test_a_server_that_is_not_there_is_told_without_its_password(self) -> None:
        """The message names the address, as whoever set it up must find it."""
        nobody = URL.create("postgresql", "me", "hush", "127.0.0.1", 1, "x")
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/") as error:
            await Database(nobody.render_as_string(hide_password=False), ONE).__aenter__()
        assert "hush" not in str(error.value)

    def test_a_store_is_named_without_what_libpq_takes_after_the_question_mark(self) -> None:
        """Passwords among it."""
        database = Database("postgresql://me:{0}@db:5432/team?password={0}&sslmode=require".format("hush"), ONE)
        assert database.label == "postgresql://me:{}@db:5432/team".format("***")

    async def test_a_refused_row_is_told_without_its_texts(self, store_url: str) -> None:
        """Errors end up in logs, rows must not."""
        async with Database(store_url, ONE) as database:
            await database.write(lambda c: added(424242, c))
            with pytest.raises(StoreError) as error:
                await database.write(lambda c: added(424242, c))
            assert "424242" not in str(error.value)


class TestFile:
    async def test_a_deleted_text_that_a_reader_holds_goes_with_the_next_write(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The deletion is done and answered meanwhile, and the log says what is owed."""

        def held() -> bool:
            return any(b"confidential" in file.read_bytes() for file in tmp_path.iterdir())

        async with Database(url_of(tmp_path / "x.db"), ONE) as database:
            await database.write(lambda c: c.execute(text("CREATE TABLE note AS SELECT 'confidential' AS text")))
            await database.forget()
            with contextlib.closing(driver().connect(str(tmp_path / "x.db"), isolation_level=None)) as reader:
                reader.execute("BEGIN").execute("SELECT * FROM note").fetchall()
                await database.write(lambda c: c.execute(text("DELETE FROM note")))
                await database.forget()
                assert held()
                assert f"store.forget_owed store={tmp_path / 'x.db'} reason=a reader holds it" in caplog.text
                await database.write(lambda c: added(1, c))
            await database.write(lambda c: added(2, c))
            assert not held()
            assert await database.read(count) == 2

    async def test_what_a_killed_process_deleted_is_not_in_the_log_of_the_next(self, tmp_path: Path) -> None:
        """It had no time to see to that itself; its folder is copied as the kill would leave it."""
        (tmp_path / "old").mkdir()
        async with Database(url_of(tmp_path / "old" / "x.db"), ONE) as database:
            await database.write(lambda c: c.execute(text("CREATE TABLE note AS SELECT 'confidential' AS text")))
            await database.write(lambda c: c.execute(text("DELETE FROM note")))
            shutil.copytree(tmp_path / "old", tmp_path / "new")
        assert any(b"confidential" in file.read_bytes() for file in (tmp_path / "new").iterdir())
        async with Database(url_of(tmp_path / "new" / "x.db"), ONE):
            assert not any(b"confidential" in file.read_bytes() for file in (tmp_path / "new").iterdir())

    async def test_a_file_that_is_no_database_is_told(self, tmp_path: Path) -> None:
        """The message names the file."""
        (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(StoreError, match=r"x\.db"):
            await Database(url_of(tmp_path / "x.db"), ONE).__aenter__()

    async def test_a_new_file_is_its_owners_alone(self, tmp_path: Path) -> None:
        """As keys and backups are, the log beside it as well; a file that is there keeps its mode."""

        def mode(path: Path) -> int:
            return stat.S_IMODE(path.stat().st_mode)

        path = tmp_path / "data" / "x.db"
        async with Database(url_of(path), ONE) as database:
            await database.write(lambda c: added(1, c))
            assert mode(path.parent) == 0o700
            assert (mode(path), mode(path.with_name("x.db-wal"))) == (0o600, 0o600)
        path.chmod(0o640)
        async with Database(url_of(path), ONE):
            assert mode(path) == 0o640

    async def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        """The same for the place of the file."""
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="folder"):
            await Database(url_of(tmp_path / "file" / "x.db"), ONE).__aenter__()

    async def test_a_full_disk_is_told_apart(self, tmp_path: Path) -> None:
        """`is_full`, and what was there stays readable."""

        def too_much(c: Connection) -> None:
            pages = c.execute(text("PRAGMA page_count")).scalar_one()
            c.execute(text(f"PRAGMA max_page_count={pages}")).fetchall()
            c.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))

        async with Database(url_of(tmp_path / "x.db"), ONE) as database:
            with pytest.raises(StoreError) as error:
                await database.write(too_much)
            assert (error.value.is_full, await database.read(count)) == (True, 0)
