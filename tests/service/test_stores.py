"""The stores: what was said to be kept is kept, what was deleted is gone, and a killed process leaves no halves."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ner.store import SqliteGraph
from services.notes.notebook import StoredNotebooks
from services.notes.store import Notebook, Summary, VersionConflict
from services.rag.chunking import Span, passages
from services.rag.store import SqliteDocuments
from services.store.sqlite import url_of
from services.web.provenance import Producer
from services.web.sqlite import Database, StoreError

ROOT = Path(__file__).parents[2]
SECRET, STEM = "xylophonically", "xylophon"
TEXT = f"The word is {SECRET}.\n\n" + "Filler words stand here. " * 60
MADE = Producer(provider="vllm", engine="vllm", model="tiny", prompt_version="1", at="now")

INGESTING = """
import asyncio, sys
from pathlib import Path
from services.rag.chunking import passages
from services.rag.store import SqliteDocuments

async def main():
    async with SqliteDocuments(Path(sys.argv[1])) as store:
        for i in range(100_000):
            text = f"Document {i}. " + "Words to be cut into passages. " * 100
            document, _ = await store.add(f"Title {i}", text, passages(text))
            print(document.id, flush=True)

asyncio.run(main())
"""

HALF_WAY = """
import asyncio, sys
from pathlib import Path
from services.rag.chunking import Span
from services.rag.store import SqliteDocuments

class Stalling(list):
    def __iter__(self):
        yield Span(start=0, end=4)
        print("half", flush=True)
        sys.stdin.read()

async def main():
    async with SqliteDocuments(Path(sys.argv[1])) as store:
        await store.add("Half", "Half a document", Stalling())

asyncio.run(main())
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said_before_the_kill(process: subprocess.Popen[str], lines: int) -> list[str]:
    """The first `lines` of its output; then it is killed, and what else it had said comes with them."""
    assert process.stdout is not None
    with process:
        said = [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        return [*said, *(line.strip() for line in process.stdout if line.endswith("\n"))]


class TestKilled:
    async def test_a_killed_ingest_leaves_whole_documents(self, tmp_path: Path) -> None:
        """Every acknowledged document is there, and each document that is there has all its passages and words."""
        path = tmp_path / "rag.db"
        acknowledged = said_before_the_kill(started(INGESTING, path), lines=20)

        async with SqliteDocuments(path) as store:
            documents = await store.all()
            assert set(acknowledged) <= {d.id for d in documents}
            assert all(d.chunks == len(passages(d.text)) for d in documents)
            assert len(await store.search("passages", 1_000_000)) == sum(d.chunks for d in documents)
        with sqlite3.connect(path) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        raw.close()

    async def test_a_document_half_written_was_never_there(self, tmp_path: Path) -> None:
        """A process that dies between two passages takes the document with it; the store works on."""
        path = tmp_path / "rag.db"
        assert said_before_the_kill(started(HALF_WAY, path), lines=1) == ["half"]

        async with SqliteDocuments(path) as store:
            assert (await store.all(), await store.search("half", 5)) == ([], [])
            _, is_new = await store.add("Half", "Half a document", [Span(start=0, end=15)])
            assert is_new


class TestReopened:
    async def test_documents_survive(self, tmp_path: Path) -> None:
        """What one process stored the next one finds, by id and by word."""
        async with SqliteDocuments(tmp_path / "rag.db") as store:
            kept, _ = await store.add("A", TEXT, passages(TEXT))

        async with SqliteDocuments(tmp_path / "rag.db") as store:
            assert await store.get(kept.id) == kept
            assert [h.document_id for h in await store.search(SECRET, 3)] == [kept.id]

    async def test_notes_and_their_summaries_survive(self, tmp_path: Path) -> None:
        """Version, text and summary are as they were."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", TEXT)
            kept = await store.summarised(note.id, Summary(text="s", of_version=1, producer=MADE))

        async with notebook(tmp_path) as store:
            assert await store.get(note.id) == kept

    async def test_the_graph_survives(self, tmp_path: Path) -> None:
        """Documents are as they were."""
        async with SqliteGraph(tmp_path / "ner.db") as store:
            document, _ = await store.put(TEXT, [], MADE)

        async with SqliteGraph(tmp_path / "ner.db") as store:
            assert await store.document(document.id) == (document, [])


class TestDeleted:
    async def test_no_byte_of_a_deleted_document_stays(self, tmp_path: Path) -> None:
        """Not in the tables, not in the word index, not in free pages, not in the write-ahead log."""
        async with SqliteDocuments(tmp_path / "rag.db") as store:
            await store.add("Other", "Stays.", passages("Stays."))
            document, _ = await store.add("A", TEXT, passages(TEXT))
            assert held(tmp_path)
            await store.delete(document.id)
            assert not held(tmp_path)

    async def test_no_byte_of_a_deleted_note_stays(self, tmp_path: Path) -> None:
        """The same for a note and its summary."""
        async with notebook(tmp_path) as store:
            await store.add("Other", "Stays.")
            note = await store.add("A", TEXT)
            await store.summarised(note.id, Summary(text=SECRET, of_version=1, producer=MADE))
            assert held(tmp_path)
            await store.delete(note.id)
            assert not held(tmp_path)

    async def test_no_byte_of_a_retracted_document_stays(self, tmp_path: Path) -> None:
        """The same for what NER has read."""
        async with SqliteGraph(tmp_path / "ner.db") as store:
            document, _ = await store.put(TEXT, [], MADE)
            assert held(tmp_path)
            await store.delete(document.id)
            assert not held(tmp_path)


@contextlib.asynccontextmanager
async def notebook(folder: Path) -> AsyncIterator[Notebook]:
    async with StoredNotebooks(url_of(folder / "notes.db")) as store:
        yield store.of("default")


def held(folder: Path) -> bool:
    """Whether any file of `folder` holds the secret word, whole or as the index stems it."""
    return any(STEM.encode() in file.read_bytes() for file in folder.iterdir())


class TestNotebook:
    async def test_a_slow_summary_of_an_old_version_replaces_no_newer_one(self, tmp_path: Path) -> None:
        """Two summaries at once: the one of the newer version stays, whichever ends last."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", "one")
            await store.save(note.id, "A", "two", expected=1)
            await store.summarised(note.id, Summary(text="of two", of_version=2, producer=MADE))
            late = await store.summarised(note.id, Summary(text="of one", of_version=1, producer=MADE))

            assert late is not None
            assert late.summary is not None
            assert late.summary.text == "of two"

    async def test_of_two_saves_over_one_version_one_wins(self, tmp_path: Path) -> None:
        """The second is told the version that is there now, and changes nothing."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", "one")
            await store.save(note.id, "A", "two", expected=1)
            with pytest.raises(VersionConflict) as conflict:
                await store.save(note.id, "A", "three", expected=1)
            kept = await store.get(note.id)

            assert (conflict.value.current, kept and kept.text) == (2, "two")


class TestDatabase:
    async def test_a_failed_write_changes_nothing(self, tmp_path: Path) -> None:
        """A transaction is whole or not at all, and the store works on."""

        def half(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute("INSERT INTO nowhere VALUES (1)")

        async with Database(tmp_path / "x.db", [["CREATE TABLE t (x)"]]) as database:
            with pytest.raises(StoreError, match="nowhere"):
                await database.write(half)
            rows = await database.read(lambda c: c.execute("SELECT count(*) FROM t").fetchone()[0])

            assert rows == 0

    async def test_migrations_run_once_and_in_order(self, tmp_path: Path) -> None:
        """An older file is led to the newest schema and keeps its rows."""
        first, second = ["CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"], ["ALTER TABLE t ADD COLUMN y DEFAULT 2"]
        async with Database(tmp_path / "x.db", [first]):
            pass
        async with Database(tmp_path / "x.db", [first, second]) as database:
            rows = await database.read(lambda c: [tuple(r) for r in c.execute("SELECT * FROM t")])

        assert rows == [(1, 2)]

    async def test_a_file_of_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        """An older program must not write what it does not understand."""
        async with Database(tmp_path / "x.db", [["CREATE TABLE t (x)"], ["CREATE TABLE u (x)"]]):
            pass
        with pytest.raises(StoreError, match="newer Cutover"):
            await Database(tmp_path / "x.db", [["CREATE TABLE t (x)"]]).__aenter__()

    async def test_a_file_that_is_no_database_is_told(self, tmp_path: Path) -> None:
        """The message names the file."""
        (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(StoreError, match=r"x\.db"):
            await Database(tmp_path / "x.db", []).__aenter__()

    async def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        """The same for the place of the file."""
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="folder"):
            await Database(tmp_path / "file" / "x.db", []).__aenter__()

    async def test_a_full_disk_is_told_apart(self, tmp_path: Path) -> None:
        """`is_full`, and what was there stays readable."""
        async with Database(tmp_path / "x.db", [["CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"]]) as database:
            await database.read(lambda c: c.execute("PRAGMA max_page_count=4").fetchone())
            with pytest.raises(StoreError) as error:
                await database.write(lambda c: c.execute("INSERT INTO t VALUES (zeroblob(1000000))").rowcount)
            rows = await database.read(lambda c: c.execute("SELECT count(*) FROM t").fetchone()[0])

            assert (error.value.is_full, rows) == (True, 1)

    async def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        """Not a crash of the driver."""
        database = Database(tmp_path / "x.db", [])
        with pytest.raises(StoreError, match="not open"):
            await database.check()
