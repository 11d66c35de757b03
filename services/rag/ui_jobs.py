"""RAG's pages of jobs and collections: pieces of the page of documents."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.pages.forms import fields, parsed
from services.pages.rendering import go, page
from services.rag.api import Id, UseCases
from services.rag.api_collections import add_collection, delete_collection, get_collection, rename_collection
from services.rag.api_ingest import forget_job, list_jobs, retry_job
from services.rag.schemas_ingest import NewCollection
from services.store.jobs import State
from services.web.page_paths import PAGES

LIST = f"{PAGES}/documents"
SHOWN_JOBS = 10
ENDED = "jobsEnded"
"""The event that a page waits for to read its list of documents again."""


def router() -> APIRouter:
    """The routes of jobs and collections."""
    routes = APIRouter(prefix=PAGES)
    add = routes.add_api_route
    add("/jobs", jobs, methods=["GET"])
    add("/jobs/{job_id}/retry", retry, methods=["POST"])
    add("/jobs/{job_id}/forget", forget, methods=["POST"])
    add("/collections", new_collection, methods=["POST"])
    add("/collections/{collection_id}/rename", rename, methods=["POST"])
    add("/collections/{collection_id}/delete", ask_to_delete, methods=["GET"])
    add("/collections/{collection_id}/delete", delete, methods=["POST"])
    return routes


async def job_rows(rag: UseCases) -> dict[str, Any]:
    """The newest jobs; `are_running` while one of them has not ended."""
    found = (await list_jobs(rag, SHOWN_JOBS)).jobs
    return {"jobs": found, "are_running": any(job.state in (State.QUEUED, State.RUNNING) for job in found)}


async def jobs(request: Request, rag: UseCases) -> Response:
    """The list of jobs alone; it says when the last of them ended."""
    values = await job_rows(rag)
    told = page(request, "_jobs.html", **values)
    if not values["are_running"]:
        told.headers["HX-Trigger"] = ENDED
    return told


async def retry(request: Request, job_id: Id, rag: UseCases) -> Response:
    """From its start."""
    await retry_job(job_id, rag, Response())
    return go(request, f"{LIST}#jobs")


async def forget(request: Request, job_id: Id, rag: UseCases) -> Response:
    """With the file that it was to read."""
    await forget_job(job_id, rag)
    return go(request, f"{LIST}#jobs")


async def new_collection(request: Request, rag: UseCases) -> Response:
    """An empty one, chosen."""
    made = await add_collection(parsed(NewCollection, await fields(request)), rag, Response())
    return go(request, f"{LIST}?collection={made.id}")


async def rename(request: Request, collection_id: Id, rag: UseCases) -> Response:
    """Its documents stay."""
    await rename_collection(collection_id, parsed(NewCollection, await fields(request)), rag)
    return go(request, f"{LIST}?collection={collection_id}")


async def ask_to_delete(request: Request, collection_id: Id, rag: UseCases) -> Response:
    """The question before the deed, with how many documents go."""
    found = await get_collection(collection_id, rag)
    return page(
        request,
        "delete.html",
        kind="collection",
        name=found.name,
        with_it=many(found.documents, "document"),
        address=f"collections/{collection_id}",
        back="documents",
    )


async def delete(request: Request, collection_id: Id, rag: UseCases) -> Response:
    """With its documents."""
    await delete_collection(collection_id, rag)
    return go(request, LIST)


def many(number: int, what: str) -> str:
    """`number` of `what` in words: "1 document", "2 documents"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
