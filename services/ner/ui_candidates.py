"""What the buttons beside a document's candidates do: it is a name, it is none, and neither was said."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.ner.seen import DocumentId, Number, Seen, refusals
from services.pages.rendering import go
from services.web.page_paths import PAGES
from services.web.workspace import Who


def router() -> APIRouter:
    """The buttons."""
    routes = APIRouter(prefix=f"{PAGES}/documents/{{document_id}}/candidates")
    add = routes.add_api_route
    add("/{candidate_id}/accept", accept, methods=["POST"])
    add("/{candidate_id}/reject", reject, methods=["POST"])
    add("/{candidate_id}/undo", undo, methods=["POST"])
    return routes


async def accept(request: Request, document_id: DocumentId, candidate_id: Number, graph: Seen, who: Who) -> Response:
    """It is among the document's mentions then."""
    with refusals():
        await graph.accept_name(document_id, candidate_id, who)
    return _back(request, document_id)


async def reject(request: Request, document_id: DocumentId, candidate_id: Number, graph: Seen, who: Who) -> Response:
    """Nobody is asked about it again in this text."""
    with refusals():
        await graph.reject_name(document_id, candidate_id, who)
    return _back(request, document_id)


async def undo(request: Request, document_id: DocumentId, candidate_id: Number, graph: Seen) -> Response:
    """It is a candidate again."""
    with refusals():
        await graph.undo_name(document_id, candidate_id)
    return _back(request, document_id)


def _back(request: Request, document_id: str) -> Response:
    return go(request, f"{PAGES}/documents/{document_id}#candidates")
