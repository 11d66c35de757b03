"""NER's HTTP face for the graph: facts, what is around an entity, ways, patterns, and the whole for other programs.

Nothing here asks a model, and nobody sends a query language: a pattern has types, and so has every field of it.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.ner.graph import EndPattern, Pattern
from services.ner.graphml import graphml
from services.ner.schemas_graph import (
    EndWanted,
    EvidenceInfo,
    PartInfo,
    PathsInfo,
    PatternWanted,
    ProvenanceInfo,
    RelationInfo,
    RelationPage,
    Slug,
)
from services.ner.seen import Number, NumberAsked, Seen, TypeName
from services.ner.store import Graph
from services.web.paging import After, Limit, position, sliced
from services.web.problems import missing

Depth = Annotated[int, Query(ge=1, le=3, description="How many relations away.")]
Longest = Annotated[int, Query(ge=1, le=6, description="How many relations a way may have.")]
Around = Annotated[int, Query(ge=1, le=500, description="How many entities at most, the nearest first.")]
Ways = Annotated[int, Query(ge=1, le=20, description="How many ways at most.")]
Exported = Annotated[int, Query(ge=1, le=5000, description="How many entities at most, the most related first.")]
DocumentId = Annotated[str, Query(max_length=100, pattern=r"^\w+$", description="Only facts that it states.")]
Predicate = Annotated[Slug, Query(description="Only facts of this kind.")]


def router() -> APIRouter:
    """The routes of the graph."""
    routes = APIRouter(prefix="/v1", tags=["graph"])
    add = routes.add_api_route
    add("/relations", list_relations, methods=["GET"], summary="Facts, by entity, predicate and document")
    add("/facts/{fact_id}/provenance", get_provenance, methods=["GET"], summary="Which quotes support a fact")
    add("/entities/{entity_id}/neighbors", get_neighbours, methods=["GET"], summary="What is around an entity")
    add("/paths", get_paths, methods=["GET"], summary="How two entities hang together")
    add("/query", query, methods=["POST"], summary="Facts that fit a typed pattern")
    add("/graph.json", get_graph, methods=["GET"], summary="The graph as JSON")
    add(
        "/graph.graphml",
        get_graphml,
        methods=["GET"],
        summary="The graph as GraphML, for Gephi, yEd or NetworkX",
        response_class=Response,
        responses={200: {"content": {"application/graphml+xml": {}}}},
    )
    return routes


async def list_relations(
    graph: Seen,
    entity: NumberAsked | None = None,
    predicate: Predicate | None = None,
    document_id: DocumentId | None = None,
    limit: Limit = 50,
    after: After = "",
) -> RelationPage:
    """The oldest first. `entity` may be either end, by any of its names' numbers."""
    pattern = Pattern(entity=entity, predicates=(predicate,) if predicate else (), document_id=document_id)
    filters = [entity, predicate, document_id]
    return await _page(graph, pattern, "relations", limit, after, filters)


async def get_provenance(fact_id: Number, graph: Seen) -> ProvenanceInfo:
    """Each quote at its place, with the names that it uses and who found it there."""
    found = await graph.provenance(fact_id)
    if found is None:
        raise missing("fact", fact_id)
    fact, evidence = found
    return ProvenanceInfo(
        fact=RelationInfo.model_validate(fact), evidence=[EvidenceInfo.model_validate(e) for e in evidence]
    )


async def get_neighbours(entity_id: Number, graph: Seen, depth: Depth = 1, limit: Around = 100) -> PartInfo:
    """The entity itself at depth 0, then the others, and every fact between any two of them."""
    part = await graph.neighbours(entity_id, depth, limit)
    if part is None:
        raise missing("entity", entity_id)
    return PartInfo.model_validate(part)


async def get_paths(
    graph: Seen,
    start: Annotated[NumberAsked, Query(alias="from")],
    goal: Annotated[NumberAsked, Query(alias="to")],
    longest: Longest = 4,
    limit: Ways = 5,
) -> PathsInfo:
    """All of the shortest ways, in either direction of each fact, up to `limit`."""
    found = await graph.paths(start, goal, longest, limit)
    if found is None:
        raise missing("entity", f"{start} or {goal}")
    return PathsInfo(paths=[[RelationInfo.model_validate(r) for r in way] for way in found])


async def query(body: PatternWanted, graph: Seen) -> RelationPage:
    """What is left out of the pattern may be anything."""
    pattern = Pattern(
        subject=_end(body.subject),
        predicates=tuple(body.predicate),
        object=_end(body.object),
        document_id=body.filters.document_id,
        provider=body.filters.provider,
        least_evidence=body.filters.min_evidence,
    )
    filters = body.model_dump(exclude={"limit", "after"})
    return await _page(graph, pattern, "query", body.limit, body.after, filters)


async def get_graph(graph: Seen, type: TypeName | None = None, limit: Exported = 1000) -> PartInfo:
    """The most related entities, and every fact between them."""
    return PartInfo.model_validate(await graph.whole(type, limit))


async def get_graphml(graph: Seen, type: TypeName | None = None, limit: Exported = 1000) -> Response:
    """The same as JSON has, with names and types as attributes."""
    part = await graph.whole(type, limit)
    return Response(await asyncio.to_thread(graphml, part), media_type="application/graphml+xml")


def _end(wanted: EndWanted) -> EndPattern:
    return EndPattern(id=wanted.id, type=wanted.type, name=wanted.name)


async def _page(graph: Graph, pattern: Pattern, name: str, limit: int, after: str, filters: object) -> RelationPage:
    where = position(after, name, int, filters=filters)
    found = await graph.relations(pattern, limit + 1, int(where[0]) if where else None)
    shown, onward = sliced(found, limit, name, lambda r: (r.id,), filters=filters)
    return RelationPage(relations=[RelationInfo.model_validate(r) for r in shown], next=onward)
