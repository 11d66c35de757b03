"""Statements on notes, their history, summaries and links, inside a transaction that the caller holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, delete, insert, select, update

from services.notes import job_rows
from services.notes.links import named, targets
from services.notes.store import (
    Link,
    Note,
    NoteJob,
    NoteTag,
    NothingBefore,
    Summary,
    TagState,
    Version,
    VersionConflict,
)
from services.notes.tables import LINK, NOTE, NOTE_TAG, PRODUCER, SUMMARY, SUMMARY_BEFORE, TAG, VERSION
from services.web.provenance import Producer


def one(c: Connection, workspace: str, note_id: str) -> Note | None:
    """The note of the workspace with this id."""
    found = several(c, select(NOTE).where(NOTE.c.workspace == workspace, NOTE.c.id == note_id))
    return found[0] if found else None


def at_path(c: Connection, workspace: str, path: str) -> Note | None:
    """The oldest note that came from this place of a folder."""
    where = (NOTE.c.workspace == workspace, NOTE.c.path == path)
    found = several(c, select(NOTE).where(*where).order_by(NOTE.c.number).limit(1))
    return found[0] if found else None


def page(c: Connection, workspace: str, limit: int, after: int, archived: bool | None) -> list[Note]:
    """At most `limit` notes younger than number `after`, oldest first; all of them where `archived` is None."""
    query = select(NOTE).where(NOTE.c.workspace == workspace, NOTE.c.number > after)
    if archived is not None:
        query = query.where(NOTE.c.archived == archived)
    return several(c, query.order_by(NOTE.c.number).limit(limit))


def several(c: Connection, query: Select[Any]) -> list[Note]:
    """The notes of a query over `NOTE`, in its order, with what was and will be made of them."""
    rows = c.execute(query).all()
    numbers = [row.number for row in rows]
    summaries = {row.note: _summary(row) for row in c.execute(select(SUMMARY).where(SUMMARY.c.note.in_(numbers)))}
    tags = _tags(c, numbers)
    jobs = _jobs(c, rows)
    return [_note(row, summaries.get(row.number), tags[row.number], jobs[row.id]) for row in rows]


def add(c: Connection, workspace: str, values: Mapping[str, Any]) -> int:
    """The number of a new note of these columns, its first version kept."""
    row = {**values, "workspace": workspace, "name": named(values.get("path") or values["title"])}
    number = c.execute(insert(NOTE).values(row)).inserted_primary_key
    assert number is not None
    keep_version(c, number[0], values["version"], values["title"], values["text"], values["updated_at"])
    _link(c, number[0], values["text"])
    return int(number[0])


def save(c: Connection, note: Note, title: str, text: str, *, expected: int | None, at: str) -> None:
    """A new version of `note`. Raises `VersionConflict` unless it is at `expected` (None: at any)."""
    if expected is not None and note.version != expected:
        raise VersionConflict(note.version)
    version = note.version + 1
    values = {"title": title, "text": text, "name": named(note.path or title), "version": version, "updated_at": at}
    c.execute(update(NOTE).where(NOTE.c.number == note.number).values(values))
    keep_version(c, note.number, version, title, text, at)
    c.execute(delete(LINK).where(LINK.c.note == note.number))
    _link(c, note.number, text)


def keep_version(c: Connection, number: int, version: int, title: str, text: str, at: str) -> None:
    """One version into the history."""
    c.execute(insert(VERSION).values(note=number, version=version, title=title, text=text, saved_at=at))


def keep_summary(c: Connection, note: Note, summary: Summary) -> None:
    """`summary` in place of an older one; a slow one of an old version never replaces one of a newer version."""
    kept = note.summary
    if kept is not None and kept.of_version > summary.of_version:
        return
    _put_summary(c, SUMMARY, note, summary)
    if kept is not None:
        _put_summary(c, SUMMARY_BEFORE, note, kept)


def summary_before(c: Connection, workspace: str, note_id: str) -> Summary | None:
    """The one that the note's summary took the place of."""
    query = select(SUMMARY_BEFORE).join(NOTE, NOTE.c.number == SUMMARY_BEFORE.c.note)
    row = c.execute(query.where(NOTE.c.workspace == workspace, NOTE.c.id == note_id)).one_or_none()
    return None if row is None else _summary(row)


def restore_summary(c: Connection, note: Note) -> None:
    """Turn the note's summary and the one before it round. Raises `NothingBefore`."""
    row = c.execute(select(SUMMARY_BEFORE).where(SUMMARY_BEFORE.c.note == note.number)).one_or_none()
    if row is None or note.summary is None:
        raise NothingBefore
    _put_summary(c, SUMMARY_BEFORE, note, note.summary)
    _put_summary(c, SUMMARY, note, _summary(row))


def history(c: Connection, number: int) -> list[Version]:
    """Every version, newest first."""
    rows = c.execute(select(VERSION).where(VERSION.c.note == number).order_by(VERSION.c.version.desc()))
    return [Version(version=r.version, title=r.title, text=r.text, saved_at=r.saved_at) for r in rows]


def links(c: Connection, workspace: str, note: Note) -> tuple[list[Link], list[str]]:
    """Where the note's links lead, in their order, and who links to the note.

    Of several notes of one name the oldest is meant. A note does not link to itself.
    """
    names = targets(note.text)
    named_so = (
        select(NOTE.c.name, NOTE.c.id)
        .join(LINK, LINK.c.name == NOTE.c.name)
        .where(NOTE.c.workspace == workspace, LINK.c.note == note.number)
    )
    ids: dict[str, str] = {}
    for row in c.execute(named_so.order_by(NOTE.c.number)):
        ids.setdefault(row.name, row.id)
    out = [Link(name=name, note_id=ids.get(name)) for name in names]
    back = (
        select(NOTE.c.id)
        .join(LINK, LINK.c.note == NOTE.c.number)
        .where(NOTE.c.workspace == workspace, LINK.c.name == named(note.path or note.title), NOTE.c.id != note.id)
    )
    return out, list(c.execute(back.order_by(NOTE.c.number)).scalars())


def producer_of(row: Row[Any]) -> Producer:
    """The producer in a row that has its columns."""
    return Producer(**{column: getattr(row, column) for column in PRODUCER})


def _link(c: Connection, number: int, text: str) -> None:
    names = targets(text)
    if names:
        c.execute(insert(LINK), [{"note": number, "name": name} for name in names])


def _tags(c: Connection, numbers: Sequence[int]) -> Mapping[int, list[NoteTag]]:
    found: dict[int, list[NoteTag]] = defaultdict(list)
    query = select(NOTE_TAG, TAG.c.slug).join(TAG).where(NOTE_TAG.c.note.in_(numbers)).order_by(TAG.c.slug)
    for row in c.execute(query):
        made_by = producer_of(row) if row.provider else None
        tag = NoteTag(tag=row.slug, state=TagState(row.state), of_version=row.of_version, producer=made_by)
        found[row.note].append(tag)
    return found


def _jobs(c: Connection, rows: Sequence[Row[Any]]) -> Mapping[str, Sequence[NoteJob]]:
    """By the note's id; a query is about one workspace."""
    workspace = rows[0].workspace if rows else ""
    return job_rows.unfinished(c, workspace, [row.id for row in rows])


def _put_summary(c: Connection, table: Table, note: Note, summary: Summary) -> None:
    c.execute(delete(table).where(table.c.note == note.number))
    values = {"note": note.number, "summary": summary.text, "of_version": summary.of_version}
    c.execute(insert(table).values({**values, **summary.producer.model_dump()}))


def _summary(row: Row[Any]) -> Summary:
    return Summary(text=row.summary, of_version=row.of_version, producer=producer_of(row))


def _note(row: Row[Any], summary: Summary | None, tags: Sequence[NoteTag], jobs: Sequence[NoteJob]) -> Note:
    return Note(
        number=row.number,
        id=row.id,
        title=row.title,
        text=row.text,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        is_archived=row.archived,
        path=row.path,
        properties=row.properties,
        summary=summary,
        tags=tuple(tags),
        jobs=tuple(jobs),
    )
