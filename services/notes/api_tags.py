"""Notes' HTTP face for tags of stored notes: suggest, accept, reject, count, merge; and what a note is related to."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.notes.api import NoteId, UseCases, known, tagged
from services.notes.schemas import LinkInfo, NearInfo, NoteInfo, Related
from services.notes.schemas_tags import JudgeTags, MergeTags, NoteTagged, TagCountInfo, TagList, TagsMerged
from services.notes.store import TagState, UnknownTags
from services.web.asking import Asking
from services.web.problems import missing
from services.web.provenance import told
from services.web.streams import while_read

SHOWN = 10
"""Notes that are told as near."""


def router() -> APIRouter:
    """The routes of tags."""
    routes = APIRouter(prefix="/v1", tags=["notes"])
    add = routes.add_api_route
    add("/notes/{note_id}/tags:suggest", suggest_for_note, methods=["POST"], summary="Suggest tags, and keep them")
    add("/notes/{note_id}/tags:accept", accept_tags, methods=["POST"], summary="Accept tags, suggested or one's own")
    add("/notes/{note_id}/tags:reject", reject_tags, methods=["POST"], summary="Reject tags for good")
    add("/notes/{note_id}/related", related, methods=["GET"], summary="Links, and notes that are like it")
    add("/tags", list_tags, methods=["GET"], summary="Every tag with its counts")
    add("/tags/merge", merge_tags, methods=["POST"], summary="Make several tags one")
    return routes


async def suggest_for_note(
    note_id: NoteId, notes: UseCases, wishes: Asking, request: Request, response: Response
) -> NoteTagged:
    """At most three of the workspace's own tags and two new ones, in place of what was suggested before."""
    note = await known(notes, note_id)
    suggested, answer = await while_read(request, notes.tag_note(note, wishes))
    if suggested is None:
        raise missing("note", note_id)
    return NoteTagged(llm=told(response, answer), **tagged(response, suggested).model_dump())


async def accept_tags(note_id: NoteId, body: JudgeTags, notes: UseCases, response: Response) -> NoteInfo:
    """The note with these tags, whether a model suggested them or not."""
    return await _judged(note_id, body, notes, response, TagState.ACCEPTED)


async def reject_tags(note_id: NoteId, body: JudgeTags, notes: UseCases, response: Response) -> NoteInfo:
    """The note without these tags; no model suggests them for it again."""
    return await _judged(note_id, body, notes, response, TagState.REJECTED)


async def related(note_id: NoteId, notes: UseCases) -> Related:
    """Works when every engine is down."""
    note = await known(notes, note_id)
    links, linked_from = await notes.notebook.links(note)
    found, by = await notes.near(note, SHOWN)
    near = [NearInfo(id=n.id, title=n.title) for n in found]
    return Related(links=[LinkInfo.model_validate(link) for link in links], linked_from=linked_from, near=near, by=by)


async def list_tags(notes: UseCases) -> TagList:
    """The workspace's vocabulary, which suggestions are made from."""
    return TagList(tags=[TagCountInfo.model_validate(t) for t in await notes.notebook.tags()])


async def merge_tags(body: MergeTags, notes: UseCases) -> TagsMerged:
    """Every note that had one of them has the one; their names mean it from now on, in imports as well."""
    try:
        count = await notes.notebook.merge(body.tags, body.into)
    except UnknownTags as exc:
        raise missing("tag", str(exc)) from exc
    return TagsMerged(tag=body.into, notes=count)


async def _judged(note_id: str, body: JudgeTags, notes: UseCases, response: Response, state: TagState) -> NoteInfo:
    note = await notes.notebook.judged(note_id, body.tags, state)
    if note is None:
        raise missing("note", note_id)
    return tagged(response, note)
