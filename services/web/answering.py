"""Questions to a model over passages of one's own: asked, streamed, and read with citations that can be checked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from services.llm.errors import ContextTooLong, LLMError
from services.llm.types import Answer, ChatRequest, Continued, End, Outcome, Rescue, Restarted, Token
from services.store.clock import Clock, utc_now
from services.web import cited
from services.web.asking import Wishes
from services.web.provenance import Producer, producer
from services.web.room import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to answer from the `k` best passages, in at most `max_tokens` new tokens.

    `strict`: rather no answer than one that the passages do not bear out, or that cites what is there no more.
    """

    text: str
    k: int
    max_tokens: int
    strict: bool = False


class Citation(Protocol):
    """A sentence of passage `n`. `verified`: the store, read again after the answer, holds it at that place."""

    @property
    def n(self) -> int: ...
    @property
    def verified(self) -> bool: ...


P = TypeVar("P", bound=cited.Shown)
C = TypeVar("C", bound=Citation)
C_co = TypeVar("C_co", bound=Citation, covariant=True)
Q = TypeVar("Q", bound=Question)
Q_contra = TypeVar("Q_contra", bound=Question, contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[C]):
    """An answer with what it rests on. Without passages no model was asked: `llm` and `producer` are None.

    `answerable` is False where there was no passage, where the model says that they do not say it, and where a strict
    answer was not borne out.
    """

    answer: str
    citations: tuple[C, ...] = ()
    answerable: bool = False
    outcome: Outcome = Outcome.COMPLETE
    llm: Answer | None = None
    producer: Producer | None = None
    error: LLMError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved(Generic[P]):
    """First event of a streamed answer: the passages that the model is shown."""

    passages: Sequence[P]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited(Generic[C]):
    """Last but one event of a streamed answer: what it rests on, each place looked up in the store again."""

    citations: tuple[C, ...]


AskEvent = Retrieved[P] | Token | Restarted | Continued | Cited[C] | Reply[C]


class Sources(Protocol[Q_contra, P, C_co]):
    """What one workspace of a service answers from. `nothing` is the answer where no passage was found."""

    nothing: str

    async def find(self, question: Q_contra) -> Sequence[P]:
        """The passages to show, best first."""
        ...

    async def cite(self, answer: str, shown: Sequence[P]) -> tuple[C_co, ...]:
        """The sentences that the answer rests on, each looked up again: what was shown may have changed meanwhile."""
        ...


class Answering(Generic[Q, P, C]):
    """Asks the model `alias` over `sources`. `context` is the smallest window of the chain, in tokens."""

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        context: int,
        client: Client,
        sources: Sources[Q, P, C],
        now: Clock = utc_now,
    ) -> None:
        self._service = service
        self._alias = alias
        self._context = context
        self._client = client
        self._sources = sources
        self._now = now

    async def ask(self, question: Q, wishes: Wishes) -> Reply[C]:
        """The whole answer. Raises `LLMError`."""
        shown = await self._retrieve(question)
        if not shown:
            return Reply(answer=self._sources.nothing)
        request = self._request(question, shown, wishes)
        answer = await self._client.chat(request)
        return await self._read(question, shown, request, End(outcome=Outcome.COMPLETE, answer=answer))

    async def stream(self, question: Q, wishes: Wishes) -> AsyncGenerator[AskEvent[P, C], None]:
        """The passages, tokens, citations, one `Reply` last. Raises `LLMError` before the first token only.

        A strict answer comes as one token at the end: what may turn out to be made up is not shown first.
        """
        shown = await self._retrieve(question)
        yield Retrieved(passages=shown)
        if not shown:
            yield Cited(citations=())
            yield Reply(answer=self._sources.nothing)
            return
        request = self._request(question, shown, wishes)
        async with contextlib.aclosing(self._client.stream(request)) as events:
            async for event in events:
                if isinstance(event, End):
                    reply = await self._read(question, shown, request, event)
                    if question.strict and reply.answer:
                        yield Token(text=reply.answer)
                    yield Cited(citations=reply.citations)
                    yield reply
                elif not (question.strict and isinstance(event, Token)):
                    yield event

    async def _retrieve(self, question: Q) -> list[P]:
        found = await self._sources.find(question)
        fits = cited.fitting(question.text, found, room_tokens=self._context - question.max_tokens)
        if found and not fits:
            raise ContextTooLong(f"question, one passage and {question.max_tokens} new tokens exceed {self._context}")
        return fits

    async def _read(self, question: Q, shown: Sequence[P], request: ChatRequest, end: End) -> Reply[C]:
        text = end.answer.text.strip()
        reply = Reply(
            answer=text,
            citations=await self._sources.cite(text, shown),
            answerable=not cited.says_nothing(text),
            outcome=end.outcome,
            llm=end.answer,
            producer=producer(end.answer, request, prompt_version=cited.PROMPT_VERSION, at=self._now()),
            error=end.error,
        )
        return self._strictly(reply, shown) if question.strict else reply

    def _strictly(self, reply: Reply[C], shown: Sequence[P]) -> Reply[C]:
        """The reply with its verified citations only; without an answer where they do not bear it out."""
        kept = tuple(c for c in reply.citations if c.verified)
        texts = [shown[n - 1].text for n in sorted({c.n for c in kept})]
        if not reply.answerable or not cited.is_supported(reply.answer, texts):
            return replace(reply, answer=self._sources.nothing, citations=(), answerable=False)
        return replace(reply, citations=kept)

    def _request(self, question: Q, shown: Sequence[P], wishes: Wishes) -> ChatRequest:
        return wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=cited.messages(question.text, shown),
            max_tokens=question.max_tokens,
            rescue=Rescue.RESTART,
        )
