"""The page of one note: what it says with a cited passage marked, what was made of it, its history, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.notes.api import NoteId, UseCases, known
from services.notes.service import Notes
from services.notes.store import Kind, Note, NoteJob, TagState
from services.pages.rendering import go, page
from services.pages.words import engine, reason
from services.store.jobs import State
from services.web.page_paths import PAGES
from services.web.problems import Problem, missing
from services.web.provenance import LLMInfo

NEAR = 6
"""Notes that are shown as like it."""

Place = Annotated[int, Query(ge=0, le=2**53)]
OfVersion = Annotated[int, Query(ge=0, le=10**9)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A note's text in three parts; `passage` is what an answer rests on, empty where nothing is marked."""

    before: str
    passage: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What just became of asking a model: who answered, or why nobody did."""

    what: Kind
    llm: LLMInfo | None = None
    problem: Problem | None = None

    @property
    def causes(self) -> list[str]:
        """Why each provider did not answer, in words."""
        told = self.problem.members.get("causes", ()) if self.problem else ()
        return [f"{engine(c['provider']) or 'the service'}: {reason(c['error_type'])}" for c in told]


def router() -> APIRouter:
    """The routes of a note that is there."""
    routes = APIRouter(prefix=f"{PAGES}/notes/{{note_id}}")
    add = routes.add_api_route
    add("", show, methods=["GET"])
    add("/related", related, methods=["GET"])
    add("/archived", archive, methods=["POST"])
    add("/delete", ask_to_delete, methods=["GET"])
    add("/delete", delete, methods=["POST"])
    return routes


async def show(
    note_id: NoteId, request: Request, notes: UseCases, start: Place = 0, end: Place = 0, version: OfVersion = 0
) -> Response:
    """The note; `start` and `end` are the place of a citation in its text as it was at `version`."""
    note = await known(notes, note_id)
    return note_page(request, note, place=(start, end), cited=version or note.version)


async def related(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """Links both ways and notes like it: a part of the note's page where htmx asks, else a page."""
    note = await known(notes, note_id)
    is_part = bool(request.headers.get("HX-Request"))
    template = "_note_related.html" if is_part else "note_related.html"
    return page(request, template, note=note, **await _around(notes, note))


async def archive(note_id: NoteId, request: Request, notes: UseCases, back: bool = False) -> Response:
    """Out of the lists, or `back` in them."""
    if await notes.notebook.archive(note_id, is_archived=not back) is None:
        raise missing("note", note_id)
    return go(request, f"{PAGES}/notes/{note_id}")


async def ask_to_delete(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """The question before the deed, a page of its own, so that it needs no script."""
    note = await known(notes, note_id)
    versions = await notes.notebook.history(note_id)
    return page(request, "note_delete.html", note=note, versions=len(versions))


async def delete(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """Gone for good, to the list. One that somebody else deleted first is as gone."""
    await notes.notebook.delete(note_id)
    return go(request, f"{PAGES}/")


def note_page(
    request: Request,
    note: Note,
    *,
    part: str = "",
    place: tuple[int, int] = (0, 0),
    cited: int | None = None,
    made: Made | None = None,
    tag_problems: Sequence[str] = (),
    said: str = "",
    own: str = "",
) -> Response:
    """The note's page, or the template `part` of it where htmx asks. `said` is what was just done, in words.

    `place` is marked unless the note was saved since the version `cited`: other words stand there now.
    """
    changed_since = cited if cited not in (None, note.version) else None
    problem = made.problem if made else None
    template = part if part and request.headers.get("HX-Request") else "note.html"
    return page(
        request,
        template,
        status=problem.status_code if problem else 422 if tag_problems else 200,
        note=note,
        marked=marked(note.text, *((0, 0) if changed_since else place)),
        changed_since=changed_since,
        summary_jobs=_jobs(note, Kind.SUMMARY),
        tag_jobs=_jobs(note, Kind.TAGS),
        vector_jobs=_jobs(note, Kind.VECTORS),
        accepted=[t for t in note.tags if t.state is TagState.ACCEPTED],
        suggested=[t for t in note.tags if t.state is TagState.SUGGESTED],
        made=made,
        tag_problems=tag_problems,
        said=said,
        own=own,
    )


def marked(text: str, start: int, end: int) -> Marked:
    """The parts of `text`; a place that is not in it, because the note became shorter, marks nothing."""
    if not start < end <= len(text):
        return Marked(before=text, passage="", after="")
    return Marked(before=text[:start], passage=text[start:end], after=text[end:])


def _jobs(note: Note, kind: Kind) -> dict[str, NoteJob | None]:
    """The unfinished work of this kind: what is under way, and what failed for good."""
    ours = [job for job in note.jobs if job.kind == kind]
    under_way = next((job for job in ours if job.state in (State.QUEUED, State.RUNNING)), None)
    return {"under_way": under_way, "failed": next((job for job in ours if job.state is State.FAILED), None)}


async def _around(notes: Notes, note: Note) -> dict[str, Any]:
    links, back = await notes.notebook.links(note)
    near, by = await notes.near(note, NEAR)
    linked_from = [other for note_id in back if (other := await notes.notebook.get(note_id)) is not None]
    return {"links": links, "linked_from": linked_from, "near": near, "by": by}
