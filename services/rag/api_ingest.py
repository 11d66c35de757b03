"""HTTP for what comes into RAG: documents of every kind, their jobs with reasons, their passages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.rag.api import Id, UseCases, known_collection, summary_of
from services.rag.ingest import Wanted
from services.rag.receiving import described, received
from services.rag.schemas import DocumentSummary, NewDocument
from services.rag.schemas_ingest import ChunkInfo, ChunkList, JobInfo, JobList, NewUrl, ReasonInfo
from services.rag.store import CollectionGone, DocumentInfo
from services.store.jobs import Job, State
from services.web.paging import After, Limit, position, sliced
from services.web.problems import Problem, missing

_ADDED: dict[int | str, dict[str, Any]] = {
    200: {"model": DocumentSummary, "description": "The document of this content, which was there already"},
    202: {"model": JobInfo, "description": "The job that reads the file or the address; the file is kept by now"},
}


def router() -> APIRouter:
    """The routes of documents that come in, and of jobs."""
    routes = APIRouter(prefix="/v1", tags=["rag"])
    add = routes.add_api_route
    add(
        "/documents",
        add_document,
        methods=["POST"],
        status_code=201,
        response_model=DocumentSummary | JobInfo,
        responses=_ADDED,
        openapi_extra=described(),
        summary="Store and index a text, a file or what is at an address",
    )
    add("/documents/{document_id}/chunks", list_chunks, methods=["GET"], summary="The passages of a document")
    reindex = "Cut and index a stored document anew"
    add("/documents/{document_id}/reindex", reindex_document, methods=["POST"], status_code=202, summary=reindex)
    add("/jobs", list_jobs, methods=["GET"], summary="Jobs, the newest first")
    add("/jobs/{job_id}", get_job, methods=["GET"], summary="Where one job stands, and why it failed")
    add("/jobs/{job_id}/retry", retry_job, methods=["POST"], status_code=202, summary="Try a failed job again")
    add("/jobs/{job_id}", forget_job, methods=["DELETE"], status_code=204, summary="Forget a job and its file")
    return routes


async def add_document(request: Request, rag: UseCases, response: Response) -> DocumentSummary | JobInfo:
    """201 with the new document for a text; 202 with a job for a file or an address; 200 where it is there already."""
    body = await received(request)
    if isinstance(body, NewDocument):
        try:
            document, is_new = await rag.add(body.title, body.text, body.collection)
        except CollectionGone as exc:
            raise missing("collection", body.collection) from exc
        return _stored(document, response, 201 if is_new else 200)
    if isinstance(body, NewUrl):
        await known_collection(rag, body.collection)
        wanted = Wanted(title=body.title or "", collection=body.collection)
        return _accepted(await rag.ingest.take_from(rag.documents, body.url, wanted), response)
    source, wanted = body
    await known_collection(rag, wanted.collection)
    taken = await rag.ingest.take(rag.documents, source, wanted)
    return _accepted(taken, response) if isinstance(taken, Job) else _stored(taken, response, 200)


async def list_chunks(document_id: Id, rag: UseCases) -> ChunkList:
    """What the document was cut into; each an exact span of its text."""
    found = await rag.documents.chunks(document_id)
    if not found and await rag.documents.get(document_id) is None:
        raise missing("document", document_id)
    return ChunkList(chunks=[ChunkInfo.model_validate(c) for c in found])


async def reindex_document(document_id: Id, rag: UseCases, response: Response) -> JobInfo:
    """Its text stays; its passages are made anew, by the cutter and the embedding model of now."""
    if await rag.documents.get(document_id) is None:
        raise missing("document", document_id)
    return _accepted(await rag.ingest.again(rag.documents, document_id), response)


async def list_jobs(
    rag: UseCases,
    limit: Limit = 20,
    after: After = "",
    state: Annotated[State | None, Query(description="Only those that stand there.")] = None,
) -> JobList:
    """Every job of this workspace that nobody forgot."""
    before = position(after, "jobs", int, filters={"state": state})
    rows = await rag.documents.jobs(limit + 1, int(before[0]) if before else None, state)
    shown, onward = sliced(rows, limit, "jobs", lambda job: (job.number,), filters={"state": state})
    return JobList(jobs=[_job_info(job) for job in shown], next=onward)


async def get_job(job_id: Id, rag: UseCases) -> JobInfo:
    """Its state, and the reason of its last failure."""
    job = await rag.documents.job(job_id)
    if job is None:
        raise missing("job", job_id)
    return _job_info(job)


async def retry_job(job_id: Id, rag: UseCases, response: Response) -> JobInfo:
    """From its start. 409 for a job that has not failed."""
    job = await rag.documents.job(job_id)
    if job is None:
        raise missing("job", job_id)
    if job.state is not State.FAILED:
        raise Problem(409, "job-not-failed", f"the job is {job.state}; only a failed one can be tried again")
    again = await rag.ingest.retry(rag.documents, job_id)
    return _accepted(again or job, response)


async def forget_job(job_id: Id, rag: UseCases) -> None:
    """The file that it was to read is gone as well; a document that it made stays."""
    if not await rag.documents.forget_job(job_id):
        raise missing("job", job_id)


def _stored(document: DocumentInfo, response: Response, status: int) -> DocumentSummary:
    response.status_code = status
    response.headers["Location"] = f"/v1/documents/{document.id}"
    return summary_of(document)


def _accepted(job: Job, response: Response) -> JobInfo:
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _job_info(job)


def _job_info(job: Job) -> JobInfo:
    reason = None
    if job.error_code is not None:
        reason = ReasonInfo(code=job.error_code, message=job.error_message or "")
    return JobInfo(
        id=job.id,
        kind=job.kind,
        state=job.state,
        name=str(job.payload["name"]),
        attempts=job.attempts,
        run_after=job.run_after,
        document_id=job.payload.get("document_id"),
        error=reason,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
