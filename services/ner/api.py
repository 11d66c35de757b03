"""NER's HTTP face for texts and names: parses, calls the use case, says who answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.llm.types import Sampling
from services.ner.finding import MOST_PLACES
from services.ner.graph import Pattern
from services.ner.schemas import (
    AliasInfo,
    DocumentInfo,
    DocumentPage,
    DocumentRead,
    EntityDetail,
    EntityInfo,
    EntityList,
    Extract,
    ExtractAnswer,
    FactInfo,
    FoundInfo,
    ListedInfo,
    MentionInfo,
    PlaceInfo,
    Read,
    RefusedInfo,
)
from services.ner.schemas_graph import RelationInfo
from services.ner.seen import DocumentId, Number, Seen, TypeName, UseCases
from services.ner.service import Ask, Extraction
from services.ner.shape import DEFAULT, FACTS, Shape
from services.ner.store import Graph
from services.web.asking import Asking
from services.web.paging import After, Limit, position, sliced
from services.web.problems import Problem, missing
from services.web.provenance import told
from services.web.streams import while_read

NamePart = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="Part of a name, in any case.")]
SHOWN_RELATIONS = 50


def router() -> APIRouter:
    """The routes of texts, documents and entities."""
    routes = APIRouter(prefix="/v1", tags=["ner"])
    add = routes.add_api_route
    add("/extract", extract, methods=["POST"], summary="Find names and facts in a text; stores nothing")
    add(
        "/documents",
        read_document,
        methods=["POST"],
        status_code=201,
        responses={200: {"model": DocumentRead, "description": "A known text, read anew"}},
        summary="Read a document into the graph",
    )
    add("/documents", list_documents, methods=["GET"], summary="What was read; asks no model")
    add("/documents/{document_id}", get_document, methods=["GET"], summary="A document with its mentions")
    add("/documents/{document_id}", delete_document, methods=["DELETE"], status_code=204, summary="Retract it")
    add("/entities", list_entities, methods=["GET"], summary="Find entities; asks no model")
    add("/entities/{entity_id}", get_entity, methods=["GET"], summary="An entity: its names, mentions and facts")
    return routes


async def extract(
    body: Extract, ner: UseCases, graph: Seen, wishes: Asking, request: Request, response: Response
) -> ExtractAnswer:
    """Only names that the text holds, each at all its places, and facts that it states; the others are listed."""
    ask = await asked(body, await _text_of(body, graph), graph)
    return _extracted(await while_read(request, ner.extract(ask, graph, wishes)), response)


async def read_document(
    body: Read, ner: UseCases, graph: Seen, wishes: Asking, request: Request, response: Response
) -> DocumentRead:
    """201 for a new text; 200 for a known one, of which what is found now replaces what was found before."""
    ask = await asked(body, body.text, graph)
    read = await while_read(request, ner.read(ask, graph, wishes))
    response.status_code = 201 if read.is_new else 200
    response.headers["Location"] = f"/v1/documents/{read.document.id}"
    document = read.document
    found = _extracted(read.extraction, response)
    return DocumentRead(
        id=document.id, created_at=document.created_at, producer=document.producer, **found.model_dump()
    )


async def list_documents(graph: Seen, limit: Limit = 50, after: After = "") -> DocumentPage:
    """The newest first."""
    where = position(after, "documents", int)
    found = await graph.documents(limit + 1, int(where[0]) if where else None)
    shown, onward = sliced(found, limit, "documents", lambda d: (d.number,))
    return DocumentPage(documents=[ListedInfo.model_validate(d) for d in shown], next=onward)


async def get_document(document_id: DocumentId, graph: Seen) -> DocumentInfo:
    """The text that mentions point into."""
    found = await graph.document(document_id)
    if found is None:
        raise missing("document", document_id)
    document, mentions = found
    return DocumentInfo(
        id=document.id,
        text=document.text,
        created_at=document.created_at,
        producer=document.producer,
        entities=[FoundInfo.model_validate(m) for m in mentions],
    )


async def delete_document(document_id: DocumentId, graph: Seen) -> None:
    """Only what nothing else supports goes with it: a fact with its last quote, an entity with its last mention."""
    if not await graph.delete(document_id):
        raise missing("document", document_id)


async def list_entities(
    graph: Seen, q: NamePart = "", type: TypeName | None = None, limit: Limit = 50, after: After = ""
) -> EntityList:
    """The most mentioned first. Works when every engine is down."""
    filters = {"q": q, "type": type}
    where = position(after, "entities", int, int, filters=filters)
    found = await graph.entities(q, type, limit + 1, (int(where[0]), int(where[1])) if where else None)
    shown, onward = sliced(found, limit, "entities", lambda e: (e.mentions, e.id), filters=filters)
    return EntityList(entities=[EntityInfo.model_validate(e) for e in shown], next=onward)


async def get_entity(entity_id: Number, graph: Seen) -> EntityDetail:
    """What the name of that number stands for now: all its names, where each is said and by whom found, its facts."""
    found = await graph.entity(entity_id)
    if found is None:
        raise missing("entity", entity_id)
    entity, names, places = found
    relations = await graph.relations(Pattern(entity=entity.id), SHOWN_RELATIONS, None)
    return EntityDetail(
        id=entity.id,
        name=entity.name,
        type=entity.type,
        aliases=[AliasInfo.model_validate(n) for n in names],
        mentions=[PlaceInfo.model_validate(p) for p in places],
        mentions_cut=len(places) == MOST_PLACES,
        relations=[RelationInfo.model_validate(r) for r in relations],
    )


async def _text_of(body: Extract, graph: Graph) -> str:
    if body.text is not None:
        return body.text
    assert body.document_id is not None  # the body was checked
    found = await graph.document(body.document_id)
    if found is None:
        raise missing("document", body.document_id)
    return found[0].text


async def asked(body: Extract | Read, text: str, graph: Graph) -> Ask:
    """What the use case is asked for. Raises `Problem` for a schema that is not there or has no predicates."""
    shape = await _shape(body, graph)
    relations = bool(shape.predicates) if body.relations is None else body.relations
    if relations and not shape.has_relations:
        raise Problem(422, "no-predicates", f"the schema {shape.name!r} has no predicates to look for relations by")
    return Ask(text=text, shape=shape, relations=relations, sampling=Sampling(max_tokens=body.tokens(relations)))


async def _shape(body: Extract | Read, graph: Graph) -> Shape:
    """The plain default needs no look into the store."""
    if body.shape is None:
        return FACTS if body.relations else DEFAULT
    shape = await graph.shape(body.shape)
    if shape is None:
        raise missing("schema", body.shape)
    return shape


def _extracted(extraction: Extraction, response: Response) -> ExtractAnswer:
    return ExtractAnswer(
        entities=[MentionInfo.model_validate(m) for m in extraction.grounded.mentions],
        rejected=list(extraction.grounded.rejected),
        relations=[FactInfo.model_validate(f) for f in extraction.grounded.facts],
        rejected_relations=[RefusedInfo.model_validate(r) for r in extraction.grounded.refused],
        candidates=[MentionInfo.model_validate(c) for c in extraction.candidates],
        llm=told(response, extraction.answer),
    )
