"""A dry run of making notes anew on both stores: it counts, and writes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, func, select

from services.notes.notebook import StoredNotebooks
from services.notes.store import Kind, Summary
from services.notes.tables import TABLES
from services.web.provenance import Producer

MADE = Producer(provider="ollama", engine="ollama", model="tiny", prompt_version="old", at="now")
WHERES = ("stale", "failed", "outdated", "provider=ollama", "model!=other", "digest!=8b7a")


@pytest.fixture
async def notebooks(store_url: str) -> AsyncIterator[StoredNotebooks]:
    async with StoredNotebooks(store_url) as store:
        note = await store.of("ours").add("A", "b")
        await store.of("ours").summarised(note.id, Summary(text="s", of_version=1, producer=MADE))
        yield store


def counted(c: Connection) -> dict[str, int]:
    """The rows of each table."""
    return {t.name: c.execute(select(func.count()).select_from(t)).scalar_one() for t in TABLES.sorted_tables}


def written(store_url: str) -> list[str]:
    """What is on the disk of a SQLite store, its log included; nothing for PostgreSQL's."""
    file = sqlalchemy.make_url(store_url).database or ""
    own = [Path(file), Path(f"{file}-wal")] if store_url.startswith("sqlite") else []
    return [sha256(path.read_bytes()).hexdigest() for path in own]


async def test_it_leaves_every_table_and_the_file_as_they_were(notebooks: StoredNotebooks, store_url: str) -> None:
    """Whatever is asked for; the same without `is_dry_run` does write."""
    before = (await notebooks.database.read(counted), written(store_url))
    found = [await notebooks.of("ours").rerun(where, is_dry_run=True) for where in WHERES]
    after = (await notebooks.database.read(counted), written(store_url))
    await notebooks.of("ours").rerun("provider=ollama")

    assert before == after
    assert [f.get(Kind.SUMMARY, 0) for f in found] == [0, 0, 1, 1, 1, 1]
    assert await notebooks.database.read(counted) != before[0]


async def test_it_waits_for_no_writer(notebooks: StoredNotebooks, store_url: str) -> None:
    """Another process may be in the middle of a long write."""
    holds, done = threading.Event(), threading.Event()

    def held(c: Connection) -> None:
        holds.set()
        assert done.wait(60)

    async with StoredNotebooks(store_url) as other:
        writing = asyncio.create_task(other.database.write(held))
        try:
            assert await asyncio.to_thread(holds.wait, 60)
            found = await notebooks.of("ours").rerun("provider=ollama", is_dry_run=True)
            assert not writing.done()
        finally:
            done.set()
            await writing

    assert found == {Kind.SUMMARY: 1}
