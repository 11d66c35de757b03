"""NER's use cases: extract entities from a text, and read a document into the graph."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from services.llm.types import Answer, ChatRequest
from services.ner import prompts
from services.ner.grounding import Grounded, ground
from services.ner.store import Graph, StoredDocument
from services.web.asking import Wishes
from services.web.provenance import producer
from services.web.room import Client
from services.web.sqlite import Clock, utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What a model found in a text, as far as the text bears it out."""

    grounded: Grounded
    request: ChatRequest
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A document that was read into the graph; `is_new` is false when its text was there already."""

    document: StoredDocument
    is_new: bool
    extraction: Extraction


class Ner:
    """The use cases. Looking at and deleting from the graph are the graph's own and ask no model."""

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        graph: Graph,
        client: Client,
        registry: CollectorRegistry,
        now: Clock = utc_now,
    ) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        self._now = now
        self._ungrounded = Counter(
            "ner_ungrounded_total", "Entities that a model named and the text does not hold", registry=registry
        )
        self.graph = graph

    async def extract(self, text: str, max_tokens: int, wishes: Wishes) -> Extraction:
        """The grounded entities of `text`; nothing is stored. Raises `LLMError`."""
        request = wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=prompts.messages(text),
            max_tokens=max_tokens,
            schema=prompts.SCHEMA,
        )
        answer = await self._client.chat(request)
        grounded = ground(text, answer.text)
        self._ungrounded.inc(len(grounded.rejected))
        return Extraction(grounded=grounded, request=request, answer=answer)

    async def read(self, text: str, max_tokens: int, wishes: Wishes) -> Read:
        """`text` stored with its mentions; a known text is read anew, by whoever answers now. Raises `LLMError`."""
        extraction = await self.extract(text, max_tokens, wishes)
        made_by = producer(extraction.answer, extraction.request, prompt_version=prompts.PROMPT_VERSION, at=self._now())
        document, is_new = await self.graph.put(text, extraction.grounded.mentions, made_by)
        return Read(document=document, is_new=is_new, extraction=extraction)
