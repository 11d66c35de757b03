"""The page of jobs: what is being made of notes after their saves, what failed and why, and making things anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.notes.api import UseCases
from services.notes.schemas_tags import Rerun
from services.notes.service import Notes
from services.notes.ui_forms import checked
from services.pages.forms import fields
from services.pages.rendering import page
from services.store.jobs import Job, State
from services.web.page_paths import PAGES
from services.web.paging import MAX_CURSOR_CHARS, position, sliced

SHOWN = 20

After = Annotated[str, Query(max_length=MAX_CURSOR_CHARS)]


def router() -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/jobs", show, methods=["GET"])
    routes.add_api_route("/jobs", make_anew, methods=["POST"])
    return routes


async def show(request: Request, notes: UseCases, state: State | str = "", after: After = "") -> Response:
    """Newest first, of one state where one is chosen; an unknown one is as none."""
    chosen = State(state) if state in set(State) else None
    return await _page(request, notes, chosen, after)


async def make_anew(request: Request, notes: UseCases) -> Response:
    """Jobs for what is stale, failed, or of another model than the one named; the page again says how many."""
    sent = await fields(request)
    where = sent.get("where", "")
    where = f"model!={sent.get('model', '').strip()}" if where == "model" else where
    body, problems = checked(Rerun, {"where": where})
    if body is None or body.where == "vectors":  # those are every workspace's, for whoever holds the admin token
        problems = ["choose what to make anew, and name the model where it is about one"]
        return await _page(request, notes, None, "", problems=problems, model=sent.get("model", ""))
    count = sum((await notes.notebook.rerun(body.where)).values())
    said = "Nothing is to be made anew." if not count else f"{count} {'job' if count == 1 else 'jobs'} asked for."
    return await _page(request, notes, None, "", said=said)


async def _page(
    request: Request,
    notes: Notes,
    state: State | None,
    after: str,
    *,
    problems: list[str] | None = None,
    said: str = "",
    model: str = "",
) -> Response:
    before = position(after, "ui-jobs", int, filters=state)
    found = await notes.notebook.jobs(SHOWN + 1, before=None if before is None else int(before[0]), state=state)
    jobs, onward = sliced(found, SHOWN, "ui-jobs", lambda job: (job.number,), filters=state)
    is_part = bool(request.headers.get("HX-Request")) and request.method == "GET"
    return page(
        request,
        "_note_jobs.html" if is_part else "note_jobs.html",
        status=422 if problems else 200,
        jobs=[(job, await _title(notes, job)) for job in jobs],
        is_busy=any(job.state in (State.QUEUED, State.RUNNING) for job in jobs),
        states=list(State),
        state=state,
        after=after,
        onward=onward,
        problems=problems or [],
        said=said,
        model=model,
    )


async def _title(notes: Notes, job: Job) -> str | None:
    """The title of the job's note; None where it is gone."""
    note = await notes.notebook.get(str(job.payload["note"]))
    return None if note is None else note.title
