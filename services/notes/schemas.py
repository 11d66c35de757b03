"""The JSON of Notes' requests and answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.web.fields import Body, Line, MaxTokens, Text
from services.web.provenance import LLMInfo, Producer


class NoteBody(Body):
    """A note as a person writes it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}}
    )

    title: Line
    text: Text


class SummaryInfo(BaseModel):
    """A stored summary; `stale` when the note was saved after the version it was made of."""

    text: str
    of_version: int
    stale: bool
    producer: Producer


class NoteInfo(BaseModel):
    """A stored note. Its version is its ETag as well."""

    id: str
    title: str
    text: str
    version: int
    created_at: str
    updated_at: str
    summary: SummaryInfo | None


class NotePage(BaseModel):
    """Some notes, oldest first; pass `next` as `after` for more, null when there are none."""

    notes: list[NoteInfo]
    next: str | None


class NoteHitInfo(BaseModel):
    """A found note with the place that was found."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str
    snippet: str
    score: float


class NoteHits(BaseModel):
    """Found notes, best first."""

    hits: list[NoteHitInfo]


class Summarise(Body):
    """A text to summarise; nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"text": "Ivo swaps the fan of gpu-2 on Thursday.", "max_tokens": 32}}
    )

    text: Text
    max_tokens: MaxTokens = 32


class SummariseAnswer(BaseModel):
    """A summary and who wrote it."""

    summary: str
    llm: LLMInfo


class NoteSummarised(NoteInfo):
    """The note with its new summary, and who wrote it."""

    llm: LLMInfo
