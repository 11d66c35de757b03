"""RAG finds by meaning and words where something embeds, by words where nothing does, and says which it was."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from services.embedding import Embedding
from services.llm.errors import DeadError, LLMError
from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbedRequest
from services.migration.doctor_index import before_engines
from services.migration.findings import Finding, Level
from services.rag import app as rag_app
from services.rag.ingest import REINDEX
from services.rag.store_documents import StoredDocuments, WorkspaceDocuments
from services.settings import Settings
from services.store.clock import utc_now
from services.store.errors import StoreError
from services.store.jobs import Job
from tests.service.scripted import Desk, ScriptedClient, answer, served

MEANINGS = {"car": 0, "vehicle": 0, "automobile": 0, "soup": 1, "broth": 1}
"""Words that mean the same have one direction; all others have none."""


class EmbeddingClient(ScriptedClient):
    """Embeds by `MEANINGS` into MiniLM's space, or raises `broken`; `meanwhile` happens while it does."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: LLMError | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.alias = "minilm"

    async def embed(self, request: EmbedRequest) -> Embeddings:
        if self.broken is not None:
            raise self.broken
        if self.meanwhile is not None:
            await self.meanwhile()
        space = model("minilm").space
        assert space is not None and request.space == space
        rows = tuple(vector(text, space.dimension) for text in request.texts)
        made_by = answer("").provenance
        return Embeddings(vectors=rows, space=space, provenance=made_by, duration_s=0.0)


def vector(text: str, dimension: int) -> tuple[float, ...]:
    row = [0.0] * (dimension - 1) + [0.1]
    for word in text.lower().replace(".", " ").split():
        if word in MEANINGS:
            row[MEANINGS[word]] += 1.0
    length = math.hypot(*row)
    return tuple(x / length for x in row)


@pytest.fixture
def embedder() -> EmbeddingClient:
    return EmbeddingClient()


@pytest.fixture
def embedding(settings: Settings) -> Settings:
    return replace(settings, embedding=Embedding(alias="minilm"))


@pytest.fixture
async def desk(embedding: Settings, embedder: EmbeddingClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(rag_app, "_tokenizer", lambda settings: None)  # the model's files are not on this machine
    async with served(rag_app.build(embedding, client=embedder), embedder) as made:
        yield made


async def add(desk: Desk, title: str, text: str) -> None:
    assert (await desk.http.post("/v1/documents", json={"title": title, "text": text})).status_code == 201


async def idle(desk: Desk) -> list[dict[str, Any]]:
    """The jobs, when none waits or runs."""
    for _ in range(6000):
        jobs = (await desk.http.get("/v1/jobs")).json()["jobs"]
        if all(job["state"] in ("done", "failed") or job["error"] for job in jobs):
            return list(jobs)
        await asyncio.sleep(0.02)
    raise AssertionError(jobs)


async def search(desk: Desk, query: str, **wish: object) -> dict[str, Any]:
    answered = await desk.http.post("/v1/search", json={"query": query, "k": 2, **wish})
    assert answered.status_code == 200
    return dict(answered.json())


def titles(found: dict[str, Any]) -> list[str]:
    return [hit["title"] for hit in found["hits"]]


async def test_what_means_the_same_is_found_without_a_shared_word(desk: Desk) -> None:
    """By meaning alone and by both; words alone find nothing."""
    await add(desk, "Fleet", "The automobile is parked behind rack B.")
    await add(desk, "Lunch", "The broth is served at noon.")
    await idle(desk)

    assert titles(await search(desk, "vehicle"))[0] == "Fleet"
    dense = await search(desk, "soup", mode="dense")
    assert (titles(dense)[0], dense["mode"], dense["reason"]) == ("Lunch", "dense", "")
    assert (await search(desk, "vehicle", mode="lexical"))["hits"] == []


async def test_words_and_meaning_count_together(desk: Desk) -> None:
    """Two mean the same: the one that also holds the error code comes first."""
    await add(desk, "Manual", "A car stops.")
    await add(desk, "Codes", "A car stops with E4711 shown.")
    await idle(desk)
    found = await search(desk, "vehicle E4711")

    assert (titles(found), found["mode"]) == (["Codes", "Manual"], "hybrid")
    assert found["hits"][0]["score"] == pytest.approx(1.0)


async def test_a_dead_embedder_leaves_the_words_and_says_so(desk: Desk, embedder: EmbeddingClient) -> None:
    """A save is not held up by it either; its job is tried again, with the reason shown meanwhile."""
    embedder.broken = DeadError("nobody embeds", provider="in_process")
    await add(desk, "Lunch", "The broth is served at noon.")
    [job] = await idle(desk)
    found = await search(desk, "broth")

    assert (titles(found), found["mode"]) == (["Lunch"], "lexical")
    assert "nobody embeds" in found["reason"]
    assert (job["state"], job["error"]["code"]) == ("queued", "not-embedded")


async def test_an_upload_is_embedded_by_the_job_that_reads_it(desk: Desk) -> None:
    """One job, one write: found by meaning as soon as it is done."""
    await desk.http.post("/v1/documents", files={"file": ("fleet.txt", b"The automobile is parked behind rack B.")})
    jobs = await idle(desk)

    assert [job["state"] for job in jobs] == ["done"]
    assert (await search(desk, "vehicle", mode="dense"))["hits"][0]["text"].startswith("The automobile")


class OneWriteDocuments(WorkspaceDocuments):
    """Documents of a process that ends before it could write a job on its own."""

    async def enqueue(self, *, kind: str, payload: dict[str, str]) -> Job:
        raise StoreError(f"nobody is left to write {kind} of {payload}")


class OneWrite(StoredDocuments):
    def of(self, workspace: str) -> OneWriteDocuments:
        return OneWriteDocuments(self.database, workspace, utc_now)


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"title": "Fleet", "text": "The automobile is parked."}},
        {"files": {"file": ("fleet.txt", b"The automobile is parked.")}},
    ],
)
async def test_a_document_without_vectors_and_the_job_that_makes_them_are_one_write(
    embedding: Settings, embedder: EmbeddingClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    """Who dies after the first leaves no document behind that words alone will ever find."""
    monkeypatch.setattr(rag_app, "_tokenizer", lambda settings: None)
    embedder.broken = DeadError("nobody embeds", provider="in_process")
    store = OneWrite(embedding.stores.url("rag"))
    async with served(rag_app.build(embedding, client=embedder, store=store), embedder) as made:
        assert (await made.http.post("/v1/documents", **body)).status_code in (201, 202)
        jobs = await idle(made)

    assert [j["error"]["code"] for j in jobs if j["kind"] == REINDEX] == ["not-embedded"]


async def test_a_collection_that_goes_while_its_upload_is_embedded_takes_it_along(
    desk: Desk, embedder: EmbeddingClient
) -> None:
    """Job and file are gone with it, and nothing is stored where nobody could delete it any more."""
    part = (await desk.http.post("/v1/collections", json={"name": "Fleet"})).json()["id"]
    embedded = asyncio.Event()

    async def deleting() -> None:
        assert (await desk.http.delete(f"/v1/collections/{part}")).status_code == 204
        embedded.set()

    embedder.meanwhile = deleting
    sent = await desk.http.post(
        "/v1/documents", files={"file": ("a.txt", b"The automobile.")}, data={"collection": part}
    )
    await embedded.wait()
    embedder.meanwhile = None
    await desk.http.post("/v1/documents", files={"file": ("b.txt", b"The soup.")})
    await idle(desk)

    assert (await desk.http.get(f"/v1/jobs/{sent.json()['id']}")).status_code == 404
    assert [d["title"] for d in (await desk.http.get("/v1/documents")).json()["documents"]] == ["b.txt"]


async def test_an_answer_is_from_what_was_found_by_meaning(desk: Desk) -> None:
    await add(desk, "Fleet", "The automobile is parked behind rack B.")
    await idle(desk)
    desk.llm.answers = [answer("It is parked behind rack B.")]
    asked = await desk.http.post("/v1/ask", json={"question": "vehicle?", "k": 1})

    assert asked.json()["citations"][0]["quote"] == "The automobile is parked behind rack B."


async def test_without_an_embedder_words_find_and_readyz_says_so(rag: Desk) -> None:
    """Asked for meaning, it says why that is not what was done."""
    await add(rag, "Lunch", "The broth is served at noon.")
    found = await search(rag, "broth", mode="dense")
    ready = (await rag.http.get("/readyz")).json()

    assert (titles(found), found["mode"]) == (["Lunch"], "lexical")
    assert "set EMBED_MODEL" in found["reason"]
    assert ready["uses"]["search"].startswith("words only: ")


async def test_readyz_names_the_space_in_use(desk: Desk) -> None:
    ready = (await desk.http.get("/readyz")).json()

    assert ready["uses"]["search"] == "meaning and words: minilm@53aa51172d14:384:unit:mean:256"


async def test_the_doctor_understands_what_readyz_says_of_stored_and_made_vectors(desk: Desk, rag: Desk) -> None:
    """Nothing stored yet, nothing that embeds, and one space on both sides, which leaves the engines to be asked."""

    async def said(of: Desk) -> Finding | None:
        uses = (await of.http.get("/readyz")).json()["uses"]
        return before_engines(uses["vectors"], uses["search"])

    empty, silent = await said(desk), await said(rag)
    await add(desk, "Lunch", "The broth is served at noon.")
    await idle(desk)

    assert (empty and empty.level, silent and silent.level) == (Level.WARN, Level.PASS)
    assert await said(desk) is None


async def test_documents_from_before_the_embedder_are_embedded_by_reindex(
    settings: Settings, embedding: Settings, embedder: EmbeddingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words find them all the time."""
    monkeypatch.setattr(rag_app, "_tokenizer", lambda settings: None)
    async with served(rag_app.build(settings, client=ScriptedClient()), ScriptedClient()) as before:
        await add(before, "Fleet", "The automobile is parked behind rack B.")
    async with StoredDocuments(settings.stores.url("rag")) as stored:
        assert await stored.reindex_all(REINDEX) == 1
    async with served(rag_app.build(embedding, client=embedder), embedder) as after:
        await idle(after)

        assert titles(await search(after, "vehicle", mode="dense")) == ["Fleet"]
        assert titles(await search(after, "automobile", mode="lexical")) == ["Fleet"]
