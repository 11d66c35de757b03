"""NER's pages of texts: see the names marked in one, read it into the graph, look through what was read, retract it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from services.llm.errors import LLMError
from services.ner.api import asked
from services.ner.grounding import Why
from services.ner.schemas import EXAMPLE, Read
from services.ner.seen import DocumentId, Seen, UseCases
from services.ner.service import Extraction
from services.ner.store import Graph
from services.ner.ui_marks import pieces
from services.pages.forms import fields, parsed
from services.pages.rendering import go, page
from services.web.asking import Asking
from services.web.page_paths import PAGES
from services.web.paging import After, position, sliced
from services.web.problems import Problem, missing, of_llm, of_validation
from services.web.provenance import llm_info
from services.web.streams import while_read

SHOWN = 25

WHYS = {
    Why.NO_QUOTE: "its quote is not in the text",
    Why.NOT_QUOTED: "its quote does not name both ends",
    Why.NO_ENTITY: "one of its ends is not among the names",
    Why.SELF_LOOP: "it relates a thing to itself",
    Why.NO_PREDICATE: "the schema does not join these types by it",
}
"""Why a fact was not taken, in words."""

Place = Annotated[int, Query(ge=0, le=2**31 - 1)]
Known = Annotated[str, Query(max_length=100, pattern=r"^[^\x00]*$")]


def router() -> APIRouter:
    """The pages of texts."""
    routes = APIRouter(prefix=PAGES)
    add = routes.add_api_route
    add("/", home, methods=["GET"])
    add("/", look, methods=["POST"])
    add("/documents", documents, methods=["GET"])
    add("/documents/{document_id}", document, methods=["GET"])
    add("/documents/{document_id}/delete", confirm, methods=["GET"])
    add("/documents/{document_id}/delete", delete, methods=["POST"])
    return routes


async def home(request: Request, graph: Seen, document_id: Known = "") -> Response:
    """The form; with the text of a known document in it where one is named."""
    found = await graph.document(document_id) if document_id else None
    text = found[0].text if found else ""
    return await _form(request, graph, {"text": text, "schema": "", "act": "look"})


async def look(request: Request, ner: UseCases, graph: Seen, wishes: Asking) -> Response:
    """The text with its names marked; read into the graph where that was asked for. Nothing typed is lost."""
    sent = await fields(request)
    given = {name: sent.get(name, "") for name in ("text", "schema", "act")}
    try:
        body = parsed(Read, {"text": given["text"], "schema": given["schema"] or None})
        ask = await asked(body, body.text, graph)
        if given["act"] != "read":
            return await _result(request, graph, given, await while_read(request, ner.extract(ask, graph, wishes)))
        read = await while_read(request, ner.read(ask, graph, wishes))
    except RequestValidationError as exc:
        return await _form(request, graph, given, of_validation(exc))
    except LLMError as exc:
        return await _form(request, graph, given, of_llm(exc))
    except Problem as exc:
        return await _form(request, graph, given, exc)
    kept = {"document": read.document.id, "is_new": read.is_new}
    return await _result(request, graph, given, read.extraction, **kept)


async def documents(request: Request, graph: Seen, after: After = "") -> Response:
    """What was read, the newest first."""
    where = position(after, "documents", int)
    found = await graph.documents(SHOWN + 1, int(where[0]) if where else None)
    rows, onward = sliced(found, SHOWN, "documents", lambda d: (d.number,))
    return page(request, "documents.html", documents=rows, next=onward, is_first=not after)


async def document(
    request: Request, document_id: DocumentId, graph: Seen, start: Place | None = None, end: Place | None = None
) -> Response:
    """The text with its names marked, and the passage that a link cites."""
    found = await graph.document(document_id)
    if found is None:
        raise missing("document", document_id)
    cited = (start, end) if start is not None and end is not None else None
    return page(
        request,
        "document.html",
        document=found[0],
        mentions=found[1],
        pieces=pieces(found[0].text, found[1], cited),
        candidates=await graph.name_candidates(document_id) or [],
    )


async def confirm(request: Request, document_id: DocumentId, graph: Seen) -> Response:
    """Asks before anything is deleted; needs no script."""
    found = await graph.document(document_id)
    if found is None:
        raise missing("document", document_id)
    return page(request, "delete.html", document=found[0], mentions=found[1])


async def delete(request: Request, document_id: DocumentId, graph: Seen) -> Response:
    """Retracts it, as the API does."""
    if not await graph.delete(document_id):
        raise missing("document", document_id)
    return go(request, f"{PAGES}/documents")


async def _form(
    request: Request, graph: Graph, given: Mapping[str, str], problem: Problem | None = None, **more: Any
) -> Response:
    status = 200 if problem is None else problem.status_code
    known = {"shapes": await graph.shapes(), "given": given, "example": EXAMPLE, "problem": problem, "whys": WHYS}
    return page(request, "text.html", status=status, **{"found": None, **known, **more})


async def _result(
    request: Request, graph: Graph, given: Mapping[str, str], extraction: Extraction, **kept: Any
) -> Response:
    grounded = extraction.grounded
    names: dict[tuple[str, str], int] = {}
    for mention in grounded.mentions:
        names[mention.text, mention.type] = names.get((mention.text, mention.type), 0) + 1
    found = {
        "document": None,
        "is_new": False,
        "grounded": grounded,
        "names": [(*name, places) for name, places in names.items()],
        "pieces": pieces(extraction.ask.text, grounded.mentions),
        "llm": llm_info(extraction.answer),
        **kept,
    }
    return await _form(request, graph, given, found=found)
