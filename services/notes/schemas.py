"""The JSON of Notes' requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.notes.prompts import MAX_TAG_CHARS
from services.notes.store import FoundBy, TagState
from services.notes.tags import key
from services.store.jobs import State
from services.web.fields import Body, Line, MaxTokens, Text
from services.web.provenance import LLMInfo, Producer

MAX_VOCABULARY = 200
"""All of them go into the prompt: about 600 tokens at most."""


def has_letters(tag: str) -> str:
    """Refuses a tag that is nothing but signs; no answer could be told apart from it."""
    if not key(tag):
        raise ValueError("a tag needs a letter or a digit")
    return tag


KnownTag = Annotated[Line, Field(max_length=MAX_TAG_CHARS), AfterValidator(has_letters)]


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


class NoteTagInfo(BaseModel):
    """A tag of a note, set on version `of_version` of it; `producer` is null where a person set it."""

    model_config = ConfigDict(from_attributes=True)

    tag: str
    state: TagState
    of_version: int
    producer: Producer | None


class NoteJobInfo(BaseModel):
    """Work on the note that is not done; a `failed` one says why, and is not tried again by itself."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    state: State
    attempts: int
    error_code: str | None
    error_message: str | None


class NoteInfo(BaseModel):
    """A stored note. Its version is its ETag as well; `path` is where it lay in the folder that it came with."""

    id: str
    title: str
    text: str
    version: int
    created_at: str
    updated_at: str
    archived: bool
    path: str
    summary: SummaryInfo | None
    tags: list[NoteTagInfo]
    jobs: list[NoteJobInfo]


class NotePage(BaseModel):
    """Some notes, oldest first; pass `next` as `after` for more, null when there are none."""

    notes: list[NoteInfo]
    next: str | None


class ArchivedBody(Body):
    """Whether the note is to be out of the lists."""

    model_config = ConfigDict(json_schema_extra={"example": {"archived": True}})

    archived: bool


class VersionInfo(BaseModel):
    """What a note said at one save."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    title: str
    text: str
    saved_at: str


class NoteHistory(BaseModel):
    """Every version of a note, newest first."""

    versions: list[VersionInfo]


class LinkInfo(BaseModel):
    """A link in a note's text by the name that it uses; `note_id` is null where there is no such note."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    note_id: str | None


class NearInfo(BaseModel):
    """A note like another one."""

    id: str
    title: str


class Related(BaseModel):
    """What a note links to, who links to it, and the notes most like it; `by` is what likeness was judged by."""

    links: list[LinkInfo]
    linked_from: list[str]
    near: list[NearInfo]
    by: FoundBy


class NoteHitInfo(BaseModel):
    """A found note with the place that was found."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str
    snippet: str
    score: float


class NoteHits(BaseModel):
    """Found notes, best first; by `meaning` and words where an embedder answers, else by `words`.

    `next` is null on the last page, and behind the best 10,000.
    """

    hits: list[NoteHitInfo]
    by: FoundBy
    next: str | None


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
