"""Notes' HTTP face for what is made after a save: the jobs, and making things anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from services.notes.api import NoteId, UseCases, summary_info
from services.notes.schemas_tags import JobInfo, JobPage, Rerun, RerunAnswer, SummariesInfo
from services.notes.store import Kind, NothingBefore
from services.store.jobs import Job, State
from services.web.auth import holds_token
from services.web.idempotency import nothing_done
from services.web.paging import After, Limit, position, sliced
from services.web.problems import Problem, missing
from services.web.room import room

JobId = Annotated[str, Path(max_length=100, pattern=r"^[^\x00]+$")]


def router() -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix="/v1", tags=["notes"])
    add = routes.add_api_route
    add("/jobs", list_jobs, methods=["GET"], summary="Jobs, newest first")
    add("/jobs/{job_id}", get_job, methods=["GET"], summary="One job")
    add("/notes/{note_id}/summary", summaries, methods=["GET"], summary="The summary, and the one before it")
    add("/notes/{note_id}/summary:restore", restore, methods=["POST"], summary="Turn the two summaries round")
    add("/rerun", rerun, methods=["POST"], status_code=202, summary="Make summaries and suggestions anew")
    return routes


async def list_jobs(notes: UseCases, limit: Limit = 20, after: After = "", state: State | None = None) -> JobPage:
    """Those of one state where `state` is given; the dead letters are the `failed` ones."""
    before = position(after, "jobs", int, filters=state)
    found = await notes.notebook.jobs(limit + 1, before=None if before is None else int(before[0]), state=state)
    shown, onward = sliced(found, limit, "jobs", lambda job: (job.number,), filters=state)
    return JobPage(jobs=[_info(job) for job in shown], next=onward)


async def get_job(job_id: JobId, notes: UseCases) -> JobInfo:
    """Where it stands, and why where it failed."""
    job = await notes.notebook.job(job_id)
    if job is None:
        raise missing("job", job_id)
    return _info(job)


async def rerun(body: Rerun, notes: UseCases, request: Request) -> RerunAnswer:
    """What is there stays until the new one is; a person's own tags are never touched.

    `vectors` are those of every workspace, because a store has one space: that needs the admin token.
    """
    if body.where == "vectors":
        if not holds_token(request, room(request).admin_token):
            raise Problem(
                403, "admin-token-missing", "vectors of the whole store need the ADMIN_TOKEN, as for /api/admin"
            )
        if body.dry_run:
            raise Problem(422, "no-dry-run", "vectors are those of every note; without dry_run they are made anew")
        count = await notes.notebook.vectors_anew()
        return RerunAnswer(jobs=count, vectors=count)
    if body.dry_run:
        nothing_done(request)
    found = await notes.notebook.rerun(body.where, is_dry_run=body.dry_run)
    return RerunAnswer(
        jobs=sum(found.values()),
        summaries=found.get(Kind.SUMMARY, 0),
        tags=found.get(Kind.TAGS, 0),
        vectors=found.get(Kind.VECTORS, 0),
        is_dry_run=body.dry_run,
    )


async def summaries(note_id: NoteId, notes: UseCases) -> SummariesInfo:
    """Both as they are stored: what made each, and of which version of the note."""
    note = await notes.notebook.get(note_id)
    if note is None:
        raise missing("note", note_id)
    before = await notes.notebook.summary_before(note_id)
    return SummariesInfo(summary=summary_info(note, note.summary), before=summary_info(note, before))


async def restore(note_id: NoteId, notes: UseCases) -> SummariesInfo:
    """The note has the earlier summary again; asked twice, the one that it had before: they take turns."""
    try:
        note = await notes.notebook.restore_summary(note_id)
    except NothingBefore as exc:
        raise Problem(409, "nothing-before", "the summary of this note took the place of none") from exc
    if note is None:
        raise missing("note", note_id)
    return await summaries(note_id, notes)


def _info(job: Job) -> JobInfo:
    return JobInfo(
        id=job.id,
        kind=job.kind,
        state=job.state,
        attempts=job.attempts,
        note_id=str(job.payload["note"]),
        error_code=job.error_code,
        error_message=job.error_message,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
