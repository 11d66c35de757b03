"""Keeps homonyms apart: some places of a name become another entity of the same name and type, and back again.

A split moves mentions, and the facts whose quote means them, inside the caller's transaction. Its places are kept, so a
document that is read anew finds both things again. Two that were split are never merged while the split stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, or_, select, update

from services.ner.graph import End, GraphError, Split, Wanted
from services.ner.names import APART, key, shared
from services.ner.naming import keep_apart, not_one
from services.ner.tables import DOCUMENT, ENTITY, EVIDENCE, MENTION, MERGE, READING, RELATION, SPLIT
from services.ner.tables import SPLIT_PLACE as PLACE
from services.ner.writing import relation

_SHOWN = ("id", "name", "type")


def split(c: Connection, workspace: str, entity: int, wanted: Sequence[Wanted], label: str, at: str) -> Split:
    """What is at the wanted places becomes an entity of its own, told apart by `label`. Raises `GraphError`."""
    source = c.execute(select(ENTITY).where(ENTITY.c.workspace == workspace, ENTITY.c.id == entity)).one_or_none()
    if source is None:
        raise GraphError("not-found", f"no entity {entity}")
    places = c.execute(_places(entity)).all()
    chosen = _chosen(entity, places, wanted)
    if len(chosen) == len(places):
        raise GraphError("nothing-left", f"these are all mentions of {entity}; leave one to it")
    made = _made(c, source, label)
    row = {"workspace": workspace, "source": entity, "made": made, "label": label, "at": at}
    number = _new_id(c, insert(SPLIT).values(row))
    kept = [{"split": number, "document": p.document, "start": p.start, "end": p.end} for p in chosen]
    c.execute(insert(PLACE), kept)
    for p in chosen:
        c.execute(update(MENTION).where(*_mention(entity, p)).values(entity=made))
    not_one(c, workspace, entity, made)
    _move_facts(c, workspace, entity, made, only_meant=True)
    return one_split(c, workspace, number)


def undo(c: Connection, workspace: str, number: int) -> Split:
    """The split as it was; both are one again, with what was read since. Raises `GraphError`."""
    found = one_split(c, workspace, number)
    made = c.execute(select(ENTITY).where(ENTITY.c.id == found.made.id)).one()
    stands = and_(MERGE.c.undone_at.is_(None), or_(MERGE.c.loser == made.id, MERGE.c.winner == made.id))
    if c.scalar(select(exists().where(stands))):
        raise GraphError("merged", f"entity {made.id} is merged with another one; undo that merge first")
    label = c.execute(select(SPLIT.c.label).where(SPLIT.c.id == number)).scalar_one()
    same_name = (ENTITY.c.workspace == workspace, ENTITY.c.key == shared(made.key), ENTITY.c.type == made.type)
    into = found.source.id if found.source else c.scalar(select(ENTITY.c.id).where(*same_name))
    c.execute(delete(SPLIT).where(SPLIT.c.id == number))
    if into is None:  # what it was split off is named nowhere any more: it takes the name
        plain = {"name": _plain(made.name, label), "key": shared(made.key)}
        c.execute(update(ENTITY).where(ENTITY.c.id == made.id).values(plain))
        keep_apart(c, workspace, made.id, plain["key"], made.type)
        return found
    for p in c.execute(_places(made.id)).all():
        is_there = select(exists().where(*_mention(into, p)))
        act = delete(MENTION) if c.scalar(is_there) else update(MENTION).values(entity=into)
        c.execute(act.where(*_mention(made.id, p)))
    _move_facts(c, workspace, made.id, into, only_meant=False)
    _take_splits(c, workspace, made.id, into)
    c.execute(delete(ENTITY).where(ENTITY.c.id == made.id))
    return found


def splits(c: Connection, workspace: str, limit: int, before: int | None) -> list[Split]:
    """Those that stand, the newest first; `before` is the id of the last one seen."""
    query = _splits().where(SPLIT.c.workspace == workspace).order_by(SPLIT.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(SPLIT.c.id < before)
    return [_split(row) for row in c.execute(query)]


def one_split(c: Connection, workspace: str, number: int) -> Split:
    """Raises `GraphError` where there is none."""
    row = c.execute(_splits().where(SPLIT.c.workspace == workspace, SPLIT.c.id == number)).one_or_none()
    if row is None:
        raise GraphError("not-found", f"no split {number}")
    return _split(row)


def _chosen(entity: int, places: Sequence[Row[Any]], wanted: Sequence[Wanted]) -> list[Row[Any]]:
    """The mentions that are meant, each once."""
    chosen: dict[tuple[int, int, int], Row[Any]] = {}
    there: dict[str, list[Row[Any]]] = defaultdict(list)
    for p in places:
        there[p.id].append(p)
    for want in wanted:
        found = [p for p in there.get(want.document_id, ()) if want.start in (None, p.start)]
        if not found:
            where = f"document {want.document_id}" + (f" at {want.start}" if want.start is not None else "")
            raise GraphError("not-its-mention", f"{where} does not name entity {entity} by its own name")
        chosen |= {(p.document, p.start, p.end): p for p in found}
    return list(chosen.values())


def _made(c: Connection, source: Row[Any], label: str) -> int:
    """A new entity of the source's name and type; its key begins with that of the name, so searches find both."""
    earlier = c.execute(select(SPLIT.c.label).where(SPLIT.c.made == source.id)).scalar_one_or_none()
    name = _plain(source.name, earlier) if earlier is not None else source.name
    row = {"workspace": source.workspace, "name": f"{name} ({label})", "type": source.type, "root": 0}
    made = _new_id(c, insert(ENTITY).values(**row, key=shared(source.key) + APART, skeleton=source.skeleton))
    own = f"{shared(source.key)}{APART}{made} {key(label)}"
    c.execute(update(ENTITY).where(ENTITY.c.id == made).values(root=made, key=own))
    return made


def _plain(name: str, label: str) -> str:
    return name.removesuffix(f" ({label})")


def _move_facts(c: Connection, workspace: str, old: int, new: int, *, only_meant: bool) -> None:
    """Evidence of `old` becomes that of `new`; with `only_meant` where a quote's first mention of both is of `new`."""
    query = (
        select(RELATION, EVIDENCE.c.reading, EVIDENCE.c.start, EVIDENCE.c.end)
        .join(EVIDENCE, EVIDENCE.c.relation == RELATION.c.id)
        .where(or_(RELATION.c.subject == old, RELATION.c.object == old))
    )
    for e in c.execute(query).all():
        inside = (MENTION.c.reading == e.reading, MENTION.c.start >= e.start, MENTION.c.end <= e.end)
        meant = select(MENTION.c.entity).where(*inside, MENTION.c.entity.in_([old, new])).order_by(MENTION.c.start)
        if only_meant and c.scalar(meant.limit(1)) != new:
            continue
        subject, object = (new if end == old else end for end in (e.subject, e.object))
        here = and_(EVIDENCE.c.reading == e.reading, EVIDENCE.c.start == e.start, EVIDENCE.c.end == e.end)
        c.execute(delete(EVIDENCE).where(here, EVIDENCE.c.relation == e.id))
        target = relation(c, workspace, subject, e.predicate, object)
        if not c.scalar(select(exists().where(here, EVIDENCE.c.relation == target))):
            row = {"relation": target, "reading": e.reading, "start": e.start, "end": e.end}
            c.execute(insert(EVIDENCE).values(row))
    stated = exists().where(EVIDENCE.c.relation == RELATION.c.id)
    c.execute(delete(RELATION).where(or_(RELATION.c.subject == old, RELATION.c.object == old), ~stated))


def _take_splits(c: Connection, workspace: str, old: int, new: int) -> None:
    """What was split off `old` is kept apart from `new`, which has its mentions now."""
    for other in c.scalars(select(SPLIT.c.made).where(SPLIT.c.source == old)).all():
        not_one(c, workspace, new, other)
    c.execute(update(SPLIT).where(SPLIT.c.source == old).values(source=new))


def _places(entity: int) -> Select[Any]:
    return (
        select(MENTION.c.reading, MENTION.c.start, MENTION.c.end, DOCUMENT.c.number.label("document"), DOCUMENT.c.id)
        .join(READING, READING.c.id == MENTION.c.reading)
        .join(DOCUMENT, DOCUMENT.c.number == READING.c.document)
        .where(MENTION.c.entity == entity)
    )


def _mention(entity: int, place: Row[Any]) -> tuple[Any, ...]:
    at = (MENTION.c.reading == place.reading, MENTION.c.start == place.start, MENTION.c.end == place.end)
    return (*at, MENTION.c.entity == entity)


def _splits() -> Select[Any]:
    source, made = ENTITY.alias("source"), ENTITY.alias("made")
    places = select(func.count()).where(PLACE.c.split == SPLIT.c.id).scalar_subquery()
    ends = (("source", source), ("made", made))
    shown = (end.c[name].label(f"{side}_{name}") for side, end in ends for name in _SHOWN)
    return (
        select(SPLIT.c.id, SPLIT.c.at, places.label("places"), *shown)
        .select_from(SPLIT)
        .join(made, made.c.id == SPLIT.c.made)
        .outerjoin(source, source.c.id == SPLIT.c.source)
    )


def _split(row: Row[Any]) -> Split:
    source = None if row.source_id is None else End(id=row.source_id, name=row.source_name, type=row.source_type)
    made = End(id=row.made_id, name=row.made_name, type=row.made_type)
    return Split(id=row.id, source=source, made=made, places=row.places, at=row.at)


def _new_id(c: Connection, statement: Any) -> int:
    made = c.execute(statement).inserted_primary_key
    assert made is not None
    return int(made[0])
