"""NER's page of merges: names that may be one, saying so or not, and the log with its undo."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.ner.resemblance import Reason
from services.ner.seen import Number, Seen, refusals
from services.pages.rendering import go, page
from services.web.page_paths import PAGES
from services.web.paging import After, position, sliced

SHOWN = 20
REASONS = {
    Reason.LOOKALIKE: "they look the same and are other characters, as a forged name does",
    Reason.SIMILAR: "a slip of the pen or another order of the words",
    Reason.PART: "the words of one are among the other's",
}
"""Why two names may be one, in words."""

MERGES = f"{PAGES}/merges"


def router() -> APIRouter:
    """The page, and what its buttons do."""
    routes = APIRouter(prefix=MERGES)
    add = routes.add_api_route
    add("", merges, methods=["GET"])
    add("/log", log, methods=["GET"])
    add("/{candidate_id}/accept", accept, methods=["POST"])
    add("/{candidate_id}/reject", reject, methods=["POST"])
    add("/{merge_id}/undo", undo, methods=["POST"])
    return routes


async def merges(request: Request, graph: Seen, after: After = "") -> Response:
    """The likest candidates first; beside them what was merged last."""
    where = position(after, "candidates", int, int)
    found = await graph.candidates(SHOWN + 1, (int(where[0]), int(where[1])) if where else None)
    rows, onward = sliced(found, SHOWN, "candidates", lambda c: (round(c.score * 1000), c.id))
    last = await graph.merges(6, None)
    context: dict[str, Any] = {
        "next": onward,
        "is_first": not after,
        "merges": last[:5],
        "has_more_merges": len(last) > 5,
    }
    return page(request, "merges.html", candidates=rows, reasons=REASONS, **context)


async def log(request: Request, graph: Seen, after: After = "") -> Response:
    """Every merge, the newest first, undone ones as well."""
    where = position(after, "merges", int)
    found = await graph.merges(SHOWN + 1, int(where[0]) if where else None)
    rows, onward = sliced(found, SHOWN, "merges", lambda m: (m.id,))
    return page(request, "merge_log.html", merges=rows, next=onward, is_first=not after)


async def accept(request: Request, candidate_id: Number, graph: Seen) -> Response:
    """They are one; the log, on the same page, takes it back."""
    with refusals():
        await graph.accept(candidate_id)
    return go(request, MERGES)


async def reject(request: Request, candidate_id: Number, graph: Seen) -> Response:
    """They are not, and nobody is asked again."""
    with refusals():
        await graph.reject(candidate_id)
    return go(request, MERGES)


async def undo(request: Request, merge_id: Number, graph: Seen) -> Response:
    """Both are what they were."""
    with refusals():
        await graph.undo(merge_id)
    return go(request, MERGES)
