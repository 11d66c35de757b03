"""Walks the graph: what is around an entity, how two hang together, and all of it up to a bound. Asks no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, Connection, case, func, literal, or_, select

from services.ner.finding import facts, relation
from services.ner.graph import Node, Part, Relation
from services.ner.merging import root_of
from services.ner.tables import ENTITY, RELATION


def neighbours(c: Connection, workspace: str, entity: int, depth: int, limit: int) -> Part | None:
    """Every entity at most `depth` relations away, the nearest first, and the relations between all of them."""
    start = root_of(c, workspace, entity)
    if start is None:
        return None
    reached = _reached(start, depth)
    nearest = select(reached.c.id, func.min(reached.c.depth).label("depth")).group_by(reached.c.id).subquery()
    query = (
        select(ENTITY.c.id, ENTITY.c.name, ENTITY.c.type, nearest.c.depth)
        .join(nearest, nearest.c.id == ENTITY.c.id)
        .order_by(nearest.c.depth, ENTITY.c.id)
        .limit(limit + 1)
    )
    nodes = [Node(id=r.id, name=r.name, type=r.type, depth=r.depth) for r in c.execute(query)]
    shown = nodes[:limit]
    return Part(nodes=shown, relations=between(c, workspace, [n.id for n in shown]), is_cut=len(nodes) > limit)


def paths(c: Connection, workspace: str, one: int, other: int, longest: int, limit: int) -> list[list[Relation]] | None:
    """The shortest ways from one to the other, each as its relations in order; None when one of them is not there."""
    start, goal = root_of(c, workspace, one), root_of(c, workspace, other)
    if start is None or goal is None:
        return None
    ahead, back = _depths(c, start, longest), _depths(c, goal, longest)
    length = ahead.get(goal)
    if not length:
        return []
    on_the_way = [n for n, depth in ahead.items() if depth + back.get(n, longest + 1) == length]
    found = between(c, workspace, on_the_way)
    return [way for way, _ in zip(_ways(start, goal, found, ahead), range(limit), strict=False)]


def between(c: Connection, workspace: str, entities: Sequence[int]) -> list[Relation]:
    """All facts that join two of `entities`."""
    subject, object, query = facts(workspace)
    query = query.where(subject.c.id.in_(entities), object.c.id.in_(entities))
    grouped = query.group_by(subject.c.id, RELATION.c.predicate, object.c.id).order_by(func.min(RELATION.c.id))
    return [relation(row) for row in c.execute(grouped)]


def whole(c: Connection, workspace: str, type: str | None, limit: int) -> Part:
    """The graph up to `limit` entities, those with the most relations first."""
    name = ENTITY.alias("name")
    degree = (
        select(name.c.root.label("id"), func.count(RELATION.c.id).label("degree"))
        .select_from(name)
        .outerjoin(RELATION, or_(RELATION.c.subject == name.c.id, RELATION.c.object == name.c.id))
        .where(name.c.workspace == workspace)
        .group_by(name.c.root)
        .subquery()
    )
    query = select(ENTITY.c.id, ENTITY.c.name, ENTITY.c.type).join(degree, degree.c.id == ENTITY.c.id)
    if type is not None:
        query = query.where(ENTITY.c.type == type)
    rows = c.execute(query.order_by(degree.c.degree.desc(), ENTITY.c.id).limit(limit + 1)).all()
    nodes = [Node(id=r.id, name=r.name, type=r.type, depth=0) for r in rows[:limit]]
    return Part(nodes=nodes, relations=between(c, workspace, [n.id for n in nodes]), is_cut=len(rows) > limit)


def _depths(c: Connection, start: int, longest: int) -> dict[int, int]:
    reached = _reached(start, longest)
    query = select(reached.c.id, func.min(reached.c.depth).label("depth")).group_by(reached.c.id)
    return {int(row.id): int(row.depth) for row in c.execute(query)}


def _reached(start: int, depth: int) -> CTE:
    """(id, depth) of every entity that relations lead to in either direction, as a recursive query."""
    reached = select(literal(start).label("id"), literal(0).label("depth")).cte("reached", recursive=True)
    name, end = ENTITY.alias("step_name"), ENTITY.alias("step_end")
    across = case((RELATION.c.subject == name.c.id, RELATION.c.object), else_=RELATION.c.subject)
    step: Any = (
        select(end.c.root, reached.c.depth + 1)
        .select_from(reached)
        .join(name, name.c.root == reached.c.id)
        .join(RELATION, or_(RELATION.c.subject == name.c.id, RELATION.c.object == name.c.id))
        .join(end, end.c.id == across)
        .where(reached.c.depth < depth)
    )
    return reached.union(step)


def _ways(start: int, goal: int, relations: Sequence[Relation], depth: Mapping[int, int]) -> Iterator[list[Relation]]:
    """Each way that goes one deeper with every relation. There are no dead ends: only what is on the way is given."""
    if start == goal:
        yield []
        return
    for step in relations:
        for here, there in ((step.subject.id, step.object.id), (step.object.id, step.subject.id)):
            if here == start and depth[there] == depth[start] + 1:
                for rest in _ways(there, goal, relations, depth):
                    yield [step, *rest]
