"""RAG's HTTP face: parses, calls the use case, says who answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from services.rag.answers import RagQuestion
from services.rag.citing import Citation
from services.rag.schemas import (
    STORABLE,
    Ask,
    AskAnswer,
    CitationInfo,
    DocumentDetail,
    DocumentList,
    DocumentSummary,
    HitInfo,
    Hits,
    Search,
)
from services.rag.search import Wish
from services.rag.service import Rag
from services.rag.store import DocumentInfo, Hit
from services.web.answer_json import STREAM, Call, Face, answered
from services.web.asking import Asking
from services.web.paging import After, Limit, position, sliced
from services.web.problems import missing
from services.web.room import room
from services.web.workspace import Workspace

OfCollection = Annotated[str | None, Query(pattern=STORABLE, description="Only those of this collection, by its id.")]
Id = Annotated[str, Path(pattern=STORABLE)]


def router() -> APIRouter:
    """The routes of RAG."""
    routes = APIRouter(prefix="/v1", tags=["rag"])
    add = routes.add_api_route
    add("/documents", list_documents, methods=["GET"], summary="Documents, a page at a time")
    add("/documents/{document_id}", get_document, methods=["GET"], summary="One document with its text")
    add("/documents/{document_id}", delete_document, methods=["DELETE"], status_code=204, summary="Forget it for good")
    add("/search", search, methods=["POST"], summary="Find passages; asks no model")
    add("/ask", ask, methods=["POST"], response_model=AskAnswer, responses=STREAM, summary="Answer a question")
    return routes


def _rag(request: Request, workspace: Workspace) -> Rag:
    use_cases = room(request).use_cases(workspace)
    assert isinstance(use_cases, Rag)
    return use_cases


UseCases = Annotated[Rag, Depends(_rag)]


async def list_documents(
    rag: UseCases, limit: Limit = 20, after: After = "", collection: OfCollection = None
) -> DocumentList:
    """Documents oldest first, without their texts; `after` is the `next` of the page before."""
    filters = {"collection": collection}
    [number] = position(after, "documents", int, filters=filters) or (0,)
    await known_collection(rag, collection)
    found = await rag.documents.page(limit + 1, int(number), collection)
    shown, onward = sliced(found, limit, "documents", lambda d: (d.number,), filters=filters)
    return DocumentList(documents=[summary_of(d) for d in shown], next=onward)


async def get_document(document_id: Id, rag: UseCases) -> DocumentDetail:
    """The document that citations point into."""
    document = await rag.documents.get(document_id)
    if document is None:
        raise missing("document", document_id)
    return DocumentDetail(text=document.text, **summary_of(document).model_dump())


async def delete_document(document_id: Id, rag: UseCases) -> None:
    """The text, its passages and its index entries are gone, not hidden."""
    if not await rag.documents.delete(document_id):
        raise missing("document", document_id)


async def search(body: Search, rag: UseCases) -> Hits:
    """Works when every engine is down: then by words alone, and the answer says so."""
    await known_collection(rag, body.collection)
    found = await rag.find(Wish(query=body.query, k=body.k, collection=body.collection, mode=body.mode))
    hits = [HitInfo.model_validate(h) for h in found.hits]
    return Hits(hits=hits, mode=found.mode, reason=found.reason)


async def ask(body: Ask, rag: UseCases, wishes: Asking, request: Request, response: Response) -> Any:
    """Events of a stream: `retrieved`, `token`*, `citations`, and `done` or `error` last.

    Where an engine broke off: `restart` (the tokens so far are void) or `continue` (they stand), and tokens again.
    """
    await known_collection(rag, body.collection)
    question = RagQuestion(
        text=body.question, k=body.k, max_tokens=body.max_tokens, collection=body.collection, strict=body.strict
    )
    call = Call(request=request, response=response, wishes=wishes)
    return await answered(call, rag.answers, question, FACE, stream=body.stream)


def _retrieved(hits: Sequence[Hit]) -> dict[str, Any]:
    return {"hits": [HitInfo.model_validate(h).model_dump() for h in hits]}


FACE: Face[Hit, Citation, CitationInfo] = Face(
    retrieved=_retrieved, citation=CitationInfo.model_validate, answer=AskAnswer
)
"""How RAG tells what it found and cites, as JSON."""


async def known_collection(rag: Rag, collection: str | None) -> None:
    """Raises `Problem` 404 for a collection that is not there: an empty answer would look like one."""
    if collection and await rag.documents.collection(collection) is None:
        raise missing("collection", collection)


def summary_of(document: DocumentInfo) -> DocumentSummary:
    """What lists and answers tell of a document."""
    return DocumentSummary(
        id=document.id,
        title=document.title,
        chunks=document.chunks,
        chars=document.chars,
        created_at=document.created_at,
        collection=document.collection,
        source=document.source,
        media_type=document.media_type,
    )
