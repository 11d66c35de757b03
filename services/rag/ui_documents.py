"""RAG's pages of documents: what there is, adding and deleting, and one document with a cited passage marked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import FormData

from services.pages.forms import fields, parsed
from services.pages.rendering import go, page
from services.rag.api import Id, OfCollection, UseCases, delete_document, known_collection, list_documents
from services.rag.api_ingest import reindex_document
from services.rag.ingest import Wanted
from services.rag.parsed import page_of
from services.rag.receiving import FORM_BYTES, filed
from services.rag.schemas import NewDocument
from services.rag.schemas_ingest import NewUrl
from services.rag.store import CollectionGone, Document
from services.rag.ui_jobs import job_rows, many
from services.store.jobs import Job
from services.web.page_paths import PAGES
from services.web.paging import After
from services.web.problems import missing

LIST = f"{PAGES}/documents"
ON_A_PAGE = 20
SHOWN_CHARS = 100_000
"""How much of a text one page shows: a browser lays out a book of several megabytes for seconds."""

Place = Annotated[int, Query(ge=0, le=2**53)]


def router() -> APIRouter:
    """The routes of documents."""
    routes = APIRouter(prefix=LIST)
    add = routes.add_api_route
    add("", show, methods=["GET"])
    add("/list", listed, methods=["GET"])
    add("", add_file, methods=["POST"])
    add("/url", add_url, methods=["POST"])
    add("/text", add_text, methods=["POST"])
    add("/{document_id}", show_one, methods=["GET"])
    add("/{document_id}/delete", ask_to_delete, methods=["GET"])
    add("/{document_id}/delete", delete, methods=["POST"])
    add("/{document_id}/reindex", reindex, methods=["POST"])
    return routes


async def show(request: Request, rag: UseCases, after: After = "", collection: OfCollection = None) -> Response:
    """The list, a page at a time, of all or of one collection; the jobs; and what adds more."""
    collection = collection or None
    values = await _list(rag, after, collection)
    return page(request, "documents.html", **values, **await job_rows(rag))


async def listed(request: Request, rag: UseCases, after: After = "", collection: OfCollection = None) -> Response:
    """The list alone, for who waits for a job to end."""
    return page(request, "_documents.html", **await _list(rag, after, collection or None))


async def add_file(request: Request, rag: UseCases) -> Response:
    """A job reads the file; a file that is there already is shown."""
    async with request.form(max_files=1, max_fields=8, max_part_size=FORM_BYTES) as form:
        source, wanted = await filed(FormData([(name, value) for name, value in form.multi_items() if value]))
    await known_collection(rag, wanted.collection)
    taken = await rag.ingest.take(rag.documents, source, wanted)
    return _added(request, taken if isinstance(taken, Job) else taken.id)


async def add_url(request: Request, rag: UseCases) -> Response:
    """A job fetches and reads it."""
    body = parsed(NewUrl, _given(await fields(request)))
    await known_collection(rag, body.collection)
    wanted = Wanted(title=body.title or "", collection=body.collection)
    return _added(request, await rag.ingest.take_from(rag.documents, body.url, wanted))


async def add_text(request: Request, rag: UseCases) -> Response:
    """Stored at once."""
    body = parsed(NewDocument, _given(await fields(request)))
    try:
        document, _ = await rag.add(body.title, body.text, body.collection)
    except CollectionGone as exc:
        raise missing("collection", body.collection) from exc
    return _added(request, document.id)


async def show_one(
    request: Request, document_id: Id, rag: UseCases, start: Place = 0, end: Place = 0, at: Place | None = None
) -> Response:
    """The text; `start` to `end` are marked. `at` is where the shown part of a long text begins."""
    document = await rag.documents.get(document_id)
    if document is None:
        raise missing("document", document_id)
    names = {c.id: c.name for c in await rag.documents.collections()}
    return page(
        request,
        "document.html",
        document=document,
        collection_name=names.get(document.collection, ""),
        **_parts(document, start, end, at),
    )


async def ask_to_delete(request: Request, document_id: Id, rag: UseCases) -> Response:
    """The question before the deed, a page of its own, so that it needs no script."""
    document = await rag.documents.get(document_id)
    if document is None:
        raise missing("document", document_id)
    address = f"documents/{document_id}"
    with_it = f"its {many(document.chunks, 'passage')} and its place in searches"
    return page(
        request, "delete.html", kind="document", name=document.title, with_it=with_it, address=address, back=address
    )


async def delete(request: Request, document_id: Id, rag: UseCases) -> Response:
    """Gone for good, as the API deletes."""
    await delete_document(document_id, rag)
    return go(request, LIST)


async def reindex(request: Request, document_id: Id, rag: UseCases) -> Response:
    """A job cuts and indexes it anew."""
    await reindex_document(document_id, rag, Response())
    return go(request, f"{LIST}#jobs")


async def _list(rag: UseCases, after: str, collection: str | None) -> dict[str, Any]:
    found = await list_documents(rag, ON_A_PAGE, after, collection)
    collections = await rag.documents.collections()
    return {
        "documents": found.documents,
        "next": found.next,
        "is_first": not after,
        "collection": collection or "",
        "collections": collections,
        "names": {c.id: c.name for c in collections},
    }


def _parts(document: Document, start: int, end: int, at: int | None) -> dict[str, Any]:
    """The shown part of the text as what is before the passage, the passage, and what is after it."""
    text = document.text
    is_marked = start < end <= len(text)
    begin = at if at is not None else max(0, start - SHOWN_CHARS // 2) if is_marked else 0
    begin = min(begin, max(0, len(text) - 1)) if len(text) > SHOWN_CHARS else 0
    until = min(len(text), begin + SHOWN_CHARS)
    inside = is_marked and begin <= start and end <= until
    cut = (start, end) if inside else (until, until)
    return {
        "before": text[begin : cut[0]],
        "passage": text[cut[0] : cut[1]],
        "behind": text[cut[1] : until],
        "is_gone": bool(end) and not is_marked,
        "page_number": page_of(document.pages, start) if is_marked else None,
        "earlier": max(0, begin - SHOWN_CHARS) if begin else None,
        "later": until if until < len(text) else None,
        "shown": (begin, until),
    }


def _given(sent: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in sent.items() if value}


def _added(request: Request, taken: Job | str) -> Response:
    return go(request, f"{LIST}#jobs" if isinstance(taken, Job) else f"{LIST}/{taken}")
