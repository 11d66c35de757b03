"""Finds or makes the entities that names stand for, and says which one each mention means.

Inside the caller's transaction. Whoever found a name, it goes this way: compared by key, and its look-alikes told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, insert, select, update

from services.ner.grounding import Fact, Mention, Name
from services.ner.names import APART, key, shared, skeleton
from services.ner.resemblance import nearest
from services.ner.tables import CANDIDATE, ENTITY, MENTION, REJECTION, SPLIT, SPLIT_PLACE


def pair_of(one: tuple[str, str], other: tuple[str, str]) -> str:
    """Two names, each a key and a type, as a rejection keeps them: without the names, either way round the same."""
    return hashlib.sha256(repr(sorted((one, other))).encode()).hexdigest()


def entities_of(c: Connection, workspace: str, mentions: Sequence[Mention]) -> dict[tuple[str, str], int]:
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
    entity = new_id(c, insert(ENTITY).values(row))
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


def split_off(c: Connection, document: int) -> dict[tuple[int, int, str, str], int]:
    """(start, end, key, type) of each place in the document that means another thing of that name -> its entity."""
    query = (
        select(SPLIT_PLACE.c.start, SPLIT_PLACE.c.end, SPLIT.c.made, ENTITY.c.key, ENTITY.c.type)
        .join(SPLIT, SPLIT.c.id == SPLIT_PLACE.c.split)
        .join(ENTITY, ENTITY.c.id == SPLIT.c.made)
        .where(SPLIT_PLACE.c.document == document)
        .order_by(SPLIT.c.id)
    )
    return {(row.start, row.end, shared(row.key), row.type): row.made for row in c.execute(query)}


def drop_unnamed(c: Connection, entities: Iterable[int]) -> None:
    """Of `entities`, those go whose names are mentioned nowhere any more, each with all its names."""
    member = ENTITY.alias()
    mentioned = exists().where(MENTION.c.entity == member.c.id, member.c.root == ENTITY.c.root)
    roots = set(c.scalars(select(ENTITY.c.root).where(ENTITY.c.id.in_(list(entities)), ~mentioned)))
    c.execute(delete(ENTITY).where(ENTITY.c.root.in_(list(roots))))


def new_id(c: Connection, statement: Any) -> int:
    """The number of the row that `statement` inserts."""
    made = c.execute(statement).inserted_primary_key
    assert made is not None
    return int(made[0])


def _named(name: Mention | Name) -> tuple[str, str]:
    return key(name.text), name.type


def placed(mention: Mention, reading: int) -> dict[str, Any]:
    """A row of `MENTION`, but for what it means."""
    return {"reading": reading, "start": mention.start, "end": mention.end, "text": mention.text}


def insert_each_once(c: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """All at once, because a short name may stand in a long text ten thousand times; a repeated row is one."""
    keys = [column.name for column in table.primary_key]
    distinct = {tuple(row[k] for k in keys): row for row in rows}
    if distinct:
        c.execute(insert(table), list(distinct.values()))
