"""RAG's use cases: add documents, find passages, answer from them with citations."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from services.llm.errors import ContextTooLong, LLMError
from services.llm.types import Answer, ChatRequest, Continued, End, Outcome, Rescue, Restarted, Token
from services.rag import prompts
from services.rag.citing import Citation, citations, is_supported, says_nothing
from services.rag.ingest import Ingest, Wanted
from services.rag.parsed import page_of
from services.rag.search import Found, Wish, found
from services.rag.store import Document, Documents, Hit
from services.web.asking import Wishes
from services.web.meaning import Meaning
from services.web.room import Client

NOTHING_FOUND = "The documents say nothing about this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with what it rests on. Without passages no model was asked: `llm` is None.

    `answerable` is False where there was no passage, where the model says that they do not say it, and where a strict
    answer was not borne out.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """Last but one event of a streamed answer: what it rests on, each place looked up in the store again."""

    citations: tuple[Citation, ...]


AskEvent = Retrieved | Token | Restarted | Continued | Cited | Reply

UNANSWERABLE = Reply(answer=NOTHING_FOUND, citations=(), answerable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to answer from the `k` best passages, in at most `max_tokens` new tokens.

    `collection`: only from its documents. `strict`: rather no answer than one that the passages do not bear out,
    or that cites what is there no more.
    """

    text: str
    k: int
    max_tokens: int
    collection: str | None = None
    strict: bool = False


class Rag:
    """The use cases. `context` is the smallest window of the chain, in tokens."""

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        context: int,
        documents: Documents,
        client: Client,
        ingest: Ingest,
        meaning: Meaning | None = None,
    ) -> None:
        self._service = service
        self._alias = alias
        self._context = context
        self._client = client
        self.documents = documents
        self.ingest = ingest
        self._meaning = meaning

    async def add(self, title: str, text: str, collection: str) -> tuple[Document, bool]:
        """The stored document, and whether it is new. Raises `CollectionGone`."""
        return await self.ingest.add(self.documents, text, Wanted(title=title, collection=collection))

    async def find(self, wish: Wish) -> Found:
        """The passages, by meaning as well where an embedding model is set and answers; no other model is asked."""
        return await found(self.documents, self._meaning, wish)

    async def ask(self, question: Question, wishes: Wishes) -> Reply:
        """The whole answer. Raises `LLMError`."""
        hits = await self._retrieve(question)
        if not hits:
            return UNANSWERABLE
        answer = await self._client.chat(self._request(question, hits, wishes))
        return await self._reply(question, hits, End(outcome=Outcome.COMPLETE, answer=answer))

    async def stream(self, question: Question, wishes: Wishes) -> AsyncGenerator[AskEvent, None]:
        """The passages, tokens, citations, one `Reply` last. Raises `LLMError` before the first token only.

        A strict answer comes as one token at the end: what may turn out to be made up is not shown first.
        """
        hits = await self._retrieve(question)
        yield Retrieved(hits=hits)
        if not hits:
            yield Cited(citations=())
            yield UNANSWERABLE
            return
        async with contextlib.aclosing(self._client.stream(self._request(question, hits, wishes))) as events:
            async for event in events:
                if isinstance(event, End):
                    reply = await self._reply(question, hits, event)
                    if question.strict and reply.answer:
                        yield Token(text=reply.answer)
                    yield Cited(citations=reply.citations)
                    yield reply
                elif not (question.strict and isinstance(event, Token)):
                    yield event

    async def _reply(self, question: Question, hits: Sequence[Hit], end: End) -> Reply:
        """What the model said, with each citation looked up again: documents may have gone meanwhile."""
        text = end.answer.text.strip()
        cited = tuple([await self._looked_up(citation) for citation in citations(text, hits)])
        reply = Reply(
            answer=text,
            citations=cited,
            answerable=not says_nothing(text),
            outcome=end.outcome,
            llm=end.answer,
            error=end.error,
        )
        return _strictly(reply, hits) if question.strict else reply

    async def _looked_up(self, citation: Citation) -> Citation:
        document = await self.documents.get(citation.document_id)
        found = "" if document is None else document.text[citation.start : citation.end]
        page = None if document is None else page_of(document.pages, citation.start)
        return replace(citation, verified=found == citation.quote, page=page)

    async def _retrieve(self, question: Question) -> list[Hit]:
        found = (await self.find(Wish(query=question.text, k=question.k, collection=question.collection))).hits
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


def _strictly(reply: Reply, hits: Sequence[Hit]) -> Reply:
    """The reply with its verified citations only; without an answer where they do not bear it out."""
    kept = tuple(c for c in reply.citations if c.verified)
    shown = [hit.text for n, hit in enumerate(hits, start=1) if n in {c.n for c in kept}]
    if not reply.answerable or not is_supported(reply.answer, shown):
        return replace(reply, answer=NOTHING_FOUND, citations=(), answerable=False)
    return replace(reply, citations=kept)
