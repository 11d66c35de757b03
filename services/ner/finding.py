"""Reads documents, entities and facts from the graph, as their merges have them now. Asks no model."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select, union

from services.ner.graph import End, EndPattern, Entity, Evidence, Found, Pattern, Place, Relation, StoredDocument
from services.ner.names import key
from services.ner.producers import Made, made_of
from services.ner.tables import DOCUMENT, ENTITY, EVIDENCE, MENTION, PRODUCER, READING, RELATION

MOST_PLACES = 1000
"""Mentions and pieces of evidence that are shown of one entity or fact."""

_MADE = tuple(READING.c[name] for name in PRODUCER)


def document(c: Connection, workspace: str, identifier: str) -> tuple[StoredDocument, list[Found]] | None:
    """The text with what was read in it, and who read it; types as they were read, whatever was merged since.

    What a person accepted is there as well, and says by whom it was found.
    """
    query = (
        select(DOCUMENT, READING.c.id.label("reading"), *_MADE)
        .join(READING, READING.c.document == DOCUMENT.c.number)
        .where(DOCUMENT.c.workspace == workspace, DOCUMENT.c.id == identifier, READING.c.accepted_by == "")
    )
    row = c.execute(query).one_or_none()
    if row is None:
        return None
    accepted = select(READING).where(READING.c.document == row.number, READING.c.accepted_by != "")
    others = {reading.id: made_of(reading) for reading in c.execute(accepted)}
    found = StoredDocument(id=row.id, text=row.text, created_at=row.created_at, producer=made_of(row))
    named = (
        select(MENTION.c.reading, MENTION.c.text, ENTITY.c.type, MENTION.c.start, MENTION.c.end)
        .join(ENTITY, ENTITY.c.id == MENTION.c.entity)
        .where(MENTION.c.reading.in_([row.reading, *others]))
        .order_by(MENTION.c.start, MENTION.c.end, ENTITY.c.type)
    )
    return found, [_found(m, others.get(m.reading)) for m in c.execute(named)]


def entities(
    c: Connection, workspace: str, q: str, type: str | None, limit: int, after: tuple[int, int] | None
) -> list[Entity]:
    """Those with `q` in one of their names, the most mentioned first; `after` is mentions and id of the last seen."""
    root, query = _entities(workspace)
    if q:
        named = ENTITY.alias("named")
        query = query.where(exists().where(named.c.root == root.c.id, named.c.key.contains(key(q), autoescape=True)))
    if type is not None:
        query = query.where(root.c.type == type)
    count = func.count(MENTION.c.start)
    if after is not None:
        query = query.having(or_(count < after[0], and_(count == after[0], root.c.id > after[1])))
    return [_entity(row) for row in c.execute(query.order_by(count.desc(), root.c.id).limit(limit))]


def entity(c: Connection, workspace: str, number: int) -> tuple[Entity, list[Entity], list[Place]] | None:
    """The entity that `number` stands for now, its names each with its own mentions, and their places."""
    root, query = _entities(workspace)
    name = ENTITY.alias("name")
    own = select(name.c.root).where(name.c.workspace == workspace, name.c.id == number).scalar_subquery()
    row = c.execute(query.where(root.c.id == own)).one_or_none()
    if row is None:
        return None
    names = (
        select(ENTITY.c.id, ENTITY.c.name, ENTITY.c.type, func.count(MENTION.c.start).label("mentions"))
        .outerjoin(MENTION, MENTION.c.entity == ENTITY.c.id)
        .where(ENTITY.c.root == row.id)
        .group_by(ENTITY.c.id)
        .order_by(ENTITY.c.id)
    )
    places = (
        select(DOCUMENT.c.id.label("document_id"), MENTION.c.text, MENTION.c.start, MENTION.c.end, *_MADE)
        .join(READING, READING.c.id == MENTION.c.reading)
        .join(DOCUMENT, DOCUMENT.c.number == READING.c.document)
        .join(ENTITY, ENTITY.c.id == MENTION.c.entity)
        .where(ENTITY.c.root == row.id)
        .order_by(DOCUMENT.c.number, MENTION.c.start, MENTION.c.end)
        .limit(MOST_PLACES)
    )
    return _entity(row), [_entity(r) for r in c.execute(names)], [_place(r) for r in c.execute(places)]


def relations(c: Connection, workspace: str, pattern: Pattern, limit: int, after: int | None) -> list[Relation]:
    """The facts that fit, the oldest first; `after` is the id of the last one seen. None joins an entity to itself."""
    subject, object, query = facts()
    query = query.where(_near(workspace, pattern.entity))
    query = _fitting(query.group_by(subject.c.id, RELATION.c.predicate, object.c.id), subject, object, pattern)
    number, count = func.min(RELATION.c.id), func.count()
    query = query.having(count >= pattern.least_evidence)
    if after is not None:
        query = query.having(number > after)
    return [relation(row) for row in c.execute(query.order_by(number).limit(limit))]


def provenance(c: Connection, workspace: str, number: int) -> tuple[Relation, list[Evidence]] | None:
    """The fact that `number` is of now, and every place that states it, whatever its names there."""
    subject, object, query = facts()
    own, s, o = RELATION.alias("own"), ENTITY.alias("own_subject"), ENTITY.alias("own_object")
    ends = (
        select(s.c.root.label("subject"), own.c.predicate, o.c.root.label("object"))
        .join(s, s.c.id == own.c.subject)
        .join(o, o.c.id == own.c.object)
        .where(own.c.workspace == workspace, own.c.id == number)
    )
    found = c.execute(ends).one_or_none()
    if found is None:
        return None
    same = and_(subject.c.id == found.subject, RELATION.c.predicate == found.predicate, object.c.id == found.object)
    row = c.execute(query.where(same).group_by(subject.c.id, RELATION.c.predicate, object.c.id)).one_or_none()
    if row is None:
        return None
    return relation(row), [_evidence(r) for r in c.execute(_places(found.subject, found.predicate, found.object))]


def facts() -> tuple[Any, Any, Select[Any]]:
    """Relations by the entities that stand for their ends now, still to be grouped, with those two.

    Of every workspace: who gives no ends of their own has to say which. To say it where ends are given would make
    SQLite walk the whole workspace instead (measured at 80,000 relations: 33 ms of CPU for 20 ends).
    """
    s, o = ENTITY.alias("s"), ENTITY.alias("o")
    subject, object = ENTITY.alias("subject_root"), ENTITY.alias("object_root")
    query = (
        select(
            func.min(RELATION.c.id).label("id"),
            RELATION.c.predicate,
            func.count().label("evidence"),
            *(end.c[n].label(f"{side}_{n}") for side, end in (("s", subject), ("o", object)) for n in _SHOWN),
        )
        .select_from(RELATION)
        .join(s, s.c.id == RELATION.c.subject)
        .join(o, o.c.id == RELATION.c.object)
        .join(subject, subject.c.id == s.c.root)
        .join(object, object.c.id == o.c.root)
        .join(EVIDENCE, EVIDENCE.c.relation == RELATION.c.id)
        .where(subject.c.id != object.c.id)
    )
    return subject, object, query


_SHOWN = ("id", "name", "type")


def relation(row: Row[Any]) -> Relation:
    """A row of `facts`."""
    return Relation(
        id=row.id,
        subject=End(id=row.s_id, name=row.s_name, type=row.s_type),
        predicate=row.predicate,
        object=End(id=row.o_id, name=row.o_name, type=row.o_type),
        evidence=row.evidence,
    )


def _fitting(query: Select[Any], subject: Any, object: Any, pattern: Pattern) -> Select[Any]:
    query = _end(_end(query, subject, pattern.subject), object, pattern.object)
    if pattern.predicates:
        query = query.where(RELATION.c.predicate.in_(pattern.predicates))
    if pattern.provider is not None or pattern.document_id is not None:
        query = query.join(READING, READING.c.id == EVIDENCE.c.reading)
    if pattern.provider is not None:
        query = query.where(READING.c.provider == pattern.provider)
    if pattern.document_id is not None:
        query = query.join(DOCUMENT, DOCUMENT.c.number == READING.c.document)
        query = query.where(DOCUMENT.c.id == pattern.document_id)
    return query


def _near(workspace: str, entity: int | None) -> ColumnElement[bool]:
    """Relations of the workspace; of one entity only, if one is given, found by its names and not one by one."""
    if entity is None:
        return RELATION.c.workspace == workspace
    own = select(ENTITY.c.root).where(ENTITY.c.workspace == workspace, ENTITY.c.id == entity).scalar_subquery()
    names = select(ENTITY.c.id).where(ENTITY.c.root == own)
    either = (select(RELATION.c.id).where(end.in_(names)) for end in (RELATION.c.subject, RELATION.c.object))
    return RELATION.c.id.in_(union(*either))


def _end(query: Select[Any], end: Any, pattern: EndPattern) -> Select[Any]:
    named = ENTITY.alias()
    if pattern.id is not None:
        query = query.where(end.c.id == select(named.c.root).where(named.c.id == pattern.id).scalar_subquery())
    if pattern.type is not None:
        query = query.where(end.c.type == pattern.type)
    if pattern.name:
        part = named.c.key.contains(key(pattern.name), autoescape=True)
        query = query.where(exists().where(named.c.root == end.c.id, part))
    return query


def _places(subject: int, predicate: str, object: int) -> Select[Any]:
    s, o = ENTITY.alias("s"), ENTITY.alias("o")
    quote = func.substr(DOCUMENT.c.text, EVIDENCE.c.start + 1, EVIDENCE.c.end - EVIDENCE.c.start)
    named = (s.c.name.label("subject"), o.c.name.label("object"))
    return (
        select(DOCUMENT.c.id.label("document_id"), quote.label("quote"), EVIDENCE.c.start, EVIDENCE.c.end)
        .add_columns(*named, *_MADE)
        .join(READING, READING.c.id == EVIDENCE.c.reading)
        .join(DOCUMENT, DOCUMENT.c.number == READING.c.document)
        .join(RELATION, RELATION.c.id == EVIDENCE.c.relation)
        .join(s, s.c.id == RELATION.c.subject)
        .join(o, o.c.id == RELATION.c.object)
        .where(s.c.root == subject, RELATION.c.predicate == predicate, o.c.root == object)
        .order_by(DOCUMENT.c.number, EVIDENCE.c.start, EVIDENCE.c.end, RELATION.c.id)
        .limit(MOST_PLACES)
    )


def _entities(workspace: str) -> tuple[Any, Select[Any]]:
    root, name = ENTITY.alias("root"), ENTITY.alias("member")
    query = (
        select(root.c.id, root.c.name, root.c.type, func.count(MENTION.c.start).label("mentions"))
        .select_from(root)
        .join(name, name.c.root == root.c.id)
        .join(MENTION, MENTION.c.entity == name.c.id)
        .where(root.c.workspace == workspace)
        .group_by(root.c.id)
    )
    return root, query


def _found(row: Row[Any], producer: Made | None) -> Found:
    return Found(text=row.text, type=row.type, start=row.start, end=row.end, producer=producer)


def _entity(row: Row[Any]) -> Entity:
    return Entity(id=row.id, name=row.name, type=row.type, mentions=row.mentions)


def _place(row: Row[Any]) -> Place:
    return Place(document_id=row.document_id, text=row.text, start=row.start, end=row.end, producer=made_of(row))


def _evidence(row: Row[Any]) -> Evidence:
    return Evidence(
        document_id=row.document_id,
        quote=row.quote,
        start=row.start,
        end=row.end,
        subject=row.subject,
        object=row.object,
        producer=made_of(row),
    )
