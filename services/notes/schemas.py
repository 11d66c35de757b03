"""The JSON of Notes' requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.notes.prompts import MAX_TAG_CHARS
from services.notes.tags import key
from services.web.fields import Body, Line, MaxTokens, Text
from services.web.provenance import LLMInfo, Producer

MAX_VOCABULARY = 200
"""All of them go into the prompt: about 600 tokens at most."""


def _named(tag: str) -> str:
    """Refuses a tag that is nothing but signs; no answer could be told apart from it."""
    if not key(tag):
        raise ValueError("a tag needs a letter or a digit")
    return tag


KnownTag = Annotated[Line, Field(max_length=MAX_TAG_CHARS), AfterValidator(_named)]


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


class SuggestTags(Body):
    """A text to tag, and the tags to choose from; without any, all are new. Nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"text": "Ivo swaps the fan of gpu-2 on Thursday.", "vocabulary": ["hardware", "meeting"]}
        }
    )

    text: Text
    vocabulary: Annotated[list[KnownTag], Field(max_length=MAX_VOCABULARY, default_factory=list)]
    max_tokens: MaxTokens = 64


class TagInfo(BaseModel):
    """A suggested tag; `new` when the vocabulary does not hold it."""

    model_config = ConfigDict(from_attributes=True)

    tag: str
    new: bool


class TagsAnswer(BaseModel):
    """Tags in the model's order, and who chose them."""

    tags: list[TagInfo]
    llm: LLMInfo
