"""NER's HTTP face for reading documents anew, and the jobs that do it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from services.ner.anew import PRODUCED
from services.ner.seen import Seen
from services.store.jobs import Job, State
from services.web.fields import Body, Line, MaxTokens
from services.web.idempotency import nothing_done
from services.web.paging import After, Limit, position, sliced


class Rerun(Body):
    """What to read anew: by an older prompt (`outdated`), what gave up (`failed`), or by who read it."""

    model_config = ConfigDict(json_schema_extra={"example": {"where": "provider=ollama", "dry_run": True}})

    where: Annotated[Line, Field(pattern=rf"^(failed|outdated|{PRODUCED})$")]
    max_tokens: MaxTokens | None = Field(
        default=None, description="Of each answer; left out, what the document was read with."
    )
    dry_run: bool = Field(default=False, description="Only count what would be read anew.")


class RerunAnswer(BaseModel):
    """How many jobs there are now for it, or would be."""

    jobs: int
    is_dry_run: bool


class JobInfo(BaseModel):
    """A job, the document that it reads anew, and why it failed."""

    id: str
    state: State
    attempts: int
    document_id: str
    error_code: str | None
    error_message: str | None
    created_at: str
    updated_at: str


class JobPage(BaseModel):
    """Some jobs, newest first; pass `next` as `after` for more, null when there are none."""

    jobs: list[JobInfo]
    next: str | None


def router() -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix="/v1", tags=["ner"])
    routes.add_api_route("/jobs", list_jobs, methods=["GET"], summary="Jobs, newest first")
    routes.add_api_route("/rerun", rerun, methods=["POST"], status_code=202, summary="Read documents anew")
    return routes


async def list_jobs(graph: Seen, limit: Limit = 20, after: After = "", state: State | None = None) -> JobPage:
    """Those of one state where `state` is given; the dead letters are the `failed` ones."""
    before = position(after, "jobs", int, filters=state)
    found = await graph.jobs(limit + 1, before=None if before is None else int(before[0]), state=state)
    shown, onward = sliced(found, limit, "jobs", lambda job: (job.number,), filters=state)
    return JobPage(jobs=[_info(job) for job in shown], next=onward)


async def rerun(body: Rerun, graph: Seen, request: Request) -> RerunAnswer:
    """What was read stays until the new reading is there; merges, rejections and splits stay as they are.

    Each document is asked about with the parameters that it was read with, unless `max_tokens` says otherwise.
    """
    if body.dry_run:
        nothing_done(request)
    count = await graph.rerun(body.where, is_dry_run=body.dry_run, max_tokens=body.max_tokens)
    return RerunAnswer(jobs=count, is_dry_run=body.dry_run)


def _info(job: Job) -> JobInfo:
    return JobInfo(
        id=job.id,
        state=job.state,
        attempts=job.attempts,
        document_id=str(job.payload["document"]),
        error_code=job.error_code,
        error_message=job.error_message,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
