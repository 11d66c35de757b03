"""EMBED_MODEL is set and nobody fetched its files: RAG starts, finds by words, and says which command brings them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from services.embedding import Embedding
from services.llm.registry import model
from services.rag import app as rag_app
from services.settings import Settings
from tests.unit.llm import tiny_bert

FETCH = "`cutover models --fetch minilm` brings it"


@pytest.fixture
def embedding(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, embedding=Embedding(alias="minilm"), engines_dir=tmp_path / "engines")


@pytest.fixture
async def rag(embedding: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """RAG with the client that its settings give it."""
    app = rag_app.build(embedding)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield http


async def searched(rag: httpx2.AsyncClient) -> str:
    return str((await rag.get("/readyz")).json()["uses"]["search"])


async def test_it_is_said_where_somebody_looks(rag: httpx2.AsyncClient, embedding: Settings) -> None:
    """The file that is missing, the command, and that the service is to be started again."""
    said = await searched(rag)

    assert said.startswith(f"words only: no tokenizer {embedding.engines_dir}/models/minilm/")
    assert said.endswith(f"{FETCH}; then restart")


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
async def test_words_find_what_was_stored_without_the_files(rag: httpx2.AsyncClient, mode: str) -> None:
    document = {"title": "Backups", "text": "The tape library stands in Bergen."}
    assert (await rag.post("/v1/documents", json=document)).status_code == 201
    found = (await rag.post("/v1/search", json={"query": "tape library", "mode": mode})).json()

    assert [hit["title"] for hit in found["hits"]] == ["Backups"]
    assert found["mode"] == "lexical" and FETCH in found["reason"]


async def test_with_the_files_it_searches_by_meaning(embedding: Settings, tmp_path: Path) -> None:
    """The same settings: what was said before was about the files."""
    source = model("minilm").source
    assert source is not None
    folder = source.folder(embedding.engines_dir, "minilm")
    folder.parent.mkdir(parents=True)
    shutil.copytree(tiny_bert.folder(tmp_path / "made"), folder)
    app = rag_app.build(embedding)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        assert (await searched(http)).startswith("meaning and words: minilm@")
