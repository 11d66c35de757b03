"""How long RAG's hybrid search takes, on stores of its own with so many chunks: filled, then asked in turns."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from services.evaluation.subjects import Asked, Chunk, Subject, Times, Took
from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbeddingSpace, EmbedRequest
from services.llm.types import Provenance
from services.rag.chunking import Span
from services.rag.search import Mode, Wish, found
from services.rag.store import NewDocument
from services.rag.store_documents import StoredDocuments
from services.store.blend import CANDIDATES
from services.store.errors import StoreError
from services.store.vectors import Space
from services.web.meaning import Meaning

WORKSPACE = "bench"
CHUNKS_A_DOCUMENT = 100
BLANK = "\n\n"
WARM_UP = 10
K = 10

Clock = Callable[[], float]


class _Known:
    """Gives the vectors that it was told, at once."""

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space
        self.vectors: dict[str, tuple[float, ...]] = {}

    async def embed(self, request: EmbedRequest) -> Embeddings:
        by = Provenance(request_id="", provider="known", engine="known", model=request.alias, attempts=())
        rows = tuple(self.vectors[text] for text in request.texts)
        return Embeddings(vectors=rows, space=self.space, provenance=by, duration_s=0.0)


class Store:
    """One of RAG's stores as a `Subject`. Processor time is ours alone: pass no `cpu` where a server does the work."""

    def __init__(
        self, stored: StoredDocuments, alias: str, *, clock: Clock = time.perf_counter, cpu: Clock | None = None
    ) -> None:
        self._documents = stored.of(WORKSPACE)
        self._known = _Known(_space(alias))
        self._meaning = Meaning(client=self._known, service="rag", alias=alias, embedding=self._known.space)
        self._kept = Space(name=self._known.space.name, dimension=self._known.space.dimension)
        self._clock, self._cpu = clock, cpu
        self._first: dict[str, int] = {}
        self._rows = 0

    async def add(self, chunks: Sequence[Chunk]) -> None:
        """Store the chunks as documents of `CHUNKS_A_DOCUMENT` each."""
        for start in range(0, len(chunks), CHUNKS_A_DOCUMENT):
            some, at, spans = chunks[start : start + CHUNKS_A_DOCUMENT], 0, []
            for text, _ in some:
                spans.append(Span(start=at, end=at + len(text)))
                at += len(text) + len(BLANK)
            new = NewDocument(
                title=f"document {self._rows}",
                text=BLANK.join(text for text, _ in some),
                spans=spans,
                vectors=[vector for _, vector in some],
                space=self._kept,
            )
            document, _ = await self._documents.put(new)
            self._first[document.id] = self._rows
            self._rows += len(some)

    async def search(self, question: str, vector: Sequence[float], k: int) -> Took:
        """Raises `StoreError`, also where it was by words alone or found nothing."""
        self._known.vectors = {question: tuple(vector)}
        cpu, began = self._cpu and self._cpu(), self._clock()
        result = await found(self._documents, self._meaning, Wish(query=question, k=k))
        wall_s = self._clock() - began
        if result.mode is not Mode.HYBRID or not result.hits:
            raise StoreError(f"a search found {len(result.hits)} passages, {result.mode}: nothing to measure")
        spent = None if self._cpu is None or cpu is None else 1000 * (self._cpu() - cpu)
        return Took(wall_ms=1000 * wall_s, cpu_ms=spent)

    async def nearest(self, vector: Sequence[float], k: int) -> Sequence[int]:
        """The first of as many as the hybrid search weighs against the words."""
        hits = await self._documents.nearest(self._kept, vector, max(k, CANDIDATES))
        return [self._first[hit.document_id] + hit.chunk for hit in hits[:k]]


async def timed(subjects: Mapping[str, Subject], asked: Asked) -> dict[str, Times]:
    """Each question to each subject in turn, in an order drawn anew, the first `WARM_UP` unmeasured.

    What disturbs one disturbs all.
    """
    took: dict[str, list[Took]] = {name: [] for name in subjects}
    warm_up = asked[:WARM_UP]
    for n, (question, vector) in enumerate((*warm_up, *asked)):
        for name in random.Random(n).sample(sorted(subjects), len(subjects)):
            one = await subjects[name].search(question, vector, K)
            if n >= len(warm_up):
                took[name].append(one)
    return {name: _times(of) for name, of in took.items()}


async def nearest(subject: Subject, asked: Asked) -> list[Sequence[int]]:
    """What the subject finds by meaning for each question, to be held against the exact neighbours. Unmeasured."""
    return [await subject.nearest(vector, K) for _, vector in asked]


def _times(took: Sequence[Took]) -> Times:
    cpu_ms = tuple(one.cpu_ms for one in took if one.cpu_ms is not None)
    return Times(ms=tuple(one.wall_ms for one in took), cpu_ms=cpu_ms)


def _space(alias: str) -> EmbeddingSpace:
    space = model(alias).space
    assert space is not None
    return space
