"""HTTP for what readers say of answers: kept, listed, counted by who made the answer, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.rag.api import Id, UseCases
from services.rag.feedback import Feedback, Judgement, Rating, WrongCitation
from services.rag.schemas import STORABLE
from services.rag.schemas_feedback import (
    CitationPlace,
    FeedbackInfo,
    FeedbackList,
    FeedbackSummary,
    NewFeedback,
    TallyInfo,
)
from services.rag.service import Rag
from services.web.paging import After, Limit, position, sliced
from services.web.problems import missing
from services.web.workspace import who

Provider = Annotated[
    str | None,
    Query(max_length=300, pattern=STORABLE, description="Only of answers by this one; empty: without a model."),
]
_KEPT: dict[int | str, dict[str, Any]] = {
    200: {"model": FeedbackInfo, "description": "In place of what this reader said of the answer before"}
}


def router() -> APIRouter:
    """The routes of feedback."""
    routes = APIRouter(prefix="/v1/feedback", tags=["rag"])
    add = routes.add_api_route
    said = "Say whether an answer helped"
    add("", add_feedback, methods=["POST"], status_code=201, responses=_KEPT, summary=said)
    add("", list_feedback, methods=["GET"], summary="What readers said, the newest first")
    add("/summary", summarise_feedback, methods=["GET"], summary="What readers said, by who made the answers")
    add("/{feedback_id}", get_feedback, methods=["GET"], summary="What one reader said of one answer")
    add("/{feedback_id}", delete_feedback, methods=["DELETE"], status_code=204, summary="Forget it for good")
    return routes


async def add_feedback(body: NewFeedback, rag: UseCases, request: Request, response: Response) -> FeedbackInfo:
    """One judgement of an answer by each API key: 201, or 200 where it takes the place of an earlier one.

    404 where the document of `wrong_citation` is not there.
    """
    kept, is_new = await judged(rag, body, request)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/feedback/{kept.id}"
    return info(kept)


async def list_feedback(
    rag: UseCases, limit: Limit = 20, after: After = "", rating: Rating | None = None, provider: Provider = None
) -> FeedbackList:
    """`after` is the `next` of the page before."""
    filters = {"rating": rating, "provider": provider}
    before = position(after, "feedback", int, filters=filters)
    found = await rag.feedback.page(limit + 1, int(before[0]) if before else None, rating=rating, provider=provider)
    shown, onward = sliced(found, limit, "feedback", lambda f: (f.number,), filters=filters)
    return FeedbackList(feedback=[info(f) for f in shown], next=onward)


async def summarise_feedback(rag: UseCases) -> FeedbackSummary:
    """Ratings of each producer's answers. Intervals that overlap do not say who is better.

    Several readers of one answer are several ratings, so the interval is narrower than as many answers would make it.
    """
    return FeedbackSummary(producers=[TallyInfo.model_validate(t) for t in await rag.feedback.tallies()])


async def get_feedback(feedback_id: Id, rag: UseCases) -> FeedbackInfo:
    """As it is kept."""
    found = await rag.feedback.one(feedback_id)
    if found is None:
        raise missing("feedback", feedback_id)
    return info(found)


async def delete_feedback(feedback_id: Id, rag: UseCases) -> None:
    """It is gone, not hidden."""
    if not await rag.feedback.delete(feedback_id):
        raise missing("feedback", feedback_id)


async def judged(rag: Rag, body: NewFeedback, request: Request) -> tuple[Feedback, bool]:
    """The stored judgement of whoever asks, and whether it is the first. Raises `Problem` 404."""
    wrong = None
    if body.wrong_citation is not None:
        if await rag.documents.get(body.wrong_citation.document_id) is None:
            raise missing("document", body.wrong_citation.document_id)
        wrong = WrongCitation(**body.wrong_citation.model_dump())
    judgement = Judgement(
        rating=body.rating,
        question=body.question,
        answer=body.answer,
        request_id=body.request_id,
        producer=body.producer.whole() if body.producer else None,
        comment=body.comment or "",
        wrong=wrong,
    )
    return await rag.judge(judgement, who(request))


def info(feedback: Feedback) -> FeedbackInfo:
    """A judgement as JSON."""
    wrong = feedback.wrong
    return FeedbackInfo(
        id=feedback.id,
        rating=feedback.rating,
        about=feedback.about,
        reader=feedback.reader,
        question=feedback.question,
        request_id=feedback.request_id,
        comment=feedback.comment,
        wrong_citation=None if wrong is None else CitationPlace.model_validate(wrong, from_attributes=True),
        producer=feedback.producer,
        created_at=feedback.created_at,
        updated_at=feedback.updated_at,
    )
