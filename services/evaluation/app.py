"""Runs the studies through the services' own client: of search, with documents that it fetches, and of NER's names."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services.embedding import Embedding
from services.evaluation import names, passages
from services.evaluation.debian import Corpus, corpus
from services.evaluation.questions import questions
from services.evaluation.retrieval import Lists, Study, study
from services.llm.build import client_for
from services.llm.client import LLMClient
from services.llm.registry import model
from services.llm.spaces import EmbeddingSpace, EmbedRequest
from services.migration.workload import Workload
from services.rag.ingest import AT_ONCE as AT_ONCE_IN_RAG
from services.settings import Pin, Settings
from services.store.vectors import Space
from services.web.meaning import meaning_for

SERVICE = "rag"
DEFAULT = "minilm"
"""What is measured where no embedding model is set."""

AT_ONCE = 32
DEADLINE_S = 600.0

Progress = Callable[[int, int], None]
"""Told how many of how many texts have their vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The passages and the asked questions with their vectors, by the model `alias`."""

    alias: str
    texts: list[str]
    vectors: Any
    asked: list[tuple[str, tuple[float, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The figures and what they were computed from."""

    study: Study
    passages: int
    versions: Mapping[str, str]
    space: str


def measured(settings: Settings) -> Settings:
    """`settings` with an embedding model, the shipped one where none is set."""
    chosen = settings.embedding if settings.embedding.alias else Embedding(alias=DEFAULT)
    return replace(settings, embedding=chosen)


async def evaluate(settings: Settings, on_progress: Progress) -> Outcome:
    """The study on this machine's corpus. Raises `CorpusError`, `LLMError`, `RegistryError`, `StoreError`."""
    logging.getLogger("cutover.llm").setLevel(logging.WARNING)  # else a line for each of some hundred requests
    docs, here = corpus(settings.engines_dir / "corpus"), measured(settings)
    asked = questions(docs.passages)
    space = model(here.embedding.alias, here.models_file).space
    assert space is not None  # `client_for` refuses an alias that has none
    async with client_for(here, SERVICE, CollectorRegistry()) as client:
        cache = _Cache(client, here, space, on_progress)
        held = await cache.vectors([passage.text for passage in docs.passages])
        wanted = await cache.vectors([question.text for question in asked])
    lists = await _lists(docs, held, list(zip(asked, wanted, strict=True)), space)
    return Outcome(study=study(lists), passages=len(docs.passages), versions=docs.versions, space=space.name)


async def embedded(settings: Settings, on_progress: Progress) -> Embedded:
    """What a measurement of the search is made of. Raises as `evaluate` does."""
    logging.getLogger("cutover.llm").setLevel(logging.WARNING)
    docs, here = corpus(settings.engines_dir / "corpus"), measured(settings)
    space = model(here.embedding.alias, here.models_file).space
    assert space is not None
    asked, texts = questions(docs.passages), [passage.text for passage in docs.passages]
    async with client_for(here, SERVICE, CollectorRegistry()) as client:
        cache = _Cache(client, here, space, on_progress)
        vectors = await cache.vectors(texts)
        wanted = await cache.vectors([question.text for question in asked])
    pairs = [(question.text, tuple(row.tolist())) for question, row in zip(asked, wanted, strict=True)]
    return Embedded(alias=here.embedding.alias, texts=texts, vectors=vectors, asked=pairs)


async def names_by_engines(settings: Settings, gold: Workload, progress: Callable[[str], None]) -> list[names.Line]:
    """What each engine finds in NER's gold set, whichever of them NER is pinned to. Raises `RegistryError`."""
    settings = replace(settings, pins={**settings.pins, names.SERVICE: Pin.AUTO})  # else the pin answers for both
    logging.getLogger("cutover.llm").setLevel(logging.CRITICAL)  # a line for each request; failures are counted
    alias = model(settings.aliases[names.SERVICE], settings.models_file).alias
    async with client_for(settings, names.SERVICE, CollectorRegistry()) as client:
        return await names.of_engines(names.Asker(client=client, alias=alias), gold, progress)


async def embedding_alone(settings: Settings, documents: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, to embed the passages of `documents`, as many at a time as RAG's worker reads.

    The first one is embedded once before, so that no model is loaded in the time. Raises as `evaluate` does.
    """
    logging.getLogger("cutover.llm").setLevel(logging.WARNING)
    here, turns = measured(settings), asyncio.Semaphore(AT_ONCE_IN_RAG)
    async with client_for(here, SERVICE, CollectorRegistry()) as client:
        meaning = meaning_for(here, SERVICE, client)
        assert meaning is not None  # `measured` has set one

        async def one(texts: Sequence[str]) -> None:
            async with turns:
                await meaning.of_texts(texts)

        await one(documents[0][:1] if documents else ["warm"])
        began, before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(texts) for texts in documents))
        return time.perf_counter() - began, time.process_time() - before


async def _lists(docs: Corpus, held: Any, asked: Sequence[tuple[Any, Any]], space: EmbeddingSpace) -> list[Lists]:
    kept = Space(name=space.name, dimension=space.dimension)
    rows = [(p.page, p.text, vector.tolist()) for p, vector in zip(docs.passages, held, strict=True)]
    with tempfile.TemporaryDirectory(prefix="cutover-evaluation-") as folder:
        async with passages.store(Path(folder)) as database:
            await passages.put(database, kept, rows)
            made = []
            for question, vector in asked:
                dense, lexical = await passages.found(database, kept, question.text, vector.tolist())
                made.append(Lists(question=question, dense=dense, lexical=lexical))
            return made


@dataclass(frozen=True, slots=True)
class _Cache:
    """Vectors of texts, made once per space and texts: embedding them all takes minutes on two cores."""

    client: LLMClient
    settings: Settings
    space: EmbeddingSpace
    on_progress: Progress

    async def vectors(self, texts: Sequence[str]) -> Any:
        """One row per text, float32."""
        import numpy as np

        name = hashlib.sha256("\0".join((self.space.name, *texts)).encode("utf-8", "surrogatepass")).hexdigest()[:20]
        file = self.settings.engines_dir / "corpus" / f"vectors-{name}.npy"
        if not file.exists():
            aside = file.with_suffix(".aside.npy")
            np.save(aside, np.asarray(await self._made(texts), dtype=np.float32))
            aside.replace(file)
        return np.load(file)

    async def _made(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        made: list[tuple[float, ...]] = []
        for start in range(0, len(texts), AT_ONCE):
            some = tuple(texts[start : start + AT_ONCE])
            alias = self.settings.embedding.alias
            request = EmbedRequest(service=SERVICE, alias=alias, texts=some, deadline_s=DEADLINE_S)
            made += (await self.client.embed(request)).vectors
            self.on_progress(len(made), len(texts))
        return made
