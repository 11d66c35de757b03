"""RAG's use cases: add documents, find passages, answer from them with citations."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from services.llm.errors import ContextTooLong, LLMError
from services.llm.types import Answer, ChatRequest, Continued, End, Outcome, Rescue, Restarted, Token
from services.rag import prompts
from services.rag.chunking import Span, passages, supporting
from services.rag.store import Document, Documents, Hit
from services.web.asking import Wishes
from services.web.room import Client

NOTHING_FOUND = "The documents say nothing about this."
_MARKER = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A sentence that the answer rests on: the exact span `start`..`end` of its document."""

    n: int
    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with what it rests on. Without passages no model was asked: `llm` is None."""

    answer: str
    citations: tuple[Citation, ...]
    answerable: bool
    outcome: Outcome = Outcome.COMPLETE
    llm: Answer | None = None
    error: LLMError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """First event of a streamed answer: the passages that the model is shown."""

    hits: Sequence[Hit]


AskEvent = Retrieved | Token | Restarted | Continued | Reply

UNANSWERABLE = Reply(answer=NOTHING_FOUND, citations=(), answerable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to answer from the `k` best passages, in at most `max_tokens` new tokens."""

    text: str
    k: int
    max_tokens: int


class Rag:
    """The use cases. `context` is the smallest window of the chain, in tokens."""

    def __init__(self, *, service: str, alias: str, context: int, documents: Documents, client: Client) -> None:
        self._service = service
        self._alias = alias
        self._context = context
        self._client = client
        self.documents = documents

    async def add(self, title: str, text: str) -> tuple[Document, bool]:
        """The stored document, and whether it is new."""
        return await self.documents.add(title, text, passages(text))

    async def ask(self, question: Question, wishes: Wishes) -> Reply:
        """The whole answer. Raises `LLMError`."""
        hits = await self._retrieve(question)
        if not hits:
            return UNANSWERABLE
        return _reply(await self._client.chat(self._request(question, hits, wishes)), hits)

    async def stream(self, question: Question, wishes: Wishes) -> AsyncGenerator[AskEvent, None]:
        """The passages, then tokens, then one `Reply` last. Raises `LLMError` before the first token only."""
        hits = await self._retrieve(question)
        yield Retrieved(hits=hits)
        if not hits:
            yield UNANSWERABLE
            return
        async with contextlib.aclosing(self._client.stream(self._request(question, hits, wishes))) as events:
            async for event in events:
                yield _finished(event, hits) if isinstance(event, End) else event

    async def _retrieve(self, question: Question) -> list[Hit]:
        found = await self.documents.search(question.text, question.k)
        fits = prompts.fitting(question.text, found, room_tokens=self._context - question.max_tokens)
        if found and not fits:
            raise ContextTooLong(f"question, one passage and {question.max_tokens} new tokens exceed {self._context}")
        return fits

    def _request(self, question: Question, hits: Sequence[Hit], wishes: Wishes) -> ChatRequest:
        return wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=prompts.messages(question.text, hits),
            max_tokens=question.max_tokens,
            rescue=Rescue.RESTART,
        )


def _reply(answer: Answer, hits: Sequence[Hit]) -> Reply:
    return Reply(answer=answer.text.strip(), citations=_citations(answer.text, hits), answerable=True, llm=answer)


def _finished(end: End, hits: Sequence[Hit]) -> Reply:
    text = end.answer.text
    return Reply(
        answer=text.strip(),
        citations=_citations(text, hits),
        answerable=True,
        outcome=end.outcome,
        llm=end.answer,
        error=end.error,
    )


def _citations(answer: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """The passages that the answer names by number; where it names none, all that the model was shown."""
    named = {int(n) for n in _MARKER.findall(answer)}
    numbered = list(enumerate(hits, start=1))
    chosen = [(n, h) for n, h in numbered if n in named] or numbered
    return tuple(_citation(n, hit, answer) for n, hit in chosen)


def _citation(n: int, hit: Hit, answer: str) -> Citation:
    sentence = supporting(hit.text, Span(start=0, end=len(hit.text)), answer)
    return Citation(
        n=n,
        document_id=hit.document_id,
        title=hit.title,
        chunk=hit.chunk,
        start=hit.start + sentence.start,
        end=hit.start + sentence.end,
        quote=hit.text[sentence.start : sentence.end],
    )
