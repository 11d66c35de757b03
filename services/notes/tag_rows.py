"""Statements on the tags of notes, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from services.notes import rows
from services.notes.store import Note, NoteTag, TagCount, TagState, UnknownTags
from services.notes.tables import NOTE, NOTE_TAG, PRODUCER, TAG, TAG_ALIAS

STRENGTH = (TagState.REJECTED, TagState.SUGGESTED, TagState.ACCEPTED)
"""Where two tags of a note become one, the later of these states stays: what a person wanted is not lost."""


def suggest(c: Connection, workspace: str, note: Note, tags: Sequence[NoteTag]) -> None:
    """`tags` in place of what was suggested; what a person judged stays, also under the name that a tag had once."""
    judged = {t.tag for t in note.tags if t.state is not TagState.SUGGESTED}
    c.execute(delete(NOTE_TAG).where(NOTE_TAG.c.note == note.number, NOTE_TAG.c.state == TagState.SUGGESTED))
    for tag in tags:
        number, slug = _named(c, workspace, tag.tag)
        if slug not in judged:
            judged.add(slug)
            _keep(c, note.number, number, tag)
    drop_unused(c, workspace)


def judge(c: Connection, workspace: str, note: Note, slugs: Sequence[str], state: TagState) -> None:
    """`slugs` accepted or rejected. Who suggested a tag stays known; one that nobody did is the person's own."""
    for slug in slugs:
        number, _ = _named(c, workspace, slug)
        here = (NOTE_TAG.c.note == note.number, NOTE_TAG.c.tag == number)
        if not c.execute(update(NOTE_TAG).where(*here).values(state=state)).rowcount:
            _keep(c, note.number, number, NoteTag(tag=slug, state=state, of_version=note.version))


def restore(c: Connection, workspace: str, note: int, tags: Iterable[NoteTag]) -> None:
    """The tags of a new note, as they are told; two names of one tag are one, in its stronger state."""
    kept: dict[int, NoteTag] = {}
    for tag in tags:
        number, _ = _named(c, workspace, tag.tag)
        if number not in kept or STRENGTH.index(tag.state) > STRENGTH.index(kept[number].state):
            kept[number] = tag
    for number, tag in kept.items():
        _keep(c, note, number, tag)


def counts(c: Connection, workspace: str) -> list[TagCount]:
    """Every tag that a note has or was given, the most used first."""
    accepted = func.count().filter(NOTE_TAG.c.state == TagState.ACCEPTED).label("accepted")
    suggested = func.count().filter(NOTE_TAG.c.state == TagState.SUGGESTED).label("suggested")
    query = (
        select(TAG.c.slug, accepted, suggested)
        .join(NOTE_TAG)
        .where(TAG.c.workspace == workspace, NOTE_TAG.c.state != TagState.REJECTED)
        .group_by(TAG.c.slug)
        .order_by(accepted.desc(), suggested.desc(), TAG.c.slug)
    )
    return [TagCount(tag=r.slug, accepted=r.accepted, suggested=r.suggested) for r in c.execute(query)]


def newest(
    c: Connection, workspace: str, limit: int, before: int | None, tag: str = "", archived: bool = False
) -> list[Note]:
    """At most `limit` notes older than number `before`, newest first; where `tag` is given those that accepted it."""
    query = select(NOTE).where(NOTE.c.workspace == workspace, NOTE.c.archived == archived)
    if before is not None:
        query = query.where(NOTE.c.number < before)
    if tag:
        query = query.where(NOTE.c.number.in_(having(c, workspace, tag)))
    return rows.several(c, query.order_by(NOTE.c.number.desc()).limit(limit))


def having(c: Connection, workspace: str, tag: str) -> Select[tuple[int]]:
    """Selects the numbers of notes that accepted `tag`. One that was merged means the tag that it became."""
    number = _find(c, workspace, tag)
    return select(NOTE_TAG.c.note).where(NOTE_TAG.c.tag == number, NOTE_TAG.c.state == TagState.ACCEPTED)


def merge(c: Connection, workspace: str, slugs: Sequence[str], into: str) -> int:
    """Every use of `slugs` becomes one of `into`, which their names mean from now on; the notes that have it now.

    Raises `UnknownTags`.
    """
    known = {slug: _find(c, workspace, slug) for slug in slugs}
    if missing := [slug for slug, number in known.items() if number is None]:
        raise UnknownTags(", ".join(missing))
    target, _ = _named(c, workspace, into)
    for source in dict.fromkeys(number for number in known.values() if number not in (None, target)):
        assert source is not None
        _move(c, source, target)
        slug = c.execute(select(TAG.c.slug).where(TAG.c.number == source)).scalar_one()
        c.execute(update(TAG_ALIAS).where(TAG_ALIAS.c.tag == source).values(tag=target))
        c.execute(delete(TAG).where(TAG.c.number == source))
        c.execute(insert(TAG_ALIAS).values(workspace=workspace, slug=slug, tag=target))
    uses = select(func.count()).where(NOTE_TAG.c.tag == target, NOTE_TAG.c.state != TagState.REJECTED)
    return int(c.execute(uses).scalar_one())


def drop_unused(c: Connection, workspace: str) -> None:
    """Forget tags that no note has any more: a deleted note leaves no words behind."""
    used = select(NOTE_TAG.c.tag).where(NOTE_TAG.c.tag == TAG.c.number)
    c.execute(delete(TAG).where(TAG.c.workspace == workspace, ~used.exists()))


def _move(c: Connection, source: int, target: int) -> None:
    """Notes that have both keep the stronger state of the two."""
    theirs = {r.note: r for r in c.execute(select(NOTE_TAG).where(NOTE_TAG.c.tag == target))}
    for row in c.execute(select(NOTE_TAG).where(NOTE_TAG.c.tag == source)).all():
        other = theirs.get(row.note)
        here = NOTE_TAG.c.note == row.note
        if other is not None and STRENGTH.index(TagState(other.state)) >= STRENGTH.index(TagState(row.state)):
            c.execute(delete(NOTE_TAG).where(here, NOTE_TAG.c.tag == source))
            continue
        c.execute(delete(NOTE_TAG).where(here, NOTE_TAG.c.tag == target))
        c.execute(update(NOTE_TAG).where(here, NOTE_TAG.c.tag == source).values(tag=target))


def _find(c: Connection, workspace: str, slug: str) -> int | None:
    """The tag of this name, or the one that it became."""
    own = select(TAG.c.number).where(TAG.c.workspace == workspace, TAG.c.slug == slug)
    alias = select(TAG_ALIAS.c.tag).where(TAG_ALIAS.c.workspace == workspace, TAG_ALIAS.c.slug == slug)
    return c.execute(own).scalar_one_or_none() or c.execute(alias).scalar_one_or_none()


def _named(c: Connection, workspace: str, slug: str) -> tuple[int, str]:
    """The tag of this name, made where there is none, and what it is called now."""
    number = _find(c, workspace, slug)
    if number is None:
        made = c.execute(insert(TAG).values(workspace=workspace, slug=slug)).inserted_primary_key
        assert made is not None
        return int(made[0]), slug
    return number, str(c.execute(select(TAG.c.slug).where(TAG.c.number == number)).scalar_one())


def _keep(c: Connection, note: int, tag: int, told: NoteTag) -> None:
    made_by = told.producer.model_dump() if told.producer else dict.fromkeys(PRODUCER, "")
    c.execute(insert(NOTE_TAG).values(note=note, tag=tag, state=told.state, of_version=told.of_version, **made_by))
