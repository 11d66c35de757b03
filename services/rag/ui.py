"""RAG's pages: ask, and read the answer with its citations. `ui_documents.py` and `ui_feedback.py` have the others."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.pages.asking import streamed
from services.pages.forms import fields, parsed
from services.pages.rendering import page, text
from services.pages.site import Tab
from services.rag.answers import RagQuestion
from services.rag.api import FACE, UseCases, known_collection
from services.rag.schemas import Ask, CitationInfo
from services.rag.service import Rag
from services.rag.ui_feedback import judging
from services.web.answer_json import Answered
from services.web.asking import Asking
from services.web.page_paths import PAGES
from services.web.streams import while_read

TABS = (Tab(title="Ask", path=""), Tab(title="Documents", path="documents"), Tab(title="Feedback", path="feedback"))
FORM = {"question": "", "collection": "", "k": "3", "max_tokens": "160", "strict": ""}
"""The form before anybody wrote in it."""


def router() -> APIRouter:
    """The routes of asking."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/", show, methods=["GET"])
    routes.add_api_route("/", ask, methods=["POST"])
    routes.add_api_route("/ask/stream", ask_streamed, methods=["POST"])
    return routes


async def show(request: Request, rag: UseCases, collection: str = "") -> Response:
    """The empty form; `collection` is chosen already where one came from there."""
    return await _shown(request, rag, {"collection": collection}, None, None)


async def ask(request: Request, rag: UseCases, wishes: Asking) -> Response:
    """The whole answer at once, for a browser without JavaScript."""
    sent = await fields(request)
    reply = await while_read(request, rag.answers.ask(await _question(rag, sent), wishes))
    answered = FACE.answered(reply)
    return await _shown(request, rag, sent, answered, judging(sent["question"], answered, wishes.request_id))


async def ask_streamed(request: Request, rag: UseCases, wishes: Asking) -> Response:
    """The events of /v1/ask; the last one carries the citations as a piece of the page."""
    question = await _question(rag, await fields(request))

    def shown(answered: Answered[CitationInfo]) -> str:
        held = judging(question.text, answered, wishes.request_id)
        return text(request, "_answer.html", answered=answered, judging=held)

    return streamed(rag.answers, question, wishes, FACE, shown)


async def _question(rag: Rag, sent: dict[str, str]) -> RagQuestion:
    body = parsed(Ask, {name: value for name, value in (FORM | sent).items() if value})
    await known_collection(rag, body.collection)
    return RagQuestion(
        text=body.question, k=body.k, max_tokens=body.max_tokens, collection=body.collection, strict=body.strict
    )


async def _shown(
    request: Request,
    rag: Rag,
    sent: dict[str, Any],
    answered: Answered[CitationInfo] | None,
    held: dict[str, Any] | None,
) -> Response:
    stored = await rag.documents.page(1, 0)
    return page(
        request,
        "ask.html",
        sent=FORM | sent,
        answered=answered,
        judging=held,
        collections=await rag.documents.collections(),
        is_empty=not stored,
    )
