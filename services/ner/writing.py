"""Puts a reading of a document into the graph, and takes a document out again, inside the caller's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, insert, select, update

from services.ner.grounding import Fact, Mention, Name
from services.ner.names import APART, key, shared, skeleton
from services.ner.resemblance import nearest
from services.ner.tables import (
    CANDIDATE,
    DOCUMENT,
    ENTITY,
    EVIDENCE,
    MENTION,
    READING,
    REJECTION,
    RELATION,
    SPLIT,
    SPLIT_PLACE,
)
from services.web.provenance import Producer


def document_id(text: str) -> str:
    """The same text has the same id, here and on every other machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def pair_of(one: tuple[str, str], other: tuple[str, str]) -> str:
    """Two names, each a key and a type, as a rejection keeps them: without the names, either way round the same."""
    return hashlib.sha256(repr(sorted((one, other))).encode()).hexdigest()


def put(
    c: Connection,
    workspace: str,
    text: str,
    mentions: Sequence[Mention],
    facts: Sequence[Fact],
    producer: Producer,
    at: str,
) -> tuple[str, bool]:
    """The document's `created_at` and whether it is new. What was found now takes the place of what was before."""
    number, created_at = _document(c, workspace, document_id(text))
    touched = _forget(c, number) if number is not None else (set(), set())
    is_new = number is None
    if number is None:
        row = {"workspace": workspace, "id": document_id(text), "text": text, "created_at": at}
        number, created_at = _new_id(c, insert(DOCUMENT).values(row)), at
    reading = _new_id(c, insert(READING).values(document=number, **producer.model_dump()))
    entities = _entities(c, workspace, mentions)
    meant = Meant(entities, mentions, {} if is_new else _split_off(c, number))
    _insert_each_once(c, MENTION, ({**_place(m, reading), "entity": meant.by(m)} for m in mentions))
    stated = []
    for fact in facts:
        subject, object = meant.within(fact, fact.subject), meant.within(fact, fact.object)
        fact_id = relation(c, workspace, subject, fact.predicate, object)
        stated.append({"relation": fact_id, "reading": reading, "start": fact.start, "end": fact.end})
    _insert_each_once(c, EVIDENCE, stated)
    _sweep(c, touched[0], {*touched[1], *(entities.values() if meant.split_off else ())})
    return created_at, is_new


def remove(c: Connection, workspace: str, identifier: str) -> bool:
    """Retract the document and what nothing else supports. False when there is none."""
    number, _ = _document(c, workspace, identifier)
    if number is None:
        return False
    touched = _forget(c, number)
    c.execute(delete(DOCUMENT).where(DOCUMENT.c.number == number))
    _sweep(c, *touched)
    return True


def _document(c: Connection, workspace: str, identifier: str) -> tuple[int | None, str]:
    query = select(DOCUMENT.c.number, DOCUMENT.c.created_at).where(
        DOCUMENT.c.workspace == workspace, DOCUMENT.c.id == identifier
    )
    row = c.execute(query).one_or_none()
    return (None, "") if row is None else (int(row.number), str(row.created_at))


def _forget(c: Connection, document: int) -> tuple[set[int], set[int]]:
    """Drop what was found in the document; the relations and entities that may have lost their last support."""
    readings = select(READING.c.id).where(READING.c.document == document)
    relations = set(c.scalars(select(EVIDENCE.c.relation).where(EVIDENCE.c.reading.in_(readings))))
    entities = set(c.scalars(select(MENTION.c.entity).where(MENTION.c.reading.in_(readings))))
    c.execute(delete(READING).where(READING.c.document == document))
    return relations, entities


def _sweep(c: Connection, relations: Iterable[int], entities: Iterable[int]) -> None:
    """Facts without evidence go, and entities go when none of their names is mentioned any more.

    A name that is not mentioned stays while it is merged with one that is: a person said that they are one.
    """
    stated = exists().where(EVIDENCE.c.relation == RELATION.c.id)
    c.execute(delete(RELATION).where(RELATION.c.id.in_(list(relations)), ~stated))
    drop_unnamed(c, entities)


def drop_unnamed(c: Connection, entities: Iterable[int]) -> None:
    """Of `entities`, those go whose names are mentioned nowhere any more, each with all its names."""
    member = ENTITY.alias()
    mentioned = exists().where(MENTION.c.entity == member.c.id, member.c.root == ENTITY.c.root)
    roots = set(c.scalars(select(ENTITY.c.root).where(ENTITY.c.id.in_(list(entities)), ~mentioned)))
    c.execute(delete(ENTITY).where(ENTITY.c.root.in_(list(roots))))


def _entities(c: Connection, workspace: str, mentions: Sequence[Mention]) -> dict[tuple[str, str], int]:
    """Each name's entity; one that was not there is new, and the names that it is like are its candidates."""
    found: dict[tuple[str, str], int] = {}
    others: dict[str, list[tuple[int, str, str]]] = {}
    for mention in mentions:
        named = _named(mention)
        if named in found:
            continue
        query = select(ENTITY.c.id).where(
            ENTITY.c.workspace == workspace, ENTITY.c.key == named[0], ENTITY.c.type == named[1]
        )
        known = c.scalar(query)
        if known is None:
            of_type = others.get(mention.type) or _others(c, workspace, mention.type)
            known = _new_entity(c, workspace, mention, of_type)
            others[mention.type] = [*of_type, (known, mention.text, skeleton(mention.text))]
        found[named] = int(known)
    return found


def _new_entity(c: Connection, workspace: str, mention: Mention, others: Sequence[tuple[int, str, str]]) -> int:
    row = {
        "workspace": workspace,
        "name": mention.text,
        "type": mention.type,
        "key": key(mention.text),
        "skeleton": skeleton(mention.text),
        "root": 0,
    }
    entity = _new_id(c, insert(ENTITY).values(row))
    c.execute(update(ENTITY).where(ENTITY.c.id == entity).values(root=entity))
    apart = keep_apart(c, workspace, entity, key(mention.text), mention.type)
    names = {identifier: name for identifier, name, _ in others if identifier not in apart}
    for other, like in nearest(mention.text, [each for each in others if each[0] in names]):
        pair = pair_of((key(mention.text), mention.type), (key(names[other]), mention.type))
        rejected = c.scalar(select(REJECTION.c.at).where(REJECTION.c.workspace == workspace, REJECTION.c.pair == pair))
        candidate = {"workspace": workspace, "low": other, "high": entity, "reason": like.reason, "score": like.score}
        c.execute(insert(CANDIDATE).values(**candidate, rejected=rejected is not None))
    return entity


def keep_apart(c: Connection, workspace: str, entity: int, plain: str, type: str) -> set[int]:
    """What was split off the name of key `plain`, which is `entity` now: its splits stand between them again."""
    its_own = ENTITY.c.key.startswith(plain + APART, autoescape=True)
    query = select(ENTITY.c.id).where(ENTITY.c.workspace == workspace, ENTITY.c.type == type, its_own)
    apart = set(c.scalars(query.where(ENTITY.c.id != entity)))
    c.execute(update(SPLIT).where(SPLIT.c.source.is_(None), SPLIT.c.made.in_(apart)).values(source=entity))
    for other in apart:
        not_one(c, workspace, entity, other)
    return apart


def not_one(c: Connection, workspace: str, one: int, other: int) -> None:
    """No candidate ever joins the two: a person split them."""
    pair = {"low": min(one, other), "high": max(one, other)}
    if not c.execute(update(CANDIDATE).filter_by(**pair).values(rejected=True)).rowcount:
        row = {"workspace": workspace, **pair, "reason": "split", "score": 0.0, "rejected": True}
        c.execute(insert(CANDIDATE).values(row))


def _others(c: Connection, workspace: str, type: str) -> list[tuple[int, str, str]]:
    query = select(ENTITY.c.id, ENTITY.c.name, ENTITY.c.skeleton).where(
        ENTITY.c.workspace == workspace, ENTITY.c.type == type
    )
    return [(int(row.id), str(row.name), str(row.skeleton)) for row in c.execute(query)]


@dataclass(frozen=True, slots=True)
class Meant:
    """Which entity each mention means: that of its name, or at its place another one that a person split off."""

    entities: Mapping[tuple[str, str], int]
    mentions: Sequence[Mention]
    split_off: Mapping[tuple[int, int, str, str], int]

    def by(self, mention: Mention) -> int:
        named = _named(mention)
        return self.split_off.get((mention.start, mention.end, *named), self.entities[named])

    def within(self, fact: Fact, end: Name) -> int:
        """What an end of a fact means: as the first mention of that name in its quote does."""
        named = _named(end)
        if self.split_off:
            inside = [m for m in self.mentions if fact.start <= m.start and m.end <= fact.end and _named(m) == named]
            if inside:
                return self.by(min(inside, key=lambda m: m.start))
        return self.entities[named]


def _split_off(c: Connection, document: int) -> dict[tuple[int, int, str, str], int]:
    """(start, end, key, type) of each place in the document that means another thing of that name -> its entity."""
    query = (
        select(SPLIT_PLACE.c.start, SPLIT_PLACE.c.end, SPLIT.c.made, ENTITY.c.key, ENTITY.c.type)
        .join(SPLIT, SPLIT.c.id == SPLIT_PLACE.c.split)
        .join(ENTITY, ENTITY.c.id == SPLIT.c.made)
        .where(SPLIT_PLACE.c.document == document)
        .order_by(SPLIT.c.id)
    )
    return {(row.start, row.end, shared(row.key), row.type): row.made for row in c.execute(query)}


def relation(c: Connection, workspace: str, subject: int, predicate: str, object: int) -> int:
    """The number of the fact, made where there is none."""
    row = {"workspace": workspace, "subject": subject, "predicate": predicate, "object": object}
    query = select(RELATION.c.id).filter_by(subject=subject, predicate=predicate, object=object)
    known = c.scalar(query)
    return int(known) if known is not None else _new_id(c, insert(RELATION).values(row))


def _new_id(c: Connection, statement: Any) -> int:
    made = c.execute(statement).inserted_primary_key
    assert made is not None
    return int(made[0])


def _named(name: Mention | Name) -> tuple[str, str]:
    return key(name.text), name.type


def _place(mention: Mention, reading: int) -> dict[str, Any]:
    return {"reading": reading, "start": mention.start, "end": mention.end, "text": mention.text}


def _insert_each_once(c: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """All at once, because a short name may stand in a long text ten thousand times; a repeated row is one."""
    keys = [column.name for column in table.primary_key]
    distinct = {tuple(row[k] for k in keys): row for row in rows}
    if distinct:
        c.execute(insert(table), list(distinct.values()))
