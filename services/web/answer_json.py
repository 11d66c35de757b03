"""The JSON of questions over one's own passages and of their answers, whole or as server-sent events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, Field

from services.llm.types import Continued, Restarted, Token
from services.web.answering import Answering, AskEvent, C, Cited, P, Q, Reply, Retrieved
from services.web.asking import Wishes
from services.web.fields import Body, MaxTokens, Query
from services.web.problems import of_llm
from services.web.provenance import LLMInfo, Producer, llm_info, told
from services.web.streams import Event, EventStream, while_read

J = TypeVar("J", bound=BaseModel)

STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer, or its events with `stream`"}
}
"""What OpenAPI says of a route that answers by `answered`."""


class AskBody(Body):
    """A question; with `stream` the answer comes as server-sent events."""

    question: Query
    max_tokens: MaxTokens = 48
    stream: bool = False
    strict: bool = Field(False, description="Rather no answer than one that the passages do not bear out.")


class Answered(BaseModel, Generic[J]):
    """An answer; `answerable` is false where nothing stored says it; without a question to a model `llm` is null.

    `producer` is what made it, as a stored row would name it; null with `llm`.
    """

    answer: str
    citations: list[J]
    answerable: bool
    llm: LLMInfo | None
    producer: Producer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Face(Generic[P, C, J]):
    """How a service tells its passages and citations. `retrieved` makes the data of the first event."""

    retrieved: Callable[[Sequence[P]], dict[str, Any]]
    citation: Callable[[C], J]
    answer: type[Answered[J]]

    def answered(self, reply: Reply[C]) -> Answered[J]:
        """The whole answer."""
        return self.answer(
            answer=reply.answer,
            citations=[self.citation(c) for c in reply.citations],
            answerable=reply.answerable,
            llm=None if reply.llm is None else llm_info(reply.llm),
            producer=reply.producer,
        )

    def event(self, event: AskEvent[P, C], request_id: str) -> Event:
        """One event of the stream."""
        match event:
            case Retrieved(passages=passages):
                return Event(name="retrieved", data=self.retrieved(passages))
            case Token(text=text):
                return Event(name="token", data={"text": text})
            case Restarted(provider=provider, reason=reason):
                return Event(name="restart", data={"provider": provider, "reason": reason})
            case Continued(provider=provider, reason=reason):
                return Event(name="continue", data={"provider": provider, "reason": reason})
            case Cited(citations=citations):
                return Event(name="citations", data={"citations": [self.citation(c).model_dump() for c in citations]})
            case Reply():
                return Event(name="done", data=self._done(event, request_id), terminal=True)

    def _done(self, reply: Reply[C], request_id: str) -> dict[str, Any]:
        error = {} if reply.error is None else {"error": of_llm(reply.error).document(request_id)}
        return {"outcome": str(reply.outcome), **self.answered(reply).model_dump(), **error}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request that asks: what it wishes, and where its answer goes."""

    request: Request
    response: Response
    wishes: Wishes


async def answered(
    call: Call, answering: Answering[Q, P, C], question: Q, face: Face[P, C, J], *, stream: bool
) -> Answered[J] | EventStream:
    """The answer. Events of a stream: `retrieved`, `token`*, `citations`, and `done` or `error` last.

    Where an engine broke off: `restart` (the tokens so far are void) or `continue` (they stand), and tokens again.
    Raises `LLMError`.
    """
    if stream:
        return EventStream(_events(call.wishes, answering, question, face), request_id=call.wishes.request_id)
    reply = await while_read(call.request, answering.ask(question, call.wishes))
    if reply.llm is not None:
        told(call.response, reply.llm)
    return face.answered(reply)


async def _events(
    wishes: Wishes, answering: Answering[Q, P, C], question: Q, face: Face[P, C, J]
) -> AsyncGenerator[Event, None]:
    async with contextlib.aclosing(answering.stream(question, wishes)) as events:
        async for event in events:
            yield face.event(event, wishes.request_id)
