"""Notes' HTTP face for questions: an answer with its citations, whole or as events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from services.notes.api import UseCases
from services.notes.passages import Citation
from services.notes.schemas_ask import AskNotes, AskNotesAnswer, NoteCitation, NotePassage
from services.notes.store import Passage
from services.web.answer_json import STREAM, Call, Face, answered
from services.web.answering import Question
from services.web.asking import Asking


def router() -> APIRouter:
    """The route of questions."""
    routes = APIRouter(prefix="/v1", tags=["notes"])
    routes.add_api_route(
        "/ask", ask, methods=["POST"], response_model=AskNotesAnswer, responses=STREAM, summary="Ask one's own notes"
    )
    return routes


async def ask(body: AskNotes, notes: UseCases, wishes: Asking, request: Request, response: Response) -> Any:
    """Events of a stream: `retrieved`, `token`*, `citations`, and `done` or `error` last.

    Where an engine broke off: `restart` (the tokens so far are void) or `continue` (they stand), and tokens again.
    """
    question = Question(text=body.question, k=body.k, max_tokens=body.max_tokens, strict=body.strict)
    call = Call(request=request, response=response, wishes=wishes)
    return await answered(call, notes.answers, question, FACE, stream=body.stream)


def _retrieved(passages: Sequence[Passage]) -> dict[str, Any]:
    return {"passages": [NotePassage.model_validate(p).model_dump() for p in passages]}


FACE: Face[Passage, Citation, NoteCitation] = Face(
    retrieved=_retrieved, citation=NoteCitation.model_validate, answer=AskNotesAnswer
)
"""How Notes tells what it found and cites, as JSON."""
