"""NER's use cases: extract entities from a text, and read a document into the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry, Counter

from services.llm.types import Answer, ChatRequest, Sampling
from services.ner import prompts
from services.ner.graph import StoredDocument
from services.ner.grounding import Grounded, Mention, ground
from services.ner.name_candidates import Sighting, State, mentions, proposed, unseen
from services.ner.producers import Made, Params
from services.ner.shape import Shape, answer_schema
from services.ner.spacy_names import Names
from services.ner.store import Graph, Graphs
from services.ner.writing import document_id
from services.store.clock import Clock, utc_now
from services.store.jobs import Job
from services.web.asking import Wishes
from services.web.provenance import producer
from services.web.room import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A text, what to look for in it, and how. Relations cost tokens: they are looked for only where wanted."""

    text: str
    shape: Shape
    relations: bool
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What a model found in a text, as far as the text bears it out.

    `candidates` are what somebody else saw where it found nothing, but for what a person rejected: no entities yet.
    """

    ask: Ask
    grounded: Grounded
    request: ChatRequest
    answer: Answer
    candidates: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A document that was read into the graph; `is_new` is false when its text was there already."""

    document: StoredDocument
    is_new: bool
    extraction: Extraction


async def extracted(client: Client, ask: Ask, wishes: Wishes, *, service: str, alias: str) -> Extraction:
    """What the text bears out of the answer of model `alias`. Raises `LLMError`."""
    plain = wishes.chat(
        service=service,
        alias=alias,
        messages=prompts.messages(ask.shape, ask.text, relations=ask.relations),
        max_tokens=ask.sampling.max_tokens,
        schema=answer_schema(ask.shape, relations=ask.relations),
    )
    request = replace(plain, sampling=ask.sampling)
    answer = await client.chat(request)
    grounded = await asyncio.to_thread(ground, ask.text, answer.text, ask.shape)
    return Extraction(ask=ask, grounded=grounded, request=request, answer=answer)


class Ner:
    """The use cases. Looking at and deleting from the graph are the graph's own and ask no model.

    `names` looks for names beside the model, where that is turned on.
    """

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        graphs: Graphs,
        client: Client,
        registry: CollectorRegistry,
        names: Names | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        self._names = names
        self._now = now
        self._ungrounded = Counter(
            "ner_ungrounded_total",
            "Entities and relations that a model named and the text does not hold",
            registry=registry,
        )
        self.graphs = graphs

    async def extract(self, ask: Ask, graph: Graph, wishes: Wishes) -> Extraction:
        """What the text bears out of the answer; nothing is stored. Raises `LLMError`."""
        extraction = await self._found(ask, wishes)
        seen = await self._seen(ask)
        if seen is None:
            return extraction
        known = await graph.name_candidates(document_id(ask.text)) or []
        judged = {c.named for c in known if c.state is not State.OPEN}
        taken = [(m.start, m.end) for m in extraction.grounded.mentions]
        left = unseen([s for s in seen[0] if s.named not in judged], taken)
        return replace(extraction, candidates=mentions(ask.text, left))

    async def read(self, ask: Ask, graph: Graph, wishes: Wishes) -> Read:
        """The text stored with what was found; a known one is read anew, by whoever answers now. Raises `LLMError`."""
        extraction = await self._found(ask, wishes)
        seen = await self._seen(ask)
        found, made_by = extraction.grounded, self._made_by(extraction)
        document, is_new = await graph.put(ask.text, found.mentions, found.facts, made_by, seen)
        if seen is not None:
            kept = await graph.name_candidates(document.id) or []
            left = mentions(ask.text, [c for c in kept if c.state is State.OPEN])
            extraction = replace(extraction, candidates=left)
        return Read(document=document, is_new=is_new, extraction=extraction)

    async def read_again(self, ask: Ask, graph: Graph, wishes: Wishes, job: Job) -> None:
        """As `read` of a document that is there; one that was deleted meanwhile stays deleted. Raises `LLMError`.

        `job` is done with it.
        """
        extraction = await self._found(ask, wishes)  # candidates stay: the text is the same
        found = extraction.grounded
        await graph.put_again(ask.text, found.mentions, found.facts, self._made_by(extraction), job)

    async def _found(self, ask: Ask, wishes: Wishes) -> Extraction:
        extraction = await extracted(self._client, ask, wishes, service=self._service, alias=self._alias)
        self._ungrounded.inc(extraction.grounded.ungrounded)
        return extraction

    async def _seen(self, ask: Ask) -> tuple[Sequence[Sighting], Made] | None:
        """What somebody else sees in the text, and who; None where nobody is asked."""
        names = self._names
        if names is None:
            return None
        seen = await asyncio.to_thread(lambda: proposed(ask.text, names.find(ask.text), ask.shape))
        return seen, names.made(self._now())

    def _made_by(self, extraction: Extraction) -> Made:
        ask, request = extraction.ask, extraction.request
        version = prompts.version(ask.shape, relations=ask.relations)
        made_by = producer(extraction.answer, request, prompt_version=version, at=self._now())
        params = Params(schema=ask.shape.name, relations=ask.relations, sampling=request.sampling)
        return Made(**made_by.model_dump(), params=params)
