"""Notes' HTTP face for questions: an answer with its citations, whole or as events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from services.llm.types import Continued, Restarted, Token
from services.notes.answers import Answers, AskEvent, Cited, Question, Reply, Retrieved
from services.notes.api import UseCases
from services.notes.passages import Citation
from services.notes.schemas_ask import AskNotes, AskNotesAnswer, NoteCitation, NotePassage
from services.web.asking import Asking, Wishes
from services.web.problems import of_llm
from services.web.provenance import llm_info, told
from services.web.streams import Event, EventStream, while_read

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer, or its events with `stream`"}
}


def router() -> APIRouter:
    """The route of questions."""
    routes = APIRouter(prefix="/v1", tags=["notes"])
    routes.add_api_route(
        "/ask", ask, methods=["POST"], response_model=AskNotesAnswer, responses=_STREAM, summary="Ask one's own notes"
    )
    return routes


async def ask(body: AskNotes, notes: UseCases, wishes: Asking, request: Request, response: Response) -> Any:
    """Events of a stream: `retrieved`, `token`*, `citations`, and `done` or `error` last.

    Where an engine broke off: `restart` (the tokens so far are void) or `continue` (they stand), and tokens again.
    """
    question = Question(text=body.question, k=body.k, max_tokens=body.max_tokens)
    if body.stream:
        return EventStream(_events(notes.answers, question, wishes), request_id=wishes.request_id)
    reply = await while_read(request, notes.answers.ask(question, wishes))
    if reply.llm is not None:
        told(response, reply.llm)
    return _answer(reply)


async def _events(answers: Answers, question: Question, wishes: Wishes) -> AsyncGenerator[Event, None]:
    async with contextlib.aclosing(answers.stream(question, wishes)) as events:
        async for event in events:
            yield _event(event, wishes.request_id)


def _event(event: AskEvent, request_id: str) -> Event:
    match event:
        case Retrieved(passages=passages):
            shown = [NotePassage.model_validate(p).model_dump() for p in passages]
            return Event(name="retrieved", data={"passages": shown})
        case Token(text=text):
            return Event(name="token", data={"text": text})
        case Restarted(provider=provider, reason=reason):
            return Event(name="restart", data={"provider": provider, "reason": reason})
        case Continued(provider=provider, reason=reason):
            return Event(name="continue", data={"provider": provider, "reason": reason})
        case Cited(citations=citations):
            return Event(name="citations", data={"citations": [c.model_dump() for c in _cited(citations)]})
        case Reply():
            error = {} if event.error is None else {"error": of_llm(event.error).document(request_id)}
            data = {"outcome": str(event.outcome), **_answer(event).model_dump(), **error}
            return Event(name="done", data=data, terminal=True)


def _cited(citations: Sequence[Citation]) -> list[NoteCitation]:
    return [NoteCitation.model_validate(c) for c in citations]


def _answer(reply: Reply) -> AskNotesAnswer:
    return AskNotesAnswer(
        answer=reply.answer,
        citations=_cited(reply.citations),
        answerable=reply.answerable,
        llm=None if reply.llm is None else llm_info(reply.llm),
    )
