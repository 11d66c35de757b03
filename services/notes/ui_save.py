"""The pages that write: a new note, an edit over the version that was read, the history, and going back in it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.notes.api import NoteId, UseCases, known
from services.notes.schemas import NoteBody
from services.notes.service import Notes
from services.notes.store import Note, Version, VersionConflict
from services.notes.ui_differences import side_by_side
from services.notes.ui_forms import Draft, checked, typed
from services.pages.forms import fields
from services.pages.rendering import go, page
from services.web.page_paths import PAGES
from services.web.problems import Problem, missing

Title = Annotated[str, Query(max_length=300)]
Number = Annotated[int, Query(ge=1, le=10**9)]


def router() -> APIRouter:
    """The routes that write notes, and show what was written."""
    routes = APIRouter(prefix=f"{PAGES}/notes")
    add = routes.add_api_route
    add("/new", new, methods=["GET"])
    add("/new", add_note, methods=["POST"])
    add("/{note_id}/edit", edit, methods=["GET"])
    add("/{note_id}/edit", save, methods=["POST"])
    add("/{note_id}/history", history, methods=["GET"])
    add("/{note_id}/history", restore, methods=["POST"])
    return routes


async def new(request: Request, title: Title = "") -> Response:
    """An empty form; a link to a note that is not there yet gives its name."""
    return _form(request, Draft(title=title))


async def add_note(request: Request, notes: UseCases) -> Response:
    """To the new note; the form again, with what was typed, where a field is wrong."""
    sent = await fields(request)
    draft = Draft(title=sent.get("title", ""), text=sent.get("text", ""))
    body, problems = checked(NoteBody, {"title": draft.title, "text": draft.text})
    if body is None:
        return _form(request, draft, problems=problems)
    note = await notes.notebook.add(body.title, body.text)
    return go(request, f"{PAGES}/notes/{note.id}")


async def edit(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """The note in a form that knows which version it began from."""
    note = await known(notes, note_id)
    return _form(request, Draft(title=note.title, text=note.text, version=note.version), note=note)


async def save(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """To the note. Where somebody saved meanwhile both versions come back, side by side, and nothing was written."""
    sent = await fields(request)
    note = await known(notes, note_id)
    text = typed(sent.get("text", ""), note.text)
    draft = Draft(title=sent.get("title", ""), text=text, version=_version(sent))
    body, problems = checked(NoteBody, {"title": draft.title, "text": draft.text})
    if body is None:
        return _form(request, draft, note=note, problems=problems)
    return await _saved(request, notes, note_id, draft)


async def history(
    note_id: NoteId, request: Request, notes: UseCases, version: Annotated[int, Query(ge=0, le=10**9)] = 0
) -> Response:
    """Every version, newest first; `version` beside the one that the note has now."""
    note, versions = await _told(notes, note_id)
    chosen = next((v for v in versions if v.version == version), None)
    if version and chosen is None:
        raise missing("version", version)
    pairs = await asyncio.to_thread(side_by_side, chosen.text, note.text) if chosen else []
    return page(request, "note_history.html", note=note, versions=versions, chosen=chosen, pairs=pairs)


async def restore(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """An older version saved again as the newest one, over the version that its reader saw; no version is lost."""
    sent = await fields(request)
    _, versions = await _told(notes, note_id)
    chosen = next((v for v in versions if str(v.version) == sent.get("restore")), None)
    if chosen is None:
        raise missing("version", sent.get("restore", ""))
    draft = Draft(title=chosen.title, text=chosen.text, version=_version(sent))
    return await _saved(request, notes, note_id, draft)


async def _saved(request: Request, notes: Notes, note_id: str, draft: Draft) -> Response:
    try:
        note = await notes.notebook.save(note_id, draft.title, draft.text, expected=draft.version)
    except VersionConflict:
        return await _conflict(request, notes, note_id, draft)
    if note is None:
        raise missing("note", note_id)
    return go(request, f"{PAGES}/notes/{note_id}")


async def _conflict(request: Request, notes: Notes, note_id: str, draft: Draft) -> Response:
    theirs, versions = await _told(notes, note_id)
    began = next((v for v in versions if v.version == draft.version), None)
    pairs = await asyncio.to_thread(side_by_side, theirs.text, draft.text)
    return page(request, "note_conflict.html", status=412, note=theirs, draft=draft, began=began, pairs=pairs)


async def _told(notes: Notes, note_id: str) -> tuple[Note, list[Version]]:
    note = await known(notes, note_id)
    return note, await notes.notebook.history(note_id)


def _form(request: Request, draft: Draft, *, note: Note | None = None, problems: list[str] | None = None) -> Response:
    status = 422 if problems else 200
    return page(request, "note_form.html", status=status, draft=draft, note=note, problems=problems or [])


def _version(sent: dict[str, str]) -> int:
    """The version that the form began from. Raises `Problem` 428: a blind save could lose another's words."""
    given = sent.get("version", "")
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise Problem(428, "version-missing", "the form does not say which version it began from; open the note again")
    return int(given)
