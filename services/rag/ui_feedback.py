"""RAG's pages of feedback: the word on an answer beside it, and all of them by who made the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.pages.forms import fields, parsed
from services.pages.rendering import go, page
from services.rag.api import Id, UseCases
from services.rag.api_feedback import get_feedback, judged, list_feedback, summarise_feedback
from services.rag.schemas import CitationInfo
from services.rag.schemas_feedback import MAX_COMMENT_CHARS, AnswerRead, CitationPlace, NewFeedback, ProducerBody
from services.web.answer_json import Answered
from services.web.page_paths import PAGES
from services.web.paging import MAX_CURSOR_CHARS
from services.web.problems import Problem

LIST = f"{PAGES}/feedback"
SHOWN = 20

After = Annotated[str, Query(max_length=MAX_CURSOR_CHARS)]


def router() -> APIRouter:
    """The routes of feedback."""
    routes = APIRouter(prefix=PAGES)
    add = routes.add_api_route
    add("/feedback", show, methods=["GET"])
    add("/feedback", judge, methods=["POST"])
    add("/feedback/{feedback_id}/delete", ask_to_delete, methods=["GET"])
    add("/feedback/{feedback_id}/delete", delete, methods=["POST"])
    return routes


def judging(question: str, answered: Answered[CitationInfo], request_id: str) -> dict[str, Any]:
    """What the form under an answer holds: the answer as it was given, and its citations to choose a wrong one of."""
    made_by = answered.producer
    read = AnswerRead(
        question=question,
        answer=answered.answer,
        request_id=answered.llm.request_id if answered.llm else request_id,
        producer=None if made_by is None else ProducerBody(**made_by.model_dump()),
    )
    places = [(c.n, c.title, CitationPlace(**c.model_dump()).model_dump_json()) for c in answered.citations]
    return {"read": read.model_dump_json(), "places": places, "said": None, "most_chars": MAX_COMMENT_CHARS}


async def show(request: Request, rag: UseCases, after: After = "") -> Response:
    """By producer, then one by one, the newest first."""
    listed = await list_feedback(rag, SHOWN, after)
    tallies = (await summarise_feedback(rag)).producers
    return page(
        request, "feedback.html", tallies=tallies, feedback=listed.feedback, next=listed.next, is_first=not after
    )


async def judge(request: Request, rag: UseCases) -> Response:
    """Keeps it; a page with htmx gets the buttons again, with what was kept."""
    sent = await fields(request)
    body = {
        **_object(sent, "answered"),
        "rating": sent.get("rating"),
        "comment": sent.get("comment", "").strip() or None,
        "wrong_citation": _object(sent, "wrong") or None,
    }
    kept, _ = await judged(rag, parsed(NewFeedback, body), request)
    return page(request, "_feedback_said.html", said=kept) if _is_part(request) else go(request, LIST)


async def ask_to_delete(request: Request, feedback_id: Id, rag: UseCases) -> Response:
    """The question before the deed."""
    found = await get_feedback(feedback_id, rag)
    return page(
        request,
        "delete.html",
        kind="feedback",
        name=found.question,
        with_it="the word on its answer" if not found.comment else "the word on its answer and the comment",
        address=f"feedback/{feedback_id}",
        back="feedback",
    )


async def delete(request: Request, feedback_id: Id, rag: UseCases) -> Response:
    """For good. What is gone already is gone: the page may have been open for long."""
    await rag.feedback.delete(feedback_id)
    return page(request, "_feedback_said.html", said=None) if _is_part(request) else go(request, LIST)


def _is_part(request: Request) -> bool:
    return bool(request.headers.get("HX-Request"))


def _object(sent: Mapping[str, str], name: str) -> dict[str, Any]:
    """The JSON object in a field that the page itself filled. Raises `Problem` 422."""
    try:
        found = json.loads(sent.get(name) or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(422, "form-broken", "this form does not hold an answer; ask again")
    return found
