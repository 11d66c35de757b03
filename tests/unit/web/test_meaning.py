"""Vectors of many texts: in lots that others can get between, and small enough to be held together."""

from __future__ import annotations

import tracemalloc

from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbedRequest
from services.llm.types import Provenance
from services.web.meaning import AT_ONCE, Meaning

SPACE = model("minilm").space
assert SPACE is not None
MADE_BY = Provenance(request_id="r", provider="p", engine="e", model="m", attempts=(), fallback_reason=None)
TEXTS = 1000


class Embedder:
    """Makes a vector of the text, a number; remembers how many came at a time."""

    def __init__(self) -> None:
        self.lots: list[int] = []

    async def embed(self, request: EmbedRequest) -> Embeddings:
        assert SPACE is not None
        self.lots.append(len(request.texts))
        rows = tuple(tuple(float(t) + n for n in range(SPACE.dimension)) for t in request.texts)
        return Embeddings(vectors=rows, space=SPACE, provenance=MADE_BY, duration_s=0.0)


async def test_the_vectors_of_a_long_document_are_held_in_single_precision() -> None:
    """Four bytes a component and little more: as Python's floats they take eight times that."""
    assert SPACE is not None
    embedder = Embedder()
    meaning = Meaning(client=embedder, service="rag", alias="minilm", embedding=SPACE)
    tracemalloc.start()
    try:
        found = await meaning.of_texts([str(n) for n in range(TEXTS)])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (len(found), list(found[-1])[:2]) == (TEXTS, [TEXTS - 1, TEXTS])
    assert held < 1.5 * 4 * TEXTS * SPACE.dimension
    assert max(embedder.lots) == AT_ONCE
