"""The shapes of a workspace: kept by name, beside the built-in ones, which nobody can change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from services.ner.graph import GraphError
from services.ner.shape import BUILT_IN, Predicate, Shape
from services.ner.tables import SHAPE

MOST = 100


def shape_of(body: Mapping[str, Any]) -> Shape:
    """A shape from its JSON."""
    types, predicates = tuple(body["entity_types"]), tuple(_predicate(p) for p in body["predicates"])
    return Shape(**{**body, "entity_types": types, "predicates": predicates})


def get(c: Connection, workspace: str, name: str) -> Shape | None:
    if name in BUILT_IN:
        return BUILT_IN[name]
    body = c.scalar(select(SHAPE.c.body).where(SHAPE.c.workspace == workspace, SHAPE.c.name == name))
    return None if body is None else shape_of(json.loads(body))


def every(c: Connection, workspace: str) -> list[Shape]:
    """The built-in ones, then one's own by name."""
    bodies = c.scalars(select(SHAPE.c.body).where(SHAPE.c.workspace == workspace).order_by(SHAPE.c.name))
    return [*BUILT_IN.values(), *(shape_of(json.loads(body)) for body in bodies)]


def put(c: Connection, workspace: str, shape: Shape, at: str) -> bool:
    """Keep `shape` under its name; whether it is new. What was read with another of that name stays as it is."""
    if shape.name in BUILT_IN:
        raise GraphError("built-in", f"the schema {shape.name!r} is built in; give yours another name")
    was_there = remove(c, workspace, shape.name)
    if len(every(c, workspace)) >= MOST + len(BUILT_IN):
        raise GraphError("too-many", f"a workspace keeps at most {MOST} schemas; delete one that nobody uses")
    body = json.dumps(asdict(shape), sort_keys=True)
    c.execute(insert(SHAPE).values(workspace=workspace, name=shape.name, body=body, updated_at=at))
    return not was_there


def remove(c: Connection, workspace: str, name: str) -> bool:
    """False when there is none of that name."""
    if name in BUILT_IN:
        raise GraphError("built-in", f"the schema {name!r} is built in and stays")
    return c.execute(delete(SHAPE).where(SHAPE.c.workspace == workspace, SHAPE.c.name == name)).rowcount > 0


def _predicate(body: Mapping[str, Any]) -> Predicate:
    return Predicate(name=body["name"], subjects=tuple(body["subjects"]), objects=tuple(body["objects"]))
