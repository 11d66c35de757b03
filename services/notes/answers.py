"""Answers from one's own notes, with citations that can be checked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from services.llm.errors import ContextTooLong, LLMError
from services.llm.mapping import prompt_bound
from services.llm.types import Answer, ChatRequest, Continued, End, Message, Outcome, Rescue, Restarted, Role, Token
from services.notes.passages import Citation, best, citations, says_nothing
from services.notes.store import Notebook, NoteHit, Passage
from services.web.asking import Wishes
from services.web.room import Client

SYSTEM = "Answer the question in one short sentence. Use only the passages. If they do not say it, answer: not stated."
NOTHING_FOUND = "The notes say nothing about this."
MOST_NOTES = 8
"""Notes whose passages are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to answer from the `k` best passages, in at most `max_tokens` new tokens."""

    text: str
    k: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """First event of a streamed answer: the passages that the model is shown."""

    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """Last but one event of a streamed answer."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with what it rests on. Without passages no model was asked: `llm` is None."""

    answer: str
    citations: tuple[Citation, ...]
    answerable: bool
    outcome: Outcome = Outcome.COMPLETE
    llm: Answer | None = None
    error: LLMError | None = None


Find = Callable[[str, int], Awaitable[tuple[Sequence[NoteHit], object]]]
"""The best notes for a question, at most so many."""

AskEvent = Retrieved | Token | Restarted | Continued | Cited | Reply

UNANSWERABLE = Reply(answer=NOTHING_FOUND, citations=(), answerable=False)


class Answers:
    """Asks one workspace's notes. `context` is the smallest window of the chain, in tokens."""

    def __init__(
        self, *, service: str, alias: str, context: int, find: Find, notebook: Notebook, client: Client
    ) -> None:
        self._service = service
        self._alias = alias
        self._context = context
        self._find = find
        self._notebook = notebook
        self._client = client

    async def ask(self, question: Question, wishes: Wishes) -> Reply:
        """The whole answer. Raises `LLMError`."""
        shown = await self._retrieve(question)
        if not shown:
            return UNANSWERABLE
        answer = await self._client.chat(self._request(question, shown, wishes))
        return await self._reply(shown, End(outcome=Outcome.COMPLETE, answer=answer))

    async def stream(self, question: Question, wishes: Wishes) -> AsyncGenerator[AskEvent, None]:
        """The passages, tokens, citations, one `Reply` last. Raises `LLMError` before the first token only."""
        shown = await self._retrieve(question)
        yield Retrieved(passages=shown)
        if not shown:
            yield Cited(citations=())
            yield UNANSWERABLE
            return
        async with contextlib.aclosing(self._client.stream(self._request(question, shown, wishes))) as events:
            async for event in events:
                if isinstance(event, End):
                    reply = await self._reply(shown, event)
                    yield Cited(citations=reply.citations)
                    yield reply
                else:
                    yield event

    async def _retrieve(self, question: Question) -> list[Passage]:
        hits, _ = await self._find(question.text, MOST_NOTES)
        notes = [await self._notebook.get(hit.id) for hit in hits]
        shown = await asyncio.to_thread(best, question.text, [n for n in notes if n is not None], question.k)
        room = self._context - question.max_tokens
        while shown and prompt_bound(messages(question.text, shown)) > room:
            shown.pop()
        if hits and not shown:
            raise ContextTooLong(f"question, one passage and {question.max_tokens} new tokens exceed {self._context}")
        return shown

    async def _reply(self, shown: Sequence[Passage], end: End) -> Reply:
        """What the model said, with each citation looked up again: notes may have changed meanwhile."""
        text = end.answer.text.strip()
        cited = tuple([await self._looked_up(citation) for citation in citations(text, shown)])
        return Reply(
            answer=text,
            citations=cited,
            answerable=not says_nothing(text),
            outcome=end.outcome,
            llm=end.answer,
            error=end.error,
        )

    async def _looked_up(self, citation: Citation) -> Citation:
        note = await self._notebook.get(citation.note_id)
        found = "" if note is None else note.text[citation.start : citation.end]
        return replace(citation, verified=found == citation.quote)

    def _request(self, question: Question, shown: Sequence[Passage], wishes: Wishes) -> ChatRequest:
        return wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=messages(question.text, shown),
            max_tokens=question.max_tokens,
            rescue=Rescue.RESTART,
        )


def messages(question: str, passages: Sequence[Passage]) -> tuple[Message, ...]:
    """The question, then the passages, numbered as the citations number them."""
    shown = "\n\n".join(f"[{n}] {p.title}: {p.text.strip()}" for n, p in enumerate(passages, start=1))
    user = f"Question: {question}\n\nPassages:\n{shown}"
    return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=user))
