"""The index that is there: its space against the embedder's and both engines', and who an engine's vectors find."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from services.llm.registry import models
from services.migration import doctor as room
from services.migration.doctor_index import Search, before_engines, cutter, overlap, shared
from services.migration.findings import Finding, Level
from tests.unit.migration.house import TOKEN, House, weights

SPACE = "smollm2-135m-embed@q4_1:576:unit"
"""Of the registry's embedding model that needs no tokenizer on our side."""

STORED, MADE = f"sqlite-vec v0.1.9: {SPACE}", f"meaning and words: {SPACE}"
NOTHING = "sqlite-vec v0.1.9: no vectors, so search is by words only"


@pytest.mark.parametrize(
    ("stored", "search", "level", "step"),
    [
        ("", "", Level.WARN, "does not tell"),
        (NOTHING, "words only: no embedding model is configured", Level.PASS, ""),
        (NOTHING, MADE, Level.WARN, "`cutover reindex rag`"),
        (STORED, "words only: no embedding model is configured", Level.WARN, "EMBED_MODEL"),
        (STORED, "meaning and words: minilm@53aa51172d14:384:unit:mean:256", Level.FAIL, "`cutover reindex rag`"),
        (STORED.replace("q4_1", "q8_0"), MADE, Level.FAIL, "`cutover reindex rag`"),
        (STORED.replace("unit", "raw"), MADE, Level.FAIL, "`cutover reindex rag`"),
    ],
)
def test_what_store_and_embedder_say_is_compared(stored: str, search: str, level: Level, step: str) -> None:
    finding = before_engines(stored, search)
    assert finding is not None
    assert (finding.level, step in finding.next) == (level, True)


def test_one_space_is_left_for_the_engines_to_fit() -> None:
    assert before_engines(STORED, MADE) is None
    assert before_engines(f"exact search with numpy (no: extensions): {SPACE}", MADE) is None


@functools.cache
def vector(text: str, *, other: float = 0.0, dimension: int = 576) -> list[float]:
    """What the index's model makes of a text; `other` mixes in another model's view of it."""
    mixed, noise = random.Random(text), random.Random(f"other {text}")
    row = [mixed.gauss(0, 1) + other * noise.gauss(0, 1) for _ in range(dimension)]
    return [x / math.hypot(*row) for x in row]


def made_by(**changes: Any) -> Callable[[dict[str, Any]], httpx2.Response]:
    return lambda body: httpx2.Response(200, json={"embeddings": [vector(t, **changes) for t in body["input"]]})


class Rag(House):
    """RAG with sixty passages in its index, ranked by the model that the registry names."""

    stored, search, passages = STORED, MADE, 60

    def _service(self, request: httpx2.Request, body: dict[str, Any]) -> httpx2.Response:
        if request.url.path == "/readyz":
            uses = {"vectors": self.stored, "search": self.search}
            return httpx2.Response(200, json={"status": "ready", "reasons": {}, "uses": uses})
        if request.url.path == "/v1/search":
            asked = vector(body["query"])
            texts = [f"passage {n}" for n in range(self.passages)]
            best = sorted(texts, key=lambda t: -sum(a * b for a, b in zip(vector(t), asked, strict=True)))
            hits = [
                {"document_id": "d", "chunk": int(t.split()[1]), "text": t, "score": 1.0} for t in best[: body["k"]]
            ]
            return httpx2.Response(200, json={"hits": hits, "mode": body["mode"], "reason": ""})
        return super()._service(request, body)


@pytest.fixture
def rag(house: House) -> Rag:
    found = Rag(home=house.home, service="rag")
    found.answers["ollama /api/embed"] = made_by()
    weights(found)
    return found


async def examine(rag: Rag) -> dict[str, Finding]:
    found = await room.doctor(rag.settings, "rag", rag.recipe, TOKEN, seams=rag.seams)
    return {f.check: f for f in found if f.check.startswith("existing index")}


async def test_an_engine_that_makes_the_same_vectors_finds_the_same(rag: Rag) -> None:
    said = await examine(rag)
    assert [f.level for f in said.values()] == [Level.PASS, Level.PASS]
    assert "dimension 576" in said["existing index"].ollama
    assert said["existing index, top ten"].ollama.startswith("at most 1.000 of the index's top 10, 20 questions")
    assert "does not embed" in said["existing index, top ten"].vllm


async def test_an_engine_that_ranks_otherwise_fails(rag: Rag) -> None:
    """Of the right length and direction enough to look alike, and yet others would be found."""
    rag.answers["ollama /api/embed"] = made_by(other=1.0)
    found = (await examine(rag))["existing index, top ten"]
    assert (found.level, "`cutover reindex rag`" in found.next) == (Level.FAIL, True)


async def test_an_engine_of_another_dimension_fails_and_nobody_is_ranked(rag: Rag) -> None:
    rag.answers["ollama /api/embed"] = made_by(dimension=384)
    said = await examine(rag)
    assert [(f.check, f.level) for f in said.values()] == [("existing index", Level.FAIL)]
    assert "another model than smollm2-135m-embed lies behind ollama" in said["existing index"].next


async def test_where_no_engine_embeds_there_is_nothing_to_rank(rag: Rag) -> None:
    rag.answers["ollama /api/embed"] = lambda _: httpx2.Response(404, json={"error": "model not found"})
    said = await examine(rag)
    assert [(f.check, f.level) for f in said.values()] == [("existing index", Level.PASS)]
    assert "HTTP 404" in said["existing index"].ollama


async def test_a_search_that_is_not_dense_is_not_ranked_and_says_why(rag: Rag) -> None:
    searched = rag._service

    def by_words(request: httpx2.Request, body: dict[str, Any]) -> httpx2.Response:
        if request.url.path == "/v1/search":
            return httpx2.Response(200, json={"hits": [], "mode": "lexical", "reason": "the embedder is gone"})
        return searched(request, body)

    rag._service = by_words  # type: ignore[method-assign]
    found = (await examine(rag))["existing index, top ten"]
    assert (found.level, "the embedder is gone" in found.vllm) == (Level.WARN, True)


async def test_a_small_index_is_not_ranked(rag: Rag) -> None:
    rag.passages = 20
    found = (await examine(rag))["existing index, top ten"]
    assert "only 20 passages" in found.ollama


async def test_other_services_have_no_index_to_ask_for(house: House) -> None:
    found = await room.doctor(house.settings, "notes", house.recipe, TOKEN, seams=house.seams)
    assert not [f for f in found if f.check.startswith("existing index")]


def test_overlap_counts_the_share_of_the_first_ten() -> None:
    """Ten of twenty passages point as the question does; the index had five of them first."""
    pool = {f"p{n}": [1.0, 0.0] if n < 10 else [0.0, 1.0] for n in range(20)}
    search = Search(question="q", keys=tuple(f"p{n}" for n in range(5, 20)))
    assert overlap([search], pool, [[1.0, 0.0]]) == 0.5


@pytest.mark.parametrize(("share", "level"), [(0.9, Level.PASS), (0.899, Level.FAIL), (None, Level.PASS)])
def test_nine_of_ten_are_enough(share: float | None, level: Level) -> None:
    assert shared({"vllm": share}, 50, 300).level is level


def test_texts_are_cut_as_the_services_cut_or_not_embedded_at_all(rag: Rag) -> None:
    """Engines cut elsewhere: without the tokenizer there is no comparison."""
    known = models()
    assert cutter(rag.settings, known["minilm"]) is None
    uncut = cutter(rag.settings, known["smollm2-135m-embed"])
    assert uncut is not None and uncut("a word " * 999) == "a word " * 999


async def test_without_the_tokenizer_nobody_is_ranked(rag: Rag) -> None:
    space = models()["minilm"].space
    assert space is not None
    rag.stored, rag.search = f"pgvector 0.8: {space.name}", f"meaning and words: {space.name}"
    rag.answers["ollama /api/embed"] = made_by(dimension=384)
    found = (await examine(rag))["existing index, top ten"]
    assert (found.level, "tokenizer of minilm" in found.ollama) == (Level.WARN, True)
