"""NER's HTTP face for schemas: what a reading looks for, by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from services.ner.schemas_graph import ShapeBody, ShapeInfo, ShapeList, Slug
from services.ner.seen import Seen, refusals
from services.ner.shape import BUILT_IN, Shape
from services.ner.shapes import shape_of
from services.web.problems import missing

Name = Annotated[Slug, Path()]


def router() -> APIRouter:
    """The routes of schemas."""
    routes = APIRouter(prefix="/v1/schemas", tags=["schemas"])
    add = routes.add_api_route
    add("", list_schemas, methods=["GET"], summary="The built-in schemas and one's own")
    add("/{name}", get_schema, methods=["GET"], summary="A schema")
    made: dict[int | str, dict[str, Any]] = {201: {"model": ShapeInfo, "description": "Kept under a new name"}}
    add("/{name}", put_schema, methods=["PUT"], responses=made, summary="Keep a schema under a name")
    add("/{name}", delete_schema, methods=["DELETE"], status_code=204, summary="Forget a schema")
    return routes


async def list_schemas(graph: Seen) -> ShapeList:
    """All of them; a workspace keeps at most a hundred."""
    return ShapeList(schemas=[_told(shape) for shape in await graph.shapes()])


async def get_schema(name: Name, graph: Seen) -> ShapeInfo:
    """What it looks for."""
    shape = await graph.shape(name)
    if shape is None:
        raise missing("schema", name)
    return _told(shape)


async def put_schema(name: Name, body: ShapeBody, graph: Seen, response: Response) -> ShapeInfo:
    """201 for a new name, 200 for a known one. What was read with another schema of that name stays as it is."""
    shape = shape_of({"name": name, **body.model_dump()})
    with refusals():
        is_new = await graph.keep_shape(shape)
    response.status_code = 201 if is_new else 200
    return _told(shape)


async def delete_schema(name: Name, graph: Seen) -> None:
    """What was read with it stays."""
    with refusals():
        if not await graph.delete_shape(name):
            raise missing("schema", name)


def _told(shape: Shape) -> ShapeInfo:
    body = json.dumps({**asdict(shape), "is_built_in": shape.name in BUILT_IN})
    return ShapeInfo.model_validate_json(body)
