"""The page of all notes: newest first or found by a search, of one tag where one is chosen, archived ones apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from services.notes.api import UseCases, searched
from services.notes.service import Notes
from services.notes.store import FoundBy, Note, NoteHit, TagState
from services.notes.tags import sought
from services.notes.which import Which
from services.pages.rendering import page
from services.web.page_paths import PAGES
from services.web.paging import MAX_CURSOR_CHARS, MAX_PAGE, position, sliced

SHOWN = 20
OPENING_CHARS = 220
"""How much of a note's beginning the list shows."""

TAGS_TO_CHOOSE = 40

Words = Annotated[str, Query(max_length=1000)]
Name = Annotated[str, Query(max_length=300)]
After = Annotated[str, Query(max_length=MAX_CURSOR_CHARS)]
HowMany = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A note in the list, with its beginning or the place that was found."""

    note: Note
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Rows, the address of what comes after them, and what a search went by."""

    rows: Sequence[Row]
    onward: str = ""
    by: FoundBy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the list is asked for."""

    words: str = ""
    tag: str = ""
    archived: bool = False
    after: str = ""
    limit: int = SHOWN

    def address(self, **others: str | int) -> str:
        """The list's own address with these, without what is empty."""
        known = {"q": self.words, "tag": self.tag, "archived": "true" if self.archived else ""}
        query = urlencode({k: v for k, v in {**known, **others}.items() if v})
        return f"{PAGES}/?{query}" if query else f"{PAGES}/"


def router() -> APIRouter:
    """The one route."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/", show, methods=["GET"])
    return routes


async def show(
    request: Request,
    notes: UseCases,
    q: Words = "",
    tag: Name = "",
    archived: bool = False,
    after: After = "",
    limit: HowMany = SHOWN,
) -> Response:
    """The list; a search where there are words to look for."""
    words = " ".join(q.replace("\0", " ").split())
    wanted = Wanted(words=words, tag=sought(tag), archived=archived, after=after, limit=limit)
    listed = await (_found(notes, wanted) if words else _newest(notes, wanted))
    tags = [t for t in await notes.notebook.tags() if t.accepted][:TAGS_TO_CHOOSE]
    return page(request, "notes_list.html", wanted=wanted, listed=listed, tags=tags, has_meaning=notes.has_meaning)


async def _newest(notes: Notes, wanted: Wanted) -> Listed:
    kind = [wanted.tag, wanted.archived]
    [number] = position(wanted.after, "ui-notes", int, filters=kind) or (None,)
    before = None if number is None else int(number)
    found = await notes.notebook.newest(wanted.limit + 1, before, tag=wanted.tag, archived=wanted.archived)
    shown, onward = sliced(found, wanted.limit, "ui-notes", lambda n: (n.number,), filters=kind)
    rows = [Row(note=note, excerpt=opening(note.text)) for note in shown]
    return Listed(rows=rows, onward=wanted.address(after=onward) if onward else "")


async def _found(notes: Notes, wanted: Wanted) -> Listed:
    """The best first, of the tag where one is chosen."""
    which = Which(tag=wanted.tag, archived=wanted.archived)
    found = await searched(notes, wanted.words, wanted.limit, wanted.after, which)
    rows = [row for hit in found.hits if (row := await _row(notes, hit)) is not None]
    return Listed(rows=rows, onward=wanted.address(after=found.onward) if found.onward else "", by=found.by)


async def _row(notes: Notes, hit: NoteHit) -> Row | None:
    """None where the note was deleted meanwhile."""
    note = await notes.notebook.get(hit.id)
    return None if note is None else Row(note=note, excerpt=hit.snippet)


def accepted(note: Note) -> list[str]:
    """The tags that a person accepted."""
    return [t.tag for t in note.tags if t.state is TagState.ACCEPTED]


def opening(text: str) -> str:
    """The beginning of a note in one line."""
    shown = " ".join(text[: 2 * OPENING_CHARS].split())
    return shown if len(text) <= 2 * OPENING_CHARS and len(shown) <= OPENING_CHARS else f"{shown[:OPENING_CHARS]}…"
