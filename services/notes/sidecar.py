"""What an export writes beside a note, because Markdown has no place for it: history, summary, open tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.notes.folder import MAX_SIDECAR_BYTES, Found, safe_path
from services.notes.pages import MAX_SLUG_CHARS, MAX_TAGS, Page, Unreadable
from services.notes.store import Kept, Note, NoteTag, Summary, TagState, Version
from services.notes.tags import slug
from services.web.fields import Line, Text
from services.web.provenance import Producer

MAX_VERSIONS = 10_000
_LEFT_OUT_BYTES = 200
"""What is kept free to say what was left out."""

Number = Annotated[int, Field(ge=1, lt=2**31)]


class _Part(BaseModel):
    """Read from a file that anybody may have written."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class SummaryPart(_Part):
    text: str
    of_version: Number
    producer: Producer


class TagPart(_Part):
    tag: Annotated[str, Field(min_length=1, max_length=MAX_SLUG_CHARS)]
    state: TagState
    of_version: Number
    producer: Producer | None


class VersionPart(_Part):
    version: Number
    title: Line
    text: Text
    saved_at: str


class Sidecar(_Part):
    """The file `.cutover/ID.json` of an export. `left_out` says what would have made it larger than an import takes."""

    format: Literal[1] = 1
    path: str
    version: Number
    summary: SummaryPart | None
    tags: Annotated[list[TagPart], Field(max_length=MAX_TAGS)]
    history: Annotated[list[VersionPart], Field(max_length=MAX_VERSIONS)]
    left_out: Annotated[list[Line], Field(max_length=2, default_factory=list)]


def page_of(note: Note, path: str) -> Page:
    """A note as the file `path`."""
    return Page(
        path=path,
        title=note.title,
        text=note.text,
        tags=tuple(t.tag for t in note.tags if t.state is TagState.ACCEPTED),
        created_at=note.created_at,
        updated_at=note.updated_at,
        is_archived=note.is_archived,
        note_id=note.id,
        properties=note.properties,
    )


def beside(note: Note, history: Sequence[Version]) -> bytes:
    """The rest of it. Of a history that no import would take, the oldest versions are left out and counted."""
    told = Sidecar(
        path=note.path,
        version=note.version,
        summary=None if note.summary is None else SummaryPart.model_validate(note.summary),
        tags=[TagPart.model_validate(t) for t in note.tags[:MAX_TAGS]],
        history=[],
        left_out=[],
    )
    room = MAX_SIDECAR_BYTES - len(told.model_dump_json().encode()) - _LEFT_OUT_BYTES
    told.history = _newest(history, room)
    counts = {"oldest versions": len(history) - len(told.history), "tags": len(note.tags) - len(told.tags)}
    told.left_out = [f"{count} {what}" for what, count in counts.items() if count]
    return told.model_dump_json().encode()


def _newest(history: Sequence[Version], room: int) -> list[VersionPart]:
    """As many of the newest versions as fit into so many bytes."""
    fit = []
    for version in sorted(history, key=lambda v: v.version, reverse=True)[:MAX_VERSIONS]:
        part = VersionPart.model_validate(version)
        room -= len(part.model_dump_json().encode()) + 1
        if room < 0:
            break
        fit.append(part)
    return fit


def kept(found: Found, page: Page) -> Kept:
    """What an import brings of `page`. Text that was changed outside since becomes one more version.

    Raises `Unreadable` where what lies beside the note is not what `beside` wrote.
    """
    by_hand = tuple(NoteTag(tag=t, state=TagState.ACCEPTED, of_version=1) for t in page.tags)
    if found.sidecar is None:
        return Kept(page=page, tags=by_hand)
    told = _parsed(found.sidecar)
    newest = max(told.history, key=lambda v: v.version, default=None)
    is_same = newest is None or (newest.title, newest.text) == (page.title, page.text)
    left_out = tuple(f"{said}: the export left them out" for said in told.left_out)
    return Kept(
        page=replace(page, left_out=page.left_out + left_out),
        path=told.path,
        version=told.version if is_same else told.version + 1,
        summary=None if told.summary is None else Summary(**dict(told.summary)),
        tags=(*(NoteTag(**dict(t)) for t in told.tags if slug(t.tag) == t.tag), *by_hand),
        history=tuple(Version(**dict(v)) for v in told.history),
    )


def _parsed(data: bytes) -> Sidecar:
    try:
        told = Sidecar.model_validate_json(data)
    except ValidationError as exc:
        where = ".".join(map(str, exc.errors()[0]["loc"]))
        raise Unreadable(
            f"what an export wrote beside it is damaged at {where!r}; remove .cutover to do without"
        ) from exc
    numbers = [v.version for v in told.history]
    if len(set(numbers)) < len(numbers) or any(n > told.version for n in numbers):
        raise Unreadable("what an export wrote beside it tells versions twice; remove .cutover to do without")
    if any("\0" in said for said in _said(told)):
        raise Unreadable("what an export wrote beside it holds NUL characters; remove .cutover to do without")
    try:
        return told.model_copy(update={"path": told.path and safe_path(told.path)})
    except Unreadable as exc:
        raise Unreadable(f"of what an export wrote beside it: {exc}; remove .cutover to do without") from exc


def _said(told: Sidecar) -> Iterator[str]:
    """What of it has no type of its own that refuses NUL; PostgreSQL keeps none."""
    yield from (v.saved_at for v in told.history)
    if told.summary is not None:
        yield told.summary.text
        yield from told.summary.producer.model_dump().values()
    for tag in told.tags:
        yield from tag.producer.model_dump().values() if tag.producer is not None else ()
