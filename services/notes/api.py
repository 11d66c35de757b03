"""Notes' HTTP face: parses, calls the use case, says who answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from services.notes.schemas import (
    ArchivedBody,
    NoteBody,
    NoteHistory,
    NoteHitInfo,
    NoteHits,
    NoteInfo,
    NoteJobInfo,
    NotePage,
    NoteSummarised,
    NoteTagInfo,
    SuggestTags,
    Summarise,
    SummariseAnswer,
    SummaryInfo,
    TagInfo,
    TagsAnswer,
    VersionInfo,
)
from services.notes.service import Notes
from services.notes.store import FoundBy, Note, NoteHit, Summary, VersionConflict
from services.notes.tags import sought
from services.notes.which import Place, RankingLost, Which
from services.web.asking import Asking
from services.web.fields import Query as Words
from services.web.paging import After, Limit, Position, position, sliced
from services.web.problems import Problem, missing
from services.web.provenance import told
from services.web.room import room
from services.web.streams import while_read
from services.web.workspace import Workspace

STORABLE = r"^[^\x00]*$"
MOST_RANKED = 10_000
"""How deep a search may be read, in notes: each page ranks all that comes before it."""

NoteId = Annotated[str, Path(max_length=100, pattern=r"^[^\x00]+$")]
_ETAG = re.compile(r'"(\d{1,15})"')


def router() -> APIRouter:
    """The routes of Notes."""
    routes = APIRouter(prefix="/v1", tags=["notes"])
    add = routes.add_api_route
    add("/notes", add_note, methods=["POST"], status_code=201, summary="Save a new note")
    add("/notes", list_notes, methods=["GET"], summary="A page of notes")
    add("/notes/{note_id}", get_note, methods=["GET"], summary="One note with its summary")
    add("/notes/{note_id}", save_note, methods=["PUT"], summary="Save over the version in If-Match")
    add("/notes/{note_id}", delete_note, methods=["DELETE"], status_code=204, summary="Forget it for good")
    add("/notes/{note_id}/archived", archive_note, methods=["PUT"], summary="Out of the lists, or back in them")
    add("/notes/{note_id}/history", note_history, methods=["GET"], summary="Every version that was saved")
    add("/notes/{note_id}/summary", summarise_note, methods=["POST"], summary="Summarise a note and keep it")
    add("/search", search, methods=["GET"], summary="Find notes; asks no model")
    add("/summarize", summarise, methods=["POST"], summary="Summarise a text; stores nothing")
    add("/tags", suggest_tags, methods=["POST"], summary="Suggest tags for a text; stores nothing")
    return routes


def _notes(request: Request, workspace: Workspace) -> Notes:
    use_cases = room(request).use_cases(workspace)
    assert isinstance(use_cases, Notes)
    return use_cases


UseCases = Annotated[Notes, Depends(_notes)]


async def add_note(body: NoteBody, notes: UseCases, response: Response) -> NoteInfo:
    """Never waits for a model."""
    note = await notes.notebook.add(body.title, body.text)
    response.headers["Location"] = f"/v1/notes/{note.id}"
    return tagged(response, note)


async def list_notes(notes: UseCases, limit: Limit = 20, after: After = "", archived: bool = False) -> NotePage:
    """Notes oldest first, the archived ones with `archived`; `after` is the `next` of the page before."""
    [number] = position(after, "notes", int, filters=archived) or (0,)
    found = await notes.notebook.page(limit + 1, int(number), archived=archived)
    shown, onward = sliced(found, limit, "notes", lambda n: (n.number,), filters=archived)
    return NotePage(notes=[info(n) for n in shown], next=onward)


async def get_note(note_id: NoteId, notes: UseCases, response: Response) -> NoteInfo:
    """The note; `summary.stale` when it was saved after its summary was made."""
    return tagged(response, await known(notes, note_id))


async def save_note(
    note_id: NoteId,
    body: NoteBody,
    notes: UseCases,
    response: Response,
    if_match: Annotated[str | None, Header(description='The ETag that was read, or "*" for any version.')] = None,
) -> NoteInfo:
    """412 when somebody saved meanwhile, 428 without If-Match, so that nobody's words are lost by accident."""
    expected = _expected(if_match)
    try:
        note = await notes.notebook.save(note_id, body.title, body.text, expected=expected)
    except VersionConflict as exc:
        raise Problem(412, "note-changed", f"{exc}; read it again", current=f'"{exc.current}"') from exc
    if note is None:
        raise missing("note", note_id)
    return tagged(response, note)


async def archive_note(note_id: NoteId, body: ArchivedBody, notes: UseCases, response: Response) -> NoteInfo:
    """Lists and searches leave archived notes out; nothing else changes, the version neither."""
    note = await notes.notebook.archive(note_id, is_archived=body.archived)
    if note is None:
        raise missing("note", note_id)
    return tagged(response, note)


async def note_history(note_id: NoteId, notes: UseCases) -> NoteHistory:
    """What the note said at each save, newest first."""
    versions = await notes.notebook.history(note_id)
    if not versions:
        raise missing("note", note_id)
    return NoteHistory(versions=[VersionInfo.model_validate(v) for v in versions])


async def delete_note(note_id: NoteId, notes: UseCases) -> None:
    """The note, its history, its summary and its index entries are gone, not hidden."""
    if not await notes.notebook.delete(note_id):
        raise missing("note", note_id)


async def search(
    notes: UseCases,
    q: Words,
    limit: Limit = 20,
    after: After = "",
    tag: Annotated[str, Query(max_length=300, pattern=STORABLE, description="Only notes that have this tag.")] = "",
    archived: bool = False,
) -> NoteHits:
    """Works when every engine is down. With `archived` among the archived notes, else among the others.

    `after` is the `next` of the page before; the next page begins behind its last note, wherever that ranks by then.
    """
    found = await searched(notes, q, limit, after, Which(tag=sought(tag), archived=archived))
    hits = [NoteHitInfo.model_validate(h) for h in found.hits]
    return NoteHits(hits=hits, by=found.by, next=found.onward)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of found notes, what they were judged by, and the cursor of the next page."""

    hits: Sequence[NoteHit]
    by: FoundBy
    onward: str | None


async def searched(notes: Notes, words: str, limit: int, after: str, which: Which) -> Page:
    """The page of a search behind the cursor `after`.

    Raises `Problem` 400 for one of another search, and 503 where its ranking cannot be gone on with now.
    """
    filters = [words, which.tag, which.archived]
    place = _place(position(after, "search", int, str, str, filters=filters))
    try:
        found, by = await notes.search(words, limit + 1, which, place)
    except RankingLost as exc:
        detail = "no vector can be compared now, and these pages are by meaning; begin the search again, or wait"
        raise Problem(503, "ranking-lost", detail, headers={"Retry-After": "5"}) from exc
    shown, onward = sliced(found, limit, "search", lambda h: (h.rank, h.id, by.value), filters=filters)
    is_deep = bool(shown) and shown[-1].rank >= MOST_RANKED
    return Page(hits=shown, by=by, onward=None if is_deep else onward)


def _place(found: Position | None) -> Place | None:
    """Where a search is gone on with. Raises `Problem` 400 for a place that no page ends with."""
    if found is None:
        return None
    rank, note_id, by = found
    if not 0 < int(rank) <= MOST_RANKED or by not in set(FoundBy):
        raise Problem(400, "cursor-invalid", "`after` is not the `next` of a page of this list with these filters")
    return Place(rank=int(rank), note_id=str(note_id), by=FoundBy(by))


async def summarise(
    body: Summarise, notes: UseCases, wishes: Asking, request: Request, response: Response
) -> SummariseAnswer:
    """A summary of the text in the body."""
    answer = await while_read(request, notes.summarise(body.text, body.max_tokens, wishes))
    return SummariseAnswer(summary=answer.text.strip(), llm=told(response, answer))


async def summarise_note(
    note_id: NoteId, notes: UseCases, wishes: Asking, request: Request, response: Response
) -> NoteSummarised:
    """The note with a summary of the version it has now, kept with who wrote it."""
    note = await known(notes, note_id)
    summarised, answer = await while_read(request, notes.summarise_note(note, wishes))
    if summarised is None:
        raise missing("note", note_id)
    return NoteSummarised(llm=told(response, answer), **tagged(response, summarised).model_dump())


async def suggest_tags(
    body: SuggestTags, notes: UseCases, wishes: Asking, request: Request, response: Response
) -> TagsAnswer:
    """At most three tags of the vocabulary and at most two new ones."""
    found, answer = await while_read(request, notes.suggest_tags(body.text, body.vocabulary, body.max_tokens, wishes))
    return TagsAnswer(tags=[TagInfo.model_validate(t) for t in found], llm=told(response, answer))


async def known(notes: Notes, note_id: str) -> Note:
    """The note. Raises `Problem` 404."""
    note = await notes.notebook.get(note_id)
    if note is None:
        raise missing("note", note_id)
    return note


def _expected(if_match: str | None) -> int | None:
    """The version of a strong ETag; None for `*`. A weak or foreign tag matches no version."""
    if if_match is None:
        raise Problem(428, "if-match-missing", "send the note's ETag as If-Match, so that no other save is lost")
    if if_match.strip() == "*":
        return None
    tag = _ETAG.fullmatch(if_match.strip())
    return int(tag[1]) if tag else -1


def tagged(response: Response, note: Note) -> NoteInfo:
    """The note as JSON, its version as the ETag of `response`."""
    response.headers["ETag"] = f'"{note.version}"'
    return info(note)


def info(note: Note) -> NoteInfo:
    """The note as JSON."""
    return NoteInfo(
        id=note.id,
        title=note.title,
        text=note.text,
        version=note.version,
        created_at=note.created_at,
        updated_at=note.updated_at,
        archived=note.is_archived,
        path=note.path,
        summary=summary_info(note, note.summary),
        tags=[NoteTagInfo.model_validate(t) for t in note.tags],
        jobs=[NoteJobInfo.model_validate(j) for j in note.jobs],
    )


def summary_info(note: Note, made: Summary | None) -> SummaryInfo | None:
    """A summary of the note as JSON."""
    if made is None:
        return None
    is_stale = made.of_version != note.version
    return SummaryInfo(text=made.text, of_version=made.of_version, stale=is_stale, producer=made.producer)
