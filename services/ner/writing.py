"""Puts a reading of a document into the graph, and takes a document out again, inside the caller's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, exists, insert, select

from services.ner import judging
from services.ner.grounding import Fact, Mention
from services.ner.name_candidates import Sighting
from services.ner.naming import Meant, drop_unnamed, entities_of, insert_each_once, new_id, placed, split_off
from services.ner.producers import Made, columns
from services.ner.tables import DOCUMENT, EVIDENCE, MENTION, READING, RELATION


def document_id(text: str) -> str:
    """The same text has the same id, here and on every other machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def put(
    c: Connection,
    workspace: str,
    text: str,
    mentions: Sequence[Mention],
    facts: Sequence[Fact],
    producer: Made,
    at: str,
    seen: tuple[Sequence[Sighting], Made] | None = None,
) -> tuple[str, bool]:
    """The document's `created_at` and whether it is new. What was found now takes the place of what was before.

    Accepted candidates stay. `seen` are the candidates of now, and who saw them; None leaves those of before.
    """
    number, created_at = _document(c, workspace, document_id(text))
    touched = _forget(c, number) if number is not None else (set(), set())
    is_new = number is None
    if number is None:
        row = {"workspace": workspace, "id": document_id(text), "text": text, "created_at": at}
        number, created_at = new_id(c, insert(DOCUMENT).values(row)), at
    reading = new_id(c, insert(READING).values(document=number, **columns(producer)))
    entities = entities_of(c, workspace, mentions)
    meant = Meant(entities, mentions, {} if is_new else split_off(c, number))
    insert_each_once(c, MENTION, ({**placed(m, reading), "entity": meant.by(m)} for m in mentions))
    stated = []
    for fact in facts:
        subject, object = meant.within(fact, fact.subject), meant.within(fact, fact.object)
        fact_id = relation(c, workspace, subject, fact.predicate, object)
        stated.append({"relation": fact_id, "reading": reading, "start": fact.start, "end": fact.end})
    insert_each_once(c, EVIDENCE, stated)
    if seen is not None:
        judging.propose(c, number, *seen)
    accepted = set[int]() if is_new else judging.renew(c, workspace, number)
    _sweep(c, touched[0], {*touched[1], *accepted, *(entities.values() if meant.split_off else ())})
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
    c.execute(delete(MENTION).where(MENTION.c.reading.in_(readings)))
    c.execute(delete(READING).where(READING.c.document == document, READING.c.accepted_by == ""))
    return relations, entities


def _sweep(c: Connection, relations: Iterable[int], entities: Iterable[int]) -> None:
    """Facts without evidence go, and entities go when none of their names is mentioned any more.

    A name that is not mentioned stays while it is merged with one that is: a person said that they are one.
    """
    stated = exists().where(EVIDENCE.c.relation == RELATION.c.id)
    c.execute(delete(RELATION).where(RELATION.c.id.in_(list(relations)), ~stated))
    drop_unnamed(c, entities)


def relation(c: Connection, workspace: str, subject: int, predicate: str, object: int) -> int:
    """The number of the fact, made where there is none."""
    row = {"workspace": workspace, "subject": subject, "predicate": predicate, "object": object}
    query = select(RELATION.c.id).filter_by(subject=subject, predicate=predicate, object=object)
    known = c.scalar(query)
    return int(known) if known is not None else new_id(c, insert(RELATION).values(row))
