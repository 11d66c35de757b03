"""The JSON of what comes into RAG: addresses to fetch, jobs and their reasons, collections, passages."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from services.rag.schemas import CollectionId
from services.store.jobs import State
from services.web.fields import Body, Line


class NewUrl(Body):
    """A document to fetch: http or https, from an address of the internet."""

    model_config = ConfigDict(json_schema_extra={"example": {"url": "https://example.org/manual.pdf"}})

    url: Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s\x00-\x1f]+$")]
    title: Line | None = None
    collection: CollectionId = ""


class NewFile(Body):
    """What may be said of an uploaded file: a title of one's own, and where it belongs."""

    title: Line | None = None
    collection: CollectionId = ""


class ReasonInfo(BaseModel):
    """Why a job failed: `code` for programs, `message` for people."""

    code: str
    message: str


class JobInfo(BaseModel):
    """Work that goes on after the answer. `document_id` once its document is there; `error` of the last attempt.

    `failed` is final until somebody retries it; a `queued` one with an error is tried again after `run_after`.
    """

    id: str
    kind: str
    state: State
    name: str
    attempts: int
    run_after: str
    document_id: str | None
    error: ReasonInfo | None
    created_at: str
    updated_at: str


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobInfo]
    next: str | None


class NewCollection(Body):
    """A part of the workspace that can be searched alone."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Runbooks"}})

    name: Line


class CollectionInfo(BaseModel):
    """A collection and how many documents are in it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    documents: int
    created_at: str


class CollectionList(BaseModel):
    """Every collection, by name."""

    collections: list[CollectionInfo]


class ChunkInfo(BaseModel):
    """A passage: exactly `start`..`end` of its document's text; `page` where the document has pages."""

    model_config = ConfigDict(from_attributes=True)

    chunk: int
    start: int
    end: int
    page: int | None
    text: str


class ChunkList(BaseModel):
    """The passages of a document, in order."""

    chunks: list[ChunkInfo]
