"""What a model makes of a note, as a person asks for it: its summary and suggested tags, and the word on each tag."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from services.llm.errors import LLMError
from services.llm.types import Answer
from services.notes.api import NoteId, UseCases, known
from services.notes.schemas_tags import JudgeTags
from services.notes.store import Kind, Note, TagState
from services.notes.ui_forms import checked, split
from services.notes.ui_note import Made, note_page
from services.pages.forms import fields
from services.pages.rendering import go
from services.web.asking import Asking, Wishes
from services.web.page_paths import PAGES
from services.web.problems import missing, of_llm
from services.web.provenance import llm_info
from services.web.streams import while_read

JUDGED = {"accept": TagState.ACCEPTED, "reject": TagState.REJECTED}


class Work(Protocol):
    """A use case that makes something of a note."""

    def __call__(self, note: Note, wishes: Wishes) -> Coroutine[Any, Any, tuple[Note | None, Answer]]: ...


def router() -> APIRouter:
    """The routes. Asked by GET, each shows how it stands: its part of the page to htmx, else the note."""
    routes = APIRouter(prefix=f"{PAGES}/notes/{{note_id}}")
    add = routes.add_api_route
    add("/summary", summary, methods=["GET"])
    add("/summary", summarise, methods=["POST"])
    add("/tags", tags, methods=["GET"])
    add("/tags", judge, methods=["POST"])
    add("/suggest", tags, methods=["GET"])
    add("/suggest", suggest, methods=["POST"])
    return routes


async def summary(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """How the summary stands."""
    return await _standing(note_id, request, notes, "_note_summary.html")


async def tags(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """How the tags stand."""
    return await _standing(note_id, request, notes, _tags_part(request))


async def summarise(note_id: NoteId, request: Request, notes: UseCases, wishes: Asking) -> Response:
    """A summary of the version that the note has now, and who wrote it; or why nobody did."""
    made, note = await _made(request, await known(notes, note_id), wishes, Kind.SUMMARY, notes.summarise_note)
    return note_page(request, note, part="_note_summary.html", made=made)


async def suggest(note_id: NoteId, request: Request, notes: UseCases, wishes: Asking) -> Response:
    """Tags to accept or to dismiss, in place of those that were suggested before."""
    made, note = await _made(request, await known(notes, note_id), wishes, Kind.TAGS, notes.tag_note)
    return note_page(request, note, part=_tags_part(request), made=made)


async def judge(note_id: NoteId, request: Request, notes: UseCases) -> Response:
    """Tags accepted or dismissed by a person; `own` is a field with names of their own, parted by commas."""
    sent = await fields(request)
    state = JUDGED.get(sent.get("word", ""), TagState.ACCEPTED)
    names = [sent["tag"]] if sent.get("tag") else split(sent.get("own", ""))
    body, problems = checked(JudgeTags, {"tags": names})
    if body is None:
        note = await known(notes, note_id)
        return note_page(request, note, part=_tags_part(request), tag_problems=problems, own=sent.get("own", ""))
    judged = await notes.notebook.judged(note_id, body.tags, state)
    if judged is None:
        raise missing("note", note_id)
    if not request.headers.get("HX-Request"):
        return go(request, f"{PAGES}/notes/{note_id}#tags")
    word = "Accepted" if state is TagState.ACCEPTED else "Dismissed"
    return note_page(request, judged, part=_tags_part(request), said=f"{word}: {', '.join(body.tags)}")


def _tags_part(request: Request) -> str:
    """What htmx wants to put in: all about tags, or what is there without the field in which somebody may type."""
    return "_note_tags_now.html" if request.headers.get("HX-Target") == "tags-now" else "_note_tags.html"


async def _standing(note_id: str, request: Request, notes: UseCases, part: str) -> Response:
    if not request.headers.get("HX-Request"):
        return go(request, f"{PAGES}/notes/{note_id}")
    return note_page(request, await known(notes, note_id), part=part)


async def _made(request: Request, note: Note, wishes: Wishes, what: Kind, work: Work) -> tuple[Made, Note]:
    """What became of asking, and the note as it is then. Raises `Problem` 404 where it was deleted meanwhile."""
    try:
        after, answer = await while_read(request, work(note, wishes))
    except LLMError as exc:
        return Made(what=what, problem=of_llm(exc)), note
    if after is None:
        raise missing("note", note.id)
    return Made(what=what, llm=llm_info(answer)), after
