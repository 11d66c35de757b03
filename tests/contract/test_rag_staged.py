"""Uploads that wait for their job, on both stores, and files of older versions."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, select

from services.rag.chunking import passages
from services.rag.parsed import Source
from services.rag.store import content_hash
from services.rag.store_documents import StoredDocuments
from services.rag.store_tables import JOBS, REPLIES, UPLOAD
from services.store.clock import utc_now
from services.store.jobs import JobError, LeaseLost, State
from services.store.sqlite import url_of
from tests.contract.stored import NEW, TEXT, answered


class TestUploads:
    async def test_an_upload_waits_for_its_job_and_goes_with_its_end(self, store: StoredDocuments) -> None:
        """The document, the job's end and the upload's are one write."""
        mine, source = store.of("default"), Source(data=b"\0PDF", name="a.pdf", media_type="application/pdf")
        job = await mine.stage(source, kind="ingest", payload={"collection": ""})
        assert await mine.staged(job) == source
        claim = await store.database.write(lambda c: JOBS.claim(c, at=job.run_after, lease_s=60))
        assert claim is not None
        await mine.put(replace(NEW, content_hash=content_hash(source.data)), job=claim)
        done = await mine.job(job.id)
        assert done is not None
        assert (done.state, await mine.staged(job)) == (State.DONE, None)

    async def test_what_was_answered_to_an_upload_goes_with_its_document(self, store: StoredDocuments) -> None:
        """It names the file, and the document is what it was about; the answers to other uploads stay."""
        mine, made, jobs = store.of("default"), [], []
        for name in ("a.pdf", "b.pdf"):
            job = await mine.stage(Source(data=name.encode(), name=name), kind="ingest", payload={"collection": ""})
            jobs.append(await store.database.write(lambda c: JOBS.claim(c, at=utc_now(), lease_s=60)))
            made.append((await mine.put(replace(NEW, title=name), job=jobs[-1]))[0])
            await store.database.write(partial(answered, job.id, about="jobs"))
        assert await mine.delete(made[0].id)
        left = await store.database.read(lambda c: c.execute(select(REPLIES.table.c.key)).scalars().all())
        assert jobs[1] is not None
        assert left == [jobs[1].id]

    async def test_a_job_that_was_taken_away_stores_nothing(self, store: StoredDocuments) -> None:
        """Its document was not wanted any more."""
        mine = store.of("default")
        job = await mine.stage(Source(data=b"x", name="x"), kind="ingest", payload={})
        claim = await store.database.write(lambda c: JOBS.claim(c, at=job.run_after, lease_s=60))
        assert claim is not None
        assert await mine.forget_job(job.id)
        with pytest.raises(LeaseLost):
            await mine.put(NEW, job=claim, then="reindex")
        assert (await mine.page(9, 0), await mine.jobs(9)) == ([], [])
        assert await store.database.read(lambda c: c.execute(select(UPLOAD.c.job)).all()) == []

    async def test_a_dead_letter_keeps_its_upload_for_another_try(self, store: StoredDocuments) -> None:
        """Until somebody forgets it."""
        mine = store.of("default")
        job = await mine.stage(Source(data=b"x", name="x"), kind="ingest", payload={})

        def refused(c: Connection) -> None:
            claim = JOBS.claim(c, at=job.run_after, lease_s=60)
            assert claim is not None
            JOBS.failed(c, claim, JobError("encrypted", "why", permanent=True), at=job.run_after)

        await store.database.write(refused)
        [dead] = await mine.jobs(9, state=State.FAILED)
        assert (dead.error_code, await mine.staged(dead)) == ("encrypted", Source(data=b"x", name="x"))
        again = await mine.again(job.id)
        assert again is not None
        assert again.state == State.QUEUED


OLD = (
    """CREATE TABLE document (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL,
        created_at TEXT NOT NULL)""",
    """CREATE TABLE chunk (
        id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES document (number) ON DELETE CASCADE,
        number INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, UNIQUE (document, number))""",
    "CREATE VIRTUAL TABLE chunk_words USING fts5 (title, text, tokenize = 'porter unicode61')",
    f"INSERT INTO document VALUES (3, 'old', 'Manual', '{TEXT}', '2026-01-01T00:00:00.000+00:00')",
    "INSERT INTO chunk VALUES (7, 3, 0, 0, 15), (8, 3, 1, 17, 32)",
    "INSERT INTO chunk_words (rowid, title, text) VALUES (7, 'Manual', 'Alpha pump one.')",
    "INSERT INTO chunk_words (rowid, title, text) VALUES (8, 'Manual', 'Beta valve two.')",
    "PRAGMA user_version=1",
)
"""A file as version 1 wrote it."""


class TestOlderFiles:
    @pytest.fixture
    def old(self, tmp_path: Path) -> str:
        path = tmp_path / "old.db"
        raw = sqlite3.connect(path, isolation_level=None)
        for statement in OLD:
            raw.execute(statement)
        raw.close()
        return url_of(path)

    async def test_nothing_of_an_older_file_is_lost(self, old: str) -> None:
        """Its documents are found by word, are in the workspace of those without keys, and can be deleted."""
        for _ in range(2):
            async with StoredDocuments(old) as store:
                document = await store.of("default").get("old")
                assert document is not None
                assert (document.number, document.title, document.text, document.chunks) == (3, "Manual", TEXT, 2)
                assert document.content_hash == content_hash(TEXT.encode())
                [hit] = await store.of("default").search("valve", 5)
                assert (hit.chunk, hit.text) == (1, "Beta valve two.")
        async with StoredDocuments(old) as store:
            await store.of("default").add("Newer", TEXT, passages(TEXT))
            assert await store.of("default").delete("old")
            assert [h.title for h in await store.of("default").search("pump", 5)] == ["Newer"]

    async def test_a_migrated_file_is_made_like_a_new_one(self, old: str, tmp_path: Path) -> None:
        """Column by column, key by key: what works on one works on the other."""

        def shape(c: Connection) -> dict[str, object]:
            seen = inspect(c)
            return {
                name: (
                    [(col["name"], str(col["type"]), col["nullable"]) for col in seen.get_columns(name)],
                    sorted(str(sorted(u["column_names"])) for u in seen.get_unique_constraints(name)),
                    sorted((i["name"], tuple(i["column_names"])) for i in seen.get_indexes(name)),
                    [(k["constrained_columns"], k["referred_table"]) for k in seen.get_foreign_keys(name)],
                )
                for name in seen.get_table_names()
                if not name.startswith("chunk_words")
            }

        async with StoredDocuments(old) as migrated, StoredDocuments(url_of(tmp_path / "new.db")) as new:
            assert await migrated.database.read(shape) == await new.database.read(shape)
