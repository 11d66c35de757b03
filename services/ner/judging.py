"""Keeps candidates for names with their document, and what people said of them; inside the caller's transaction.

An accepted one has a reading of its own, so its mentions say who saw the name and who accepted it. It adds only what
the model's reading lacks: where the model finds the name itself, later, nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from services.ner.graph import GraphError
from services.ner.grounding import Mention
from services.ner.name_candidates import NameCandidate, Sighting, Span, State, mentions, unseen
from services.ner.naming import Meant, drop_unnamed, entities_of, insert_each_once, new_id, placed, split_off
from services.ner.producers import Made, columns, made_of
from services.ner.tables import DOCUMENT, ENTITY, MENTION, READING
from services.ner.tables import NAME_CANDIDATE as NAMES
from services.ner.tables import NAME_PLACE as PLACES


def propose(c: Connection, document: int, seen: Sequence[Sighting], made: Made) -> None:
    """What somebody sees in the document now. What nobody sees any more goes, unless a person said something of it."""
    query = select(NAMES.c.id, NAMES.c.key, NAMES.c.type, NAMES.c.state).where(NAMES.c.document == document)
    known = {(row.key, row.type): row for row in c.execute(query)}
    now = {one.named for one in seen}
    stale = [row.id for named, row in known.items() if row.state == State.OPEN and named not in now]
    c.execute(delete(NAMES).where(NAMES.c.id.in_(stale)))
    for one in seen:
        row = known.get(one.named)
        if row is not None and row.state != State.OPEN:
            continue
        told = {"text": one.text, **columns(made)}
        if row is None:
            key, type = one.named
            fresh = {"document": document, "key": key, "type": type, "state": State.OPEN}
            number = new_id(c, insert(NAMES).values(**fresh, judged_by="", judged_at="", **told))
        else:
            number = int(row.id)
            c.execute(update(NAMES).where(NAMES.c.id == number).values(**told))
            c.execute(delete(PLACES).where(PLACES.c.candidate == number))
        insert_each_once(c, PLACES, ({"candidate": number, "start": a, "end": b} for a, b in one.places))


def listed(c: Connection, workspace: str, document_id: str) -> list[NameCandidate] | None:
    """Those that a person said something of, and the open ones where no mention touches them; None without document."""
    document = c.scalar(select(DOCUMENT.c.number).filter_by(workspace=workspace, id=document_id))
    if document is None:
        return None
    every = _told(c, workspace, c.execute(select(NAMES).filter_by(document=document).order_by(NAMES.c.id)).all())
    taken = select(MENTION.c.start, MENTION.c.end).join(READING, READING.c.id == MENTION.c.reading)
    spans = [(row.start, row.end) for row in c.execute(taken.where(READING.c.document == document))]
    is_open = {one.id: one for one in unseen([one for one in every if one.state is State.OPEN], spans)}
    shown = (one if one.state is not State.OPEN else is_open.get(one.id) for one in every)
    return [one for one in shown if one is not None]


def accept(c: Connection, workspace: str, document_id: str, number: int, by: str, at: str) -> NameCandidate:
    """The name becomes an entity, mentioned at all its places. Accepting twice is once. Raises `GraphError`."""
    row = _one(c, workspace, document_id, number)
    _refuse(row, State.REJECTED)
    if row.state == State.OPEN:
        made = made_of(row).model_copy(update={"accepted_by": by})
        reading = new_id(c, insert(READING).values(document=row.document, **columns(made)))
        _say(c, number, State.ACCEPTED, by, at, reading)
        drop_unnamed(c, renew(c, workspace, row.document))  # all its places may mean things that were split off
    return _again(c, workspace, document_id, number)


def reject(c: Connection, workspace: str, document_id: str, number: int, by: str, at: str) -> NameCandidate:
    """It is no name in this text, and nobody is asked about it again. Raises `GraphError`."""
    row = _one(c, workspace, document_id, number)
    _refuse(row, State.ACCEPTED)
    if row.state == State.OPEN:
        _say(c, number, State.REJECTED, by, at, None)
    return _again(c, workspace, document_id, number)


def undo(c: Connection, workspace: str, document_id: str, number: int) -> NameCandidate:
    """As if nobody had said anything; what only the acceptance supported goes. Raises `GraphError`."""
    row = _one(c, workspace, document_id, number)
    if row.state != State.OPEN:
        named = set(c.scalars(select(MENTION.c.entity).where(MENTION.c.reading == row.reading)))
        _say(c, number, State.OPEN, "", "", None)
        c.execute(delete(READING).where(READING.c.id == row.reading))
        drop_unnamed(c, named | renew(c, workspace, row.document))
    return _again(c, workspace, document_id, number)


def renew(c: Connection, workspace: str, document: int) -> set[int]:
    """Put the mentions of accepted names where the document's other readings have none of that entity.

    Returns the entities of those that are there now.
    """
    of_names = select(NAMES).where(NAMES.c.document == document, NAMES.c.state == State.ACCEPTED).order_by(NAMES.c.id)
    accepted = c.execute(of_names).all()
    if not accepted:
        return set()
    text = c.execute(select(DOCUMENT.c.text).where(DOCUMENT.c.number == document)).scalar_one()
    c.execute(delete(MENTION).where(MENTION.c.reading.in_([row.reading for row in accepted])))
    readings = select(READING.c.id).where(READING.c.document == document)
    query = select(MENTION.c.start, MENTION.c.end, MENTION.c.entity).where(MENTION.c.reading.in_(readings))
    there = {(row.start, row.end, row.entity) for row in c.execute(query)}
    apart, touched = split_off(c, document), set[int]()
    for row, one in zip(accepted, _told(c, workspace, accepted), strict=True):
        named = mentions(text, [one])
        meant = Meant(entities_of(c, workspace, named), named, apart)
        touched |= {*meant.entities.values(), *(meant.by(m) for m in named)}
        new = [(m, meant.by(m)) for m in named if (m.start, m.end, meant.by(m)) not in there]
        insert_each_once(c, MENTION, (_mention(m, row.reading, entity) for m, entity in new))
        there |= {(m.start, m.end, entity) for m, entity in new}
    return touched


def _mention(mention: Mention, reading: int, entity: int) -> dict[str, Any]:
    return {**placed(mention, reading), "entity": entity}


def _one(c: Connection, workspace: str, document_id: str, number: int) -> Row[Any]:
    query = select(NAMES).join(DOCUMENT, DOCUMENT.c.number == NAMES.c.document)
    query = query.where(DOCUMENT.c.workspace == workspace, DOCUMENT.c.id == document_id, NAMES.c.id == number)
    row = c.execute(query).one_or_none()
    if row is None:
        raise GraphError("not-found", f"document {document_id!r} has no candidate {number}")
    return row


def _refuse(row: Row[Any], state: State) -> None:
    if row.state == state:
        raise GraphError(str(state), f"candidate {row.id} was {state}; undo that first")


def _say(c: Connection, number: int, state: State, by: str, at: str, reading: int | None) -> None:
    told = {"state": state, "judged_by": by, "judged_at": at, "reading": reading}
    c.execute(update(NAMES).where(NAMES.c.id == number).values(**told))


def _again(c: Connection, workspace: str, document_id: str, number: int) -> NameCandidate:
    return _told(c, workspace, [_one(c, workspace, document_id, number)])[0]


def _told(c: Connection, workspace: str, rows: Sequence[Row[Any]]) -> list[NameCandidate]:
    where = _places(c, [row.id for row in rows])
    return [_candidate(c, workspace, row, where[row.id]) for row in rows]


def _places(c: Connection, numbers: Iterable[int]) -> Mapping[int, list[Span]]:
    wanted = list(numbers)
    found: dict[int, list[Span]] = {number: [] for number in wanted}
    query = select(PLACES).where(PLACES.c.candidate.in_(wanted)).order_by(PLACES.c.start, PLACES.c.end)
    for row in c.execute(query):
        found[row.candidate].append((row.start, row.end))
    return found


def _candidate(c: Connection, workspace: str, row: Row[Any], where: Sequence[Span]) -> NameCandidate:
    entity = None
    if row.state == State.ACCEPTED:
        entity = c.scalar(select(ENTITY.c.root).filter_by(workspace=workspace, key=row.key, type=row.type))
    return NameCandidate(
        id=row.id,
        text=row.text,
        type=row.type,
        places=tuple(where),
        state=State(row.state),
        made=made_of(row),
        judged_by=row.judged_by,
        judged_at=row.judged_at,
        entity=entity,
    )
