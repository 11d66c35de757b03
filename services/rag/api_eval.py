"""HTTP for measuring how well one's own questions find their passages."""

from __future__ import annotations

from fastapi import APIRouter, Request

from services.rag.api import UseCases, known_collection
from services.rag.evaluating import Gold, evaluated, strangers
from services.rag.schemas_eval import Eval, Evaluated
from services.web.problems import Problem
from services.web.streams import while_read

SHOWN = 5
"""So many wrong places are told; the others are counted."""


def router() -> APIRouter:
    """The route of evaluation."""
    routes = APIRouter(prefix="/v1", tags=["rag"])
    routes.add_api_route("/eval", evaluate, methods=["POST"], summary="Measure search on your own questions")
    return routes


async def evaluate(body: Eval, rag: UseCases, request: Request) -> Evaluated:
    """nDCG@10, recall@20 and mean reciprocal rank, each with its interval, and the rank of each question's passage.

    422 where a document is not there or a place lies outside of its text: a score over such questions means nothing.
    """
    await known_collection(rag, body.collection)
    questions = [Gold(**question.model_dump()) for question in body.questions]
    if wrong := await strangers(rag.documents, questions):
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise Problem(422, "gold-unknown", "; ".join(wrong[:SHOWN]) + more)
    found = await while_read(request, evaluated(rag.find, questions, body.mode, body.collection))
    return Evaluated.model_validate(found)
