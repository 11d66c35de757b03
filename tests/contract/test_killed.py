"""A process that writes is killed, at any moment: nothing acknowledged is lost, and nothing is there by half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select

from services.rag.chunking import passages
from services.rag.store import Document
from services.rag.store_documents import StoredDocuments, WorkspaceDocuments
from services.rag.store_tables import CHUNK, DOCUMENT, JOBS, UPLOAD
from services.store.jobs import State
from tests.contract.killed_ingest import SPACE

ROOT = Path(__file__).parents[2]
KILLS = 6
ALL = 100_000


def started(what: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.killed_ingest", what, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said_before_the_kill(what: str, url: str, lines: int) -> list[str]:
    """The first `lines` that it said; then it is killed, and what else it had said by then comes with them."""
    with started(what, url) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        return [*said, *(line.strip() for line in process.stdout if line.endswith("\n"))]


async def every(mine: WorkspaceDocuments) -> list[Document]:
    found = [await mine.get(d.id) for d in await mine.page(ALL, 0)]
    return [d for d in found if d is not None]


async def test_nothing_acknowledged_is_lost_and_nothing_is_half(store_url: str) -> None:
    """Killed again and again; then the jobs that were left are done, each once."""
    moments = random.Random("moments")
    acknowledged = [
        line for _ in range(KILLS) for line in said_before_the_kill("ingest", store_url, moments.randint(1, 25))
    ]
    documents = {line.removeprefix("document ") for line in acknowledged if line.startswith("document ")}
    jobs = {line.removeprefix("job ") for line in acknowledged if line.startswith("job ")}

    async with StoredDocuments(store_url) as store:
        mine = store.of("default")
        assert documents <= {d.id for d in await every(mine)}
        assert jobs <= {job.id for job in await mine.jobs(ALL)}
        await all_whole(store)

    with started("resume", store_url) as process:
        assert process.wait(600) == 0

    async with StoredDocuments(store_url) as store:
        mine = store.of("default")
        counts = await store.database.read(JOBS.counts)
        assert counts[State.FAILED] == 0
        assert counts[State.DONE] >= len(jobs)
        made = [d.source for d in await every(mine) if d.source]
        assert sorted(made) == sorted(job.id for job in await mine.jobs(ALL))
        assert (
            await store.database.read(lambda c: c.execute(select(func.count()).select_from(UPLOAD)).scalar_one()) == 0
        )
        await all_whole(store)


async def test_a_document_half_written_was_never_there(store_url: str) -> None:
    """A process that dies between two passages takes the document with it; the store works on."""
    assert said_before_the_kill("half", store_url, lines=1) == ["half"]

    async with StoredDocuments(store_url) as store:
        mine = store.of("default")
        assert (await mine.page(9, 0), await mine.search("half", 5)) == ([], [])
        _, is_new = await mine.add("Half", "Half of it", passages("Half of it"))
        assert is_new


async def all_whole(store: StoredDocuments) -> None:
    """Each document has all its passages, and each passage its words and its vector; and there are no others."""
    mine = store.of("default")
    found = await every(mine)
    assert found
    assert all(d.chunks == len(passages(d.text)) and d.is_embedded for d in found)
    chunks = sum(d.chunks for d in found)
    rows = await store.database.read(lambda c: c.execute(select(func.count()).select_from(CHUNK)).scalar_one())
    assert rows == chunks
    hits = await mine.search("passages", ALL)
    near = await mine.nearest(SPACE, [1.0] * 16, min(chunks, 500))
    assert (len(hits), len(near)) == (chunks, min(chunks, 500))
    owners = await store.database.read(lambda c: set(c.execute(select(DOCUMENT.c.id)).scalars()))
    assert {h.document_id for h in (*hits, *near)} <= owners
