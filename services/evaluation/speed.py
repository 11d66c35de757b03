"""How long RAG's hybrid search takes, on stores of its own with so many chunks: filled, then asked in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbeddingSpace, EmbedRequest
from services.llm.types import Provenance
from services.rag.chunking import Span
from services.rag.search import Wish, found
from services.rag.store import NewDocument
from services.rag.store_documents import StoredDocuments
from services.store.vectors import Space
from services.web.meaning import Meaning

WORKSPACE = "bench"
CHUNKS_A_DOCUMENT = 100
BLANK = "\n\n"
WARM_UP = 10
K = 10

Asked = Sequence[tuple[str, tuple[float, ...]]]
"""Questions with their vectors: what the embedder takes is not search."""

Chunk = tuple[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of every search of one store."""

    ms: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """By numpy's linear interpolation."""
        import numpy as np

        return float(np.quantile(self.ms, share))


@dataclass(frozen=True, slots=True)
class _Known:
    """Gives the vectors that it was made with, at once."""

    space: EmbeddingSpace
    vectors: Mapping[str, tuple[float, ...]]

    async def embed(self, request: EmbedRequest) -> Embeddings:
        by = Provenance(request_id="", provider="known", engine="known", model=request.alias, attempts=())
        rows = tuple(self.vectors[text] for text in request.texts)
        return Embeddings(vectors=rows, space=self.space, provenance=by, duration_s=0.0)


async def fill(stored: StoredDocuments, chunks: Iterator[Chunk], alias: str) -> int:
    """Store the chunks as documents of `CHUNKS_A_DOCUMENT` each; how many chunks there are."""
    space, count, documents = _space(alias), 0, stored.of(WORKSPACE)
    kept = Space(name=space.name, dimension=space.dimension)
    while some := list(islice(chunks, CHUNKS_A_DOCUMENT)):
        texts, at = [text for text, _ in some], 0
        spans = []
        for text in texts:
            spans.append(Span(start=at, end=at + len(text)))
            at += len(text) + len(BLANK)
        new = NewDocument(
            title=f"document {count}",
            text=BLANK.join(texts),
            spans=spans,
            vectors=[vector for _, vector in some],
            space=kept,
        )
        await documents.put(new)
        count += len(some)
    return count


async def timed(
    stores: Mapping[str, StoredDocuments], asked: Asked, alias: str, *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Times]:
    """Each question to each store in turn, the first `WARM_UP` unmeasured: what disturbs one disturbs all."""
    embedder = _Known(_space(alias), dict(asked))
    meaning = Meaning(client=embedder, service="rag", alias=alias, embedding=embedder.space)
    took: dict[str, list[float]] = {name: [] for name in stores}
    for n, (question, _) in enumerate((*asked[:WARM_UP], *asked)):
        for name in sorted(stores, reverse=bool(n % 2)):
            began = clock()
            await found(stores[name].of(WORKSPACE), meaning, Wish(query=question, k=K))
            if n >= WARM_UP:
                took[name].append(1000 * (clock() - began))
    return {name: Times(ms=tuple(ms)) for name, ms in took.items()}


def _space(alias: str) -> EmbeddingSpace:
    space = model(alias).space
    assert space is not None
    return space
