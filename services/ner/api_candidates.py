"""NER's HTTP face for names that somebody else sees in a document: accepted, rejected, and taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.ner.name_candidates import NameCandidate, State
from services.ner.producers import Made
from services.ner.seen import DocumentId, Number, Seen, refusals
from services.web.problems import missing
from services.web.workspace import Who


class SpanInfo(BaseModel):
    """Where the document's text has the name: characters `start` to `end`."""

    start: int
    end: int


class NameCandidateInfo(BaseModel):
    """A name that the producer sees in a document, and what a person said of it.

    `places` of an open one are those that no mention touches. `entity` is what an accepted one became. `judged_by` is
    the name of an API key, `anonymous` where there are none, and empty while nobody said anything.
    """

    id: int
    text: str
    type: str
    places: list[SpanInfo]
    state: State
    producer: Made
    judged_by: str
    judged_at: str
    entity: int | None


class NameCandidateList(BaseModel):
    """The candidates of a document, in the order in which they were seen."""

    candidates: list[NameCandidateInfo]


def router() -> APIRouter:
    """The routes of candidates for names."""
    routes = APIRouter(prefix="/v1/documents/{document_id}/candidates", tags=["ner"])
    add = routes.add_api_route
    add("", list_names, methods=["GET"], summary="Names that the model did not find and somebody else saw")
    add("/{candidate_id}:accept", accept_name, methods=["POST"], summary="It is a name: make it an entity")
    add("/{candidate_id}:reject", reject_name, methods=["POST"], summary="It is none; never ask again for this text")
    add("/{candidate_id}:undo", undo_name, methods=["POST"], summary="Take back what was said of it")
    return routes


async def list_names(
    document_id: DocumentId, graph: Seen, state: Annotated[State | None, Query(description="Only these.")] = None
) -> NameCandidateList:
    """Those that a person said something of stay in the list. Asks no model, and looks for no new ones."""
    found = await graph.name_candidates(document_id)
    if found is None:
        raise missing("document", document_id)
    return NameCandidateList(candidates=[_info(one) for one in found if state in (None, one.state)])


async def accept_name(document_id: DocumentId, candidate_id: Number, graph: Seen, who: Who) -> NameCandidateInfo:
    """Its mentions say who saw it and who accepted it. Accepting twice is once."""
    with refusals():
        return _info(await graph.accept_name(document_id, candidate_id, who))


async def reject_name(document_id: DocumentId, candidate_id: Number, graph: Seen, who: Who) -> NameCandidateInfo:
    """Holds when the document is read anew, until it is deleted. Rejecting twice is once."""
    with refusals():
        return _info(await graph.reject_name(document_id, candidate_id, who))


async def undo_name(document_id: DocumentId, candidate_id: Number, graph: Seen) -> NameCandidateInfo:
    """It is open again; an entity that nothing else mentions goes. Undoing twice is once."""
    with refusals():
        return _info(await graph.undo_name(document_id, candidate_id))


def _info(one: NameCandidate) -> NameCandidateInfo:
    return NameCandidateInfo(
        id=one.id,
        text=one.text,
        type=one.type,
        places=[SpanInfo(start=a, end=b) for a, b in one.places],
        state=one.state,
        producer=one.made,
        judged_by=one.judged_by,
        judged_at=one.judged_at,
        entity=one.entity,
    )
