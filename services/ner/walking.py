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
    return Part(nodes=shown, relations=between(c, [n.id for n in shown]), is_cut=len(nodes) > limit)


def paths(c: Connection, workspace: str, one: int, other: int, longest: int, limit: int) -> list[list[Relation]] | None:
    """The shortest ways from one to the other, each as its relations in order; None when one of them is not there."""
    start, goal = root_of(c, workspace, one), root_of(c, workspace, other)
    if start is None or goal is None:
        return None
    ahead, back = _depths(c, start, (longest + 1) // 2), _depths(c, goal, longest // 2)
    length = min((ahead[n] + back[n] for n in ahead.keys() & back.keys()), default=0)
    if length == 0:
        return []
    half = min(length, (longest + 1) // 2)
    middle = sorted(n for n in ahead.keys() & back.keys() if (ahead[n], back[n]) == (half, length - half))[:limit]
    depth = _towards(c, middle, ahead, limit)
    depth |= {n: length - far for n, far in _towards(c, middle, back, limit).items()}
    found = between(c, sorted(depth))
    return [way for way, _ in zip(_ways(start, goal, found, depth), range(limit), strict=False)]


def _towards(c: Connection, middle: Sequence[int], depths: Mapping[int, int], most: int) -> dict[int, int]:
    """From where two searches meet back to where one began: entities that are on a shortest way, with their depth.

    `most` of each depth are enough for as many ways, for each of them is on one.
    """
    found: dict[int, int] = {}
    level = list(middle)
    while level:
        found |= {n: depths[n] for n in level}
        nearer = depths[level[0]] - 1
        level = sorted(n for n in _beside(c, level) if depths.get(n) == nearer)[:most]
    return found


def _beside(c: Connection, entities: Sequence[int]) -> set[int]:
    """The entities that one relation joins with one of `entities`."""
    reached = set()
    for here, there in ((RELATION.c.subject, RELATION.c.object), (RELATION.c.object, RELATION.c.subject)):
        name, end = ENTITY.alias("name"), ENTITY.alias("end_name")
        query = (
            select(end.c.root)
            .select_from(name)
            .join(RELATION, here == name.c.id)
            .join(end, end.c.id == there)
            .where(name.c.root.in_(entities))
        )
        reached |= set(c.scalars(query))
    return reached


def between(c: Connection, entities: Sequence[int]) -> list[Relation]:
    """All facts that join two of `entities`."""
    subject, object, query = facts()
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
    return Part(nodes=nodes, relations=between(c, [n.id for n in nodes]), is_cut=len(rows) > limit)


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
    """Each way that goes one deeper with every relation, among entities that are on one."""
    if start == goal:
        yield []
        return
    for step in relations:
        for here, there in ((step.subject.id, step.object.id), (step.object.id, step.subject.id)):
            if here == start and depth[there] == depth[start] + 1:
                for rest in _ways(there, goal, relations, depth):
                    yield [step, *rest]
