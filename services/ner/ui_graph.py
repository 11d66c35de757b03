"""NER's pages of the graph: its picture with the list beside it, its entities and facts, and the files of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from services.ner.api_graph import get_graphml
from services.ner.graph import Evidence, Part, Pattern, Relation
from services.ner.seen import Number, Seen
from services.ner.store import Graph
from services.ner.ui_fields import Chosen, NamePart, TypePart, kinds_of
from services.ner.ui_marks import hue
from services.pages.rendering import page
from services.web.page_paths import PAGES
from services.web.paging import After, position, sliced
from services.web.problems import missing

SHOWN = 50
AT_FIRST, AROUND = 40, 60
"""Entities in the picture before anything is chosen, and around one."""

MENTIONS, FACTS, QUOTES = 50, 20, 3
"""Of an entity on its page: mentions, facts, and quotes of each fact. The rest is a link away."""


MOST_TAKEN = 5000
"""Entities in the file, as many as the API gives at most."""


def router() -> APIRouter:
    """The pages of the graph."""
    routes = APIRouter(prefix=PAGES)
    add = routes.add_api_route
    add("/graph", picture, methods=["GET"])
    add("/graph.json", part, methods=["GET"])
    add("/graph.graphml", taken_along, methods=["GET"])
    add("/entities", entities, methods=["GET"])
    add("/entities/{entity_id}", entity, methods=["GET"])
    add("/facts/{fact_id}", fact, methods=["GET"])
    return routes


async def picture(
    request: Request, graph: Seen, entity: Chosen = None, q: NamePart = "", type: TypePart = ""
) -> Response:
    """The list is in the page; the picture is drawn beside it by a script, from `part`."""
    seen, focus, said = await _part(graph, entity, q, type)
    return page(
        request,
        "graph.html",
        part=seen,
        facts=_by_entity(seen),
        focus=focus,
        said=said,
        kinds=await kinds_of(graph, seen.nodes),
        q=q,
        type=type,
    )


async def part(graph: Seen, entity: Chosen = None, q: NamePart = "", type: TypePart = "") -> Response:
    """What the picture is drawn from."""
    seen, focus, said = await _part(graph, entity, q, type)
    nodes = [{"id": n.id, "name": n.name, "type": n.type, "hue": hue(n.type)} for n in seen.nodes]
    return JSONResponse(
        {
            "entities": nodes,
            "relations": [_edge(r) for r in seen.relations],
            "is_cut": seen.is_cut,
            "focus": focus,
            "said": said,
        }
    )


async def taken_along(graph: Seen, type: TypePart = "") -> Response:
    """The API's file of the graph, for a form that has an empty type."""
    return await get_graphml(graph, type or None, MOST_TAKEN)


async def entities(request: Request, graph: Seen, q: NamePart = "", type: TypePart = "", after: After = "") -> Response:
    """The most mentioned first, found by a part of any of their names."""
    filters = {"q": q, "type": type}
    where = position(after, "entities", int, int, filters=filters)
    found = await graph.entities(q, type or None, SHOWN + 1, (int(where[0]), int(where[1])) if where else None)
    rows, onward = sliced(found, SHOWN, "entities", lambda e: (e.mentions, e.id), filters=filters)
    context: dict[str, Any] = {"entities": rows, "next": onward, "q": q, "type": type, "is_first": not after}
    return page(request, "entities.html", kinds=await kinds_of(graph, rows), **context)


async def entity(request: Request, entity_id: Number, graph: Seen) -> Response:
    """Its names, where each is said and by whom found, and its facts with their quotes."""
    found = await graph.entity(entity_id)
    if found is None:
        raise missing("entity", entity_id)
    relations = await graph.relations(Pattern(entity=entity_id), FACTS + 1, None)
    return page(
        request,
        "entity.html",
        entity=found[0],
        names=found[1],
        mentions=await graph.contexts(entity_id, MENTIONS),
        facts=[(r, await _quotes(graph, r)) for r in relations[:FACTS]],
        are_cut=len(relations) > FACTS,
        quotes_shown=QUOTES,
    )


async def fact(request: Request, fact_id: Number, graph: Seen) -> Response:
    """Every quote that supports a fact, at its place, and who found it there."""
    found = await graph.provenance(fact_id)
    if found is None:
        raise missing("fact", fact_id)
    return page(request, "fact.html", fact=found[0], evidence=found[1])


async def _part(graph: Graph, entity: int | None, q: str, type: str) -> tuple[Part, int | None, str]:
    """A part of the graph, the entity that it is about, and what is to be said of it."""
    if entity is None and q:
        named = await graph.entities(q, type or None, 2, None)
        if not named:
            return Part(nodes=(), relations=(), is_cut=False), None, f"No {type or 'entity'} has {q!r} in its name."
        entity = named[0].id
    if entity is None:
        return await graph.whole(type or None, AT_FIRST), None, ""
    found = await graph.neighbours(entity, 1, AROUND)
    if found is None:
        raise missing("entity", entity)
    return found, found.nodes[0].id, ""


async def _quotes(graph: Graph, relation: Relation) -> Sequence[Evidence]:
    found = await graph.provenance(relation.id)
    return found[1][:QUOTES] if found else ()


def _edge(relation: Relation) -> dict[str, Any]:
    return {
        "id": relation.id,
        "subject": relation.subject.id,
        "predicate": relation.predicate,
        "object": relation.object.id,
        "evidence": relation.evidence,
    }


def _by_entity(part: Part) -> Mapping[int, Sequence[Relation]]:
    """Each entity's facts, under both of their ends."""
    found: dict[int, list[Relation]] = {node.id: [] for node in part.nodes}
    for relation in part.relations:
        for end in {relation.subject.id, relation.object.id}:
            found[end].append(relation)
    return found
