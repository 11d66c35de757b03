"""NER's pages of schemas: what a reading may look for, one's own kept as JSON and forgotten."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError

from services.ner.api_shapes import Name
from services.ner.schemas_graph import ShapeBody
from services.ner.seen import Seen, refusals
from services.ner.shape import BUILT_IN
from services.ner.shapes import shape_of
from services.ner.store import Graph
from services.pages.forms import fields, parsed
from services.pages.rendering import go, page
from services.web.page_paths import PAGES
from services.web.problems import Problem, missing, of_validation

SCHEMAS = f"{PAGES}/schemas"
BEGINNING: dict[str, Any] = {
    "entity_types": ["ship", "port"],
    "predicates": [{"name": "calls_at", "subjects": ["ship"], "objects": ["port"]}],
    "is_open": False,
}


def router() -> APIRouter:
    """The page, and what its forms do."""
    routes = APIRouter(prefix=SCHEMAS)
    add = routes.add_api_route
    add("", schemas, methods=["GET"])
    add("", keep, methods=["POST"])
    add("/{name}/delete", confirm, methods=["GET"])
    add("/{name}/delete", delete, methods=["POST"])
    return routes


async def schemas(request: Request, graph: Seen) -> Response:
    """The built-in ones, then one's own, and a form for another."""
    return await _listed(request, graph, {"name": "", "body": json.dumps(BEGINNING, indent=2)})


async def keep(request: Request, graph: Seen) -> Response:
    """Kept under its name as the API keeps it; what is wrong is told beside what was typed."""
    sent = await fields(request)
    given = {"name": sent.get("name", "").strip(), "body": sent.get("body", "")}
    try:
        body = _body(given["body"])
        named = parsed(_Named, {**body, "name": given["name"]})
        shape = shape_of({**named.model_dump(exclude={"name"}), "name": named.name})
        with refusals():
            await graph.keep_shape(shape)
    except RequestValidationError as exc:
        return await _listed(request, graph, given, of_validation(exc))
    except Problem as exc:
        return await _listed(request, graph, given, exc)
    return go(request, SCHEMAS)


async def confirm(request: Request, name: Name, graph: Seen) -> Response:
    """Asks before a schema is forgotten."""
    shape = await graph.shape(name)
    if shape is None or name in BUILT_IN:
        raise missing("schema of one's own", name)
    return page(request, "schema_delete.html", shape=shape)


async def delete(request: Request, name: Name, graph: Seen) -> Response:
    """What was read with it stays."""
    with refusals():
        if not await graph.delete_shape(name):
            raise missing("schema", name)
    return go(request, SCHEMAS)


class _Named(ShapeBody):
    name: Name


def _body(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Problem(422, "json-invalid", f"the schema is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise Problem(422, "json-invalid", "the schema is not a JSON object")
    return found


async def _listed(request: Request, graph: Graph, given: dict[str, str], problem: Problem | None = None) -> Response:
    status = 200 if problem is None else problem.status_code
    shapes = [(shape, shape.name in BUILT_IN) for shape in await graph.shapes()]
    return page(request, "schemas.html", status=status, shapes=shapes, given=given, problem=problem)
