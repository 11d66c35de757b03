"""NER's HTTP face: parses, calls the use case, says who answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from services.ner.schemas import (
    DocumentInfo,
    DocumentRead,
    EntityDetail,
    EntityInfo,
    EntityList,
    Extract,
    ExtractAnswer,
    FactInfo,
    MentionInfo,
    PlaceInfo,
    RefusedInfo,
)
from services.ner.service import Ask, Extraction, Ner
from services.ner.shape import DEFAULT, FACTS
from services.web.asking import Asking
from services.web.problems import missing
from services.web.provenance import told
from services.web.room import room
from services.web.streams import while_read

Limit = Annotated[int, Query(ge=1, le=200)]
NamePart = Annotated[str, Query(max_length=200, description="Part of a name, in any case.")]
TypeName = Annotated[str, Query(max_length=40, pattern=r"^\w+$")]
EntityId = Annotated[int, Path(ge=1, le=2**53)]


def router() -> APIRouter:
    """The routes of NER."""
    routes = APIRouter(prefix="/v1", tags=["ner"])
    add = routes.add_api_route
    add("/extract", extract, methods=["POST"], summary="Find names in a text; stores nothing")
    add("/documents", read_document, methods=["POST"], status_code=201, summary="Read a document into the graph")
    add("/documents/{document_id}", get_document, methods=["GET"], summary="A document with its mentions")
    add("/documents/{document_id}", delete_document, methods=["DELETE"], status_code=204, summary="Retract it")
    add("/entities", list_entities, methods=["GET"], summary="Find entities; asks no model")
    add("/entities/{entity_id}", get_entity, methods=["GET"], summary="An entity with all its mentions")
    return routes


def _ner(request: Request) -> Ner:
    use_cases = room(request).use_cases
    assert isinstance(use_cases, Ner)
    return use_cases


UseCases = Annotated[Ner, Depends(_ner)]


async def extract(body: Extract, ner: UseCases, wishes: Asking, request: Request, response: Response) -> ExtractAnswer:
    """Only names that the text holds, each at all its places; the others are listed as rejected."""
    extraction = await while_read(request, ner.extract(_asked(body), wishes))
    return _extracted(extraction, response)


async def read_document(
    body: Extract, ner: UseCases, wishes: Asking, request: Request, response: Response
) -> DocumentRead:
    """201 for a new text; 200 for a known one, whose mentions are replaced by what is found now."""
    read = await while_read(request, ner.read(_asked(body), wishes))
    response.status_code = 201 if read.is_new else 200
    response.headers["Location"] = f"/v1/documents/{read.document.id}"
    document = read.document
    found = _extracted(read.extraction, response)
    return DocumentRead(
        id=document.id, created_at=document.created_at, producer=document.producer, **found.model_dump()
    )


async def get_document(document_id: str, ner: UseCases) -> DocumentInfo:
    """The text that mentions point into."""
    found = await ner.graph.document(document_id)
    if found is None:
        raise missing("document", document_id)
    document, mentions = found
    return DocumentInfo(
        id=document.id,
        text=document.text,
        created_at=document.created_at,
        producer=document.producer,
        entities=[MentionInfo.model_validate(m) for m in mentions],
    )


async def delete_document(document_id: str, ner: UseCases) -> None:
    """Only this document's mentions go; an entity goes with its last one."""
    if not await ner.graph.delete(document_id):
        raise missing("document", document_id)


async def list_entities(ner: UseCases, q: NamePart = "", type: TypeName | None = None, limit: Limit = 50) -> EntityList:
    """Works when every engine is down."""
    found = await ner.graph.entities(q, type, limit)
    return EntityList(entities=[EntityInfo.model_validate(e) for e in found])


async def get_entity(entity_id: EntityId, ner: UseCases) -> EntityDetail:
    """Every place where the entity is named, with who found it there."""
    found = await ner.graph.entity(entity_id)
    if found is None:
        raise missing("entity", entity_id)
    entity, places = found
    return EntityDetail(
        id=entity.id,
        name=entity.name,
        type=entity.type,
        mentions=[PlaceInfo.model_validate(p) for p in places],
    )


def _asked(body: Extract) -> Ask:
    shape = FACTS if body.relations else DEFAULT
    return Ask(text=body.text, shape=shape, relations=body.relations, max_tokens=body.tokens)


def _extracted(extraction: Extraction, response: Response) -> ExtractAnswer:
    return ExtractAnswer(
        entities=[MentionInfo.model_validate(m) for m in extraction.grounded.mentions],
        rejected=list(extraction.grounded.rejected),
        relations=[FactInfo.model_validate(f) for f in extraction.grounded.facts],
        rejected_relations=[RefusedInfo.model_validate(r) for r in extraction.grounded.refused],
        llm=told(response, extraction.answer),
    )
