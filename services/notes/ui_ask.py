"""The page that asks one's own notes: the answer as it comes, what it rests on, and who gave it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from services.notes.api import UseCases
from services.notes.api_ask import FACE
from services.notes.schemas_ask import AskNotes
from services.pages.asking import streamed
from services.pages.forms import fields, parsed
from services.pages.rendering import page, text
from services.web.answering import Question
from services.web.asking import Asking
from services.web.page_paths import PAGES
from services.web.streams import while_read

MAX_TOKENS = 160
"""Of an answer where the form does not say it."""


def router() -> APIRouter:
    """The routes of asking."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/ask", show, methods=["GET"])
    routes.add_api_route("/ask", ask, methods=["POST"])
    routes.add_api_route("/ask/stream", ask_streamed, methods=["POST"])
    return routes


async def show(request: Request, notes: UseCases) -> Response:
    """The empty form."""
    return page(
        request, "ask.html", sent={}, answered=None, is_empty=not await notes.notebook.newest(1, None), most=MAX_TOKENS
    )


async def ask(request: Request, notes: UseCases, wishes: Asking) -> Response:
    """The whole answer at once, for a browser without JavaScript."""
    sent = await fields(request)
    reply = await while_read(request, notes.answers.ask(_question(sent), wishes))
    return page(request, "ask.html", sent=sent, answered=FACE.answered(reply), is_empty=False, most=MAX_TOKENS)


async def ask_streamed(request: Request, notes: UseCases, wishes: Asking) -> Response:
    """The events of /v1/ask; the last one carries the citations as a piece of the page."""
    question = _question(await fields(request))
    return streamed(
        notes.answers, question, wishes, FACE, lambda answered: text(request, "_answer.html", answered=answered)
    )


def _question(sent: Mapping[str, str]) -> Question:
    given = {name: value for name, value in sent.items() if value}
    body = parsed(AskNotes, {"max_tokens": MAX_TOKENS, "strict": False, **given})
    return Question(text=body.question, k=body.k, max_tokens=body.max_tokens, strict=body.strict)
