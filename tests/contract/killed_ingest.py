"""The process that `test_killed.py` kills: stores documents and uploads without end, and does the uploads' jobs.

It says what it acknowledges, a line each: `document ID` or `job ID`. Told to `resume`, it does the jobs that are left,
and ends. Told `half`, it stops for good between two passages of a document.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator

from services.rag.chunking import Span, passages
from services.rag.parsed import Source
from services.rag.store import NewDocument, content_hash
from services.rag.store_documents import StoredDocuments
from services.rag.store_tables import JOBS
from services.store.jobs import Job, State
from services.store.vectors import Space
from services.store.worker import Worker

SPACE = Space(name="m@1:16:unit", dimension=16)
LEASE_S = 0.5


class Stalling(list[Span]):
    """Passages of which the second never comes."""

    def __iter__(self) -> Iterator[Span]:
        yield Span(start=0, end=4)
        say("half")
        sys.stdin.read()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def document(text: str, source: str = "") -> NewDocument:
    """`text` cut into passages, each with a vector of some kind."""
    spans = passages(text)
    vectors = [[1.0 if n == i % 16 else 0.0 for n in range(16)] for i in range(len(spans))]
    known = content_hash(text.encode())
    return NewDocument(
        title="T", text=text, spans=spans, source=source, content_hash=known, vectors=vectors, space=SPACE
    )


def words(name: str) -> str:
    """A text of its own, of several passages that all hold the word `passages`."""
    return f"{name}. " + "Words to be cut into passages. " * 60


async def ingested(store: StoredDocuments, job: Job) -> None:
    """The handler: reads the upload, stores the document, ends the job."""
    mine = store.of(job.workspace)
    source = await mine.staged(job)
    assert source is not None
    await mine.put(document(source.data.decode(), source=job.id), job=job)


async def endless(store: StoredDocuments) -> None:
    """Acknowledge documents and uploads in turn."""
    mine = store.of("default")
    while True:
        stored, _ = await mine.put(document(words(uuid.uuid4().hex)))
        say(f"document {stored.id}")
        source = Source(data=words(uuid.uuid4().hex).encode(), name="u")
        job = await mine.stage(source, kind="ingest", payload={})
        say(f"job {job.id}")


async def until_done(store: StoredDocuments) -> None:
    """Wait until no job is left."""
    while True:
        counts = await store.database.read(JOBS.counts)
        if not counts[State.QUEUED] + counts[State.RUNNING]:
            return
        await asyncio.sleep(0.05)


async def main(what: str, url: str) -> None:
    async with StoredDocuments(url) as store:

        async def handler(job: Job) -> None:
            await ingested(store, job)

        async with Worker(store.database, JOBS, {"ingest": handler}, lease_s=LEASE_S, poll_s=0.02):
            match what:
                case "ingest":
                    await endless(store)
                case "half":
                    await store.of("default").put(NewDocument(title="Half", text="Half of it", spans=Stalling()))
                case "resume":
                    await until_done(store)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
