"""NER's pages that ask the graph: facts by a pattern, and the ways from one entity to another."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.ner.api_graph import Longest
from services.ner.graph import EndPattern, Entity, Pattern, Relation
from services.ner.seen import Seen
from services.ner.store import Graph
from services.ner.ui_fields import Chosen, Counted, NamePart, TypePart, kinds_of, meant, predicates_of
from services.pages.rendering import page
from services.web.page_paths import PAGES
from services.web.paging import After, position, sliced

SHOWN, WAYS = 50, 10
Word = Annotated[str, Query(max_length=100, pattern=r"^[^\x00]*$")]
Ends = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


def router() -> APIRouter:
    """The pages that ask."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/query", query, methods=["GET"])
    routes.add_api_route("/paths", paths, methods=["GET"])
    return routes


async def query(
    request: Request,
    graph: Seen,
    entity: Chosen = None,
    subject: NamePart = "",
    subject_type: TypePart = "",
    predicate: TypePart = "",
    object: NamePart = "",
    object_type: TypePart = "",
    document: Word = "",
    provider: Word = "",
    least: Counted = None,
    after: After = "",
) -> Response:
    """What is left empty may be anything. `entity` is either end, as links ask for it."""
    pattern = Pattern(
        entity=entity,
        subject=EndPattern(name=subject, type=subject_type or None),
        predicates=(predicate,) if predicate else (),
        object=EndPattern(name=object, type=object_type or None),
        document_id=document or None,
        provider=provider or None,
        least_evidence=least or 1,
    )
    given = {name: value for name, value in request.query_params.items() if name != "after"}
    where = position(after, "query", int, filters=given)
    found = await graph.relations(pattern, SHOWN + 1, int(where[0]) if where else None)
    rows, onward = sliced(found, SHOWN, "query", lambda r: (r.id,), filters=given)
    offered: dict[str, Any] = {"kinds": await kinds_of(graph, ()), "predicates": await predicates_of(graph)}
    return page(request, "query.html", facts=rows, next=onward, is_first=not after, given=given, **offered)


async def paths(
    request: Request,
    graph: Seen,
    start: Annotated[Ends, Query(alias="from")] = "",
    goal: Annotated[Ends, Query(alias="to")] = "",
    longest: Longest = 4,
) -> Response:
    """All of the shortest ways. A name that several entities bear is asked about, never guessed."""
    ends = [await _end(graph, "from", start), await _end(graph, "to", goal)]
    ways: list[list[Relation]] | None = None
    if all(end["meant"] for end in ends):
        ways = await graph.paths(ends[0]["meant"].id, ends[1]["meant"].id, longest, WAYS)
    is_one = ways is not None and ends[0]["meant"].id == ends[1]["meant"].id
    return page(
        request,
        "paths.html",
        ends=ends,
        longest=longest,
        ways=None if ways is None else [_way(ends[0]["meant"], way) for way in ways],
        is_one=is_one,
    )


async def _end(graph: Graph, name: str, given: str) -> dict[str, Any]:
    found, choices = await meant(graph, given)
    return {"name": name, "given": given.strip(), "meant": found, "choices": choices}


def _way(start: Entity, way: list[Relation]) -> list[dict[str, Any]]:
    """Each fact as one walks it: to which entity, and whether against its direction."""
    steps, here = [], start.id
    for fact in way:
        is_forward = fact.subject.id == here
        to = fact.object if is_forward else fact.subject
        steps.append({"fact": fact, "to": to, "is_forward": is_forward})
        here = to.id
    return steps
