"""RAG's process is killed while it reads uploads: each accepted file becomes one whole document, a deleted one none.

Without an embedder: `tests/contract/test_killed.py` kills writers of vectors.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy
from sqlalchemy import func, select, update

from services.rag.chunking import passages
from services.rag.store import Document
from services.rag.store_documents import StoredDocuments
from services.rag.store_tables import CHUNK, JOBS, UPLOAD
from services.store.jobs import State
from services.web.workspace import DEFAULT
from tests.service.killable import Process, running
from tests.unit.rag.papers import pdf, word

KILLS = 2
SENDERS = 3
FILES = 3
"""How many each sender sends between two kills: more than are read until then, so that some always wait."""
ALL = 1000
LONG = 40
DONE_S = 600
LONG_AGO = "2000-01-01T00:00:00.000+00:00"


@dataclass
class Sent:
    """What was sent, by the stem of its name, and what the service had said to it."""

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    perhaps_deleted: set[str] = field(default_factory=set)


def made(draw: random.Random) -> tuple[str, str, bytes]:
    """Its name's stem, and a file of any kind and of 1 to `LONG` passages that each hold `word_of` it."""
    own = uuid.UUID(int=draw.getrandbits(128)).hex
    paragraphs = [f"{word_of(own)} {n}. " + "Words to be cut. " * 30 for n in range(draw.choice((1, 3, LONG)))]
    match draw.choice(("md", "html", "docx", "pdf")):
        case "md":
            return own, f"{own}.md", "\n\n".join(paragraphs).encode()
        case "html":
            return own, f"{own}.html", f"<html><body>{''.join(f'<p>{p}</p>' for p in paragraphs)}</body>".encode()
        case "docx":
            return own, f"{own}.docx", word(*paragraphs)
        case _:
            return own, f"{own}.pdf", pdf(*(p[:60] for p in paragraphs))


def word_of(own: str) -> str:
    """What stands in this file alone, and not in its name, which the job that read it keeps."""
    return f"w{own}"


async def send(http: httpx2.AsyncClient, sent: Sent, draw: random.Random, unsure: list[str]) -> None:
    """Upload, now and then one of `unsure`, which then is none of them, and look at jobs until the process is gone.

    Every upload has another name, so as many are accepted as are sent.
    """
    for _ in range(FILES):
        own, name, data = made(draw)
        if unsure and draw.random() < 0.5:
            own = unsure.pop()
            name, data = sent.files[own]
        sent.files[own] = (name, data)
        answer = await http.post("/v1/documents", files={"file": (name, data)}, data={"title": own})
        if answer.status_code in (200, 202):
            sent.accepted[own] = answer.json()["id"]
    while True:
        await http.get("/v1/jobs")
        await asyncio.sleep(0.05)


async def delete(http: httpx2.AsyncClient, sent: Sent, draw: random.Random) -> None:
    """Send texts, which are stored at once, and delete all but the newest documents, until the process is gone."""
    for _ in range(FILES):
        own = uuid.UUID(int=draw.getrandbits(128)).hex
        text = f"{word_of(own)} words."
        sent.files[own] = (f"{own}.md", text.encode())
        answer = await http.post("/v1/documents", json={"title": own, "text": text})
        assert answer.status_code == 201
        sent.accepted[own] = answer.json()["id"]
    while True:
        listed = (await http.get("/v1/documents", params={"limit": 100})).json()["documents"]
        for document in listed[:-2]:
            own = document["title"]
            sent.perhaps_deleted.add(own)
            if (await http.delete(f"/v1/documents/{document['id']}")).status_code == 204:
                sent.deleted.add(own)
        await asyncio.sleep(0.05)


async def until_killed(process: Process, sent: Sent, draw: random.Random, *, deletes: bool) -> None:
    """Callers without end, and a kill after so many answers and moments as `draw` chooses.

    Without deletions, what nobody was told the fate of in the rounds before is sent again, each file once: one that is
    sent again may come back after its deletion, as it should.
    """
    unsure = [] if deletes else [own for own in sent.files if own not in sent.accepted]
    told = (lambda: len(sent.deleted)) if deletes else (lambda: len(sent.accepted))
    enough = told() + draw.randint(1, 3 if deletes else SENDERS * FILES)
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as http:
        callers: list[Any] = [send(http, sent, draw, unsure) for _ in range(SENDERS)]
        callers += [delete(http, sent, draw)] if deletes else []
        tasks = [asyncio.create_task(caller) for caller in callers]
        async with asyncio.timeout(DONE_S):
            while told() < enough and not any(task.done() for task in tasks):
                await asyncio.sleep(0.01)
        await asyncio.sleep(draw.uniform(0, 1.5))
        process.kill()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ended, httpx2.TransportError), ended


async def a_minute_later(store: str) -> None:
    """The leases of the killed process's jobs have run out."""
    async with StoredDocuments(store) as stored:
        running_out = update(JOBS.table).where(JOBS.table.c.state == State.RUNNING).values(lease_until=LONG_AGO)
        await stored.database.write(lambda c: c.execute(running_out))


async def killed_again_and_again(home: Path, store: str, *, deletes: bool) -> Sent:
    """Every kill at another moment, the last one followed by a start that does what is left."""
    sent, draw = Sent(), random.Random(f"moments {deletes}")
    for _ in range(KILLS):
        with running(home, store) as process:
            await until_killed(process, sent, draw, deletes=deletes)
        await a_minute_later(store)
    with running(home, store) as process:
        async with httpx2.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as http:
            async with asyncio.timeout(DONE_S):
                while await waiting(http):
                    await asyncio.sleep(0.1)
    return sent


async def waiting(http: httpx2.AsyncClient) -> bool:
    states = (State.QUEUED, State.RUNNING)
    pages = [(await http.get("/v1/jobs", params={"state": str(state), "limit": 1})).json() for state in states]
    return any(page["jobs"] for page in pages)


async def every(stored: StoredDocuments) -> list[Document]:
    mine = stored.of(DEFAULT)
    found = [await mine.get(info.id) for info in await mine.page(ALL, 0)]
    return [document for document in found if document is not None]


async def none_is_half(stored: StoredDocuments, documents: list[Document]) -> None:
    """Each has the whole text of its file and all its passages, each found by its word; and there are no others."""
    mine = stored.of(DEFAULT)
    for document in documents:
        own = document.title
        assert document.chunks == len(passages(document.text))
        hits = await mine.search(word_of(own), ALL)
        assert {hit.document_id for hit in hits} == {document.id}
        assert len(hits) == document.chunks
    rows = await stored.database.read(lambda c: c.execute(select(func.count()).select_from(CHUNK)).scalar_one())
    assert rows == sum(document.chunks for document in documents)


async def all_jobs_are_done(stored: StoredDocuments) -> None:
    counts = await stored.database.read(JOBS.counts)
    assert {state for state, count in counts.items() if count} == {State.DONE}
    left = await stored.database.read(lambda c: c.execute(select(func.count()).select_from(UPLOAD)).scalar_one())
    assert left == 0


async def test_each_accepted_file_is_one_whole_document(tmp_path: Path, store_url: str) -> None:
    """None lost, none twice, none half; one that nobody was told of is there once or not at all."""
    sent = await killed_again_and_again(tmp_path, store_url, deletes=False)

    async with StoredDocuments(store_url) as stored:
        documents = await every(stored)
        there = Counter(document.title for document in documents)
        assert len(sent.accepted) > KILLS
        assert set(there.values()) == {1}
        assert sent.accepted.keys() <= there.keys() <= sent.files.keys()
        assert all(whole(document, *sent.files[document.title]) for document in documents)
        await none_is_half(stored, documents)
        await all_jobs_are_done(stored)


async def test_a_deleted_document_stays_deleted(tmp_path: Path, store_url: str) -> None:
    """What was answered 204 is in no row and, on SQLite, in no file; what was not answered is whole or gone."""
    sent = await killed_again_and_again(tmp_path, store_url, deletes=True)

    async with StoredDocuments(store_url) as stored:
        documents = await every(stored)
        there = Counter(document.title for document in documents)
        assert len(sent.deleted) >= KILLS
        assert not sent.deleted & there.keys()
        assert sent.accepted.keys() - sent.perhaps_deleted <= there.keys()
        assert set(there.values()) == {1}
        await none_is_half(stored, documents)
        await all_jobs_are_done(stored)
        for own in sent.deleted:
            assert await stored.of(DEFAULT).search(word_of(own), 1) == []
    assert not in_files(store_url, {word_of(own) for own in sent.deleted})


def whole(document: Document, name: str, data: bytes) -> bool:
    """The text has as many passages' words as the file was made of."""
    own = word_of(name.partition(".")[0])
    if name.endswith((".md", ".html")):
        return document.text.count(own) == data.count(own.encode())
    numbers = [n for n in range(LONG) if f"{own} {n}." in document.text]
    return len(numbers) in (1, 3, LONG) and document.text.count(own) == len(numbers)


def in_files(store: str, words: set[str]) -> list[str]:
    """Those of `words` that SQLite's files hold; a PostgreSQL's files are its own."""
    url = sqlalchemy.make_url(store)
    if url.get_backend_name() != "sqlite":
        return []
    path = Path(str(url.database))
    data = b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))
    return [word for word in words if word.encode() in data]
