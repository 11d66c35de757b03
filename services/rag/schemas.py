"""The JSON of RAG's requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rag.search import Mode
from services.web.answer_json import Answered, AskBody
from services.web.fields import Body, Line, Query, Text

STORABLE = r"^[^\x00]*$"
"""What an id may hold; PostgreSQL takes no NUL."""

CollectionId = Annotated[
    str, StringConstraints(max_length=64, pattern=STORABLE), Field(description="Id of a collection; empty: none.")
]
OneCollection = Annotated[
    str | None, Field(max_length=64, min_length=1, pattern=STORABLE, description="Only this collection, by its id.")
]
K = Annotated[int, Field(ge=1, le=20, description="How many passages.")]


class NewDocument(Body):
    """A document to answer from."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"title": "Backups", "text": "The nightly backup of rack B starts at 02:40."}}
    )

    title: Line
    text: Text
    collection: CollectionId = ""


class DocumentSummary(BaseModel):
    """A stored document without its text."""

    id: str
    title: str
    chunks: int
    chars: int
    created_at: str
    collection: str
    source: str
    media_type: str


class DocumentDetail(DocumentSummary):
    """A stored document."""

    text: str


class DocumentList(BaseModel):
    """Stored documents, oldest first; `next` is null on the last page."""

    documents: list[DocumentSummary]
    next: str | None


class Search(Body):
    """What to look for; no model is asked."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": "when does the backup start", "k": 3}})

    query: Query
    k: K = 3
    collection: OneCollection = None
    mode: Annotated[
        Mode, Field(strict=False, description="hybrid: by meaning and words; without an embedder by words only.")
    ] = Mode.HYBRID


class HitInfo(BaseModel):
    """A found passage: `text` is exactly `start`..`end` of its document; a higher score is better."""

    model_config = ConfigDict(from_attributes=True)

    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    text: str
    score: float
    page: int | None


class Hits(BaseModel):
    """Found passages, best first. `mode` is how they were found, `reason` why not as it was asked, else empty."""

    hits: list[HitInfo]
    mode: Mode
    reason: str


class Ask(AskBody):
    """A question to answer from the documents; with `stream` the answer comes as server-sent events."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"question": "When does the nightly backup start?", "k": 3, "max_tokens": 48}}
    )

    k: K = 3
    collection: OneCollection = None


class CitationInfo(BaseModel):
    """A sentence the answer rests on: `quote` is exactly `start`..`end` of its document.

    `verified`: the stored document was read again after the answer and holds it there.
    """

    model_config = ConfigDict(from_attributes=True)

    n: int
    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    quote: str
    page: int | None
    verified: bool


class AskAnswer(Answered[CitationInfo]):
    """An answer; `answerable` is false where the documents do not say it; `llm` is null where no model was asked."""
