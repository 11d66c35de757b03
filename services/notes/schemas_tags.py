"""The JSON of Notes' tags, folders and jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.notes.job_rows import PRODUCED
from services.notes.pages import MAX_SLUG_CHARS
from services.notes.schemas import NoteInfo, NoteJobInfo, SummaryInfo, has_letters
from services.notes.store import Outcome
from services.notes.tags import slug
from services.web.fields import Body, Line
from services.web.provenance import LLMInfo


def _storable(tag: str) -> str:
    """A tag in the form that it is stored in."""
    made = slug(has_letters(tag))
    if len(made) > MAX_SLUG_CHARS:
        raise ValueError(f"a tag has at most {MAX_SLUG_CHARS} characters")
    return made


StoredTag = Annotated[Line, AfterValidator(_storable)]


class NoteTagged(NoteInfo):
    """The note with its new suggestions, and who made them."""

    llm: LLMInfo


class JudgeTags(Body):
    """Tags to accept or to reject, whether or not they were suggested."""

    model_config = ConfigDict(json_schema_extra={"example": {"tags": ["hardware"]}})

    tags: Annotated[list[StoredTag], Field(min_length=1, max_length=50)]


class TagCountInfo(BaseModel):
    """A tag, and on how many notes it is accepted and suggested."""

    model_config = ConfigDict(from_attributes=True)

    tag: str
    accepted: int
    suggested: int


class TagList(BaseModel):
    """Every tag in use, the most used first."""

    tags: list[TagCountInfo]


class MergeTags(Body):
    """Tags to make one; who uses an old name from then on means the new one."""

    model_config = ConfigDict(json_schema_extra={"example": {"tags": ["gpu-fan", "fans"], "into": "cooling"}})

    tags: Annotated[list[StoredTag], Field(min_length=1, max_length=50)]
    into: StoredTag


class TagsMerged(BaseModel):
    """The tag, and how many notes have it now."""

    tag: str
    notes: int


class ImportedInfo(BaseModel):
    """What became of a file; `reason` where it was refused, `left_out` what of it is not kept and why."""

    model_config = ConfigDict(from_attributes=True)

    path: str
    outcome: Outcome
    note_id: str | None
    reason: str | None
    left_out: list[str]


class ImportReport(BaseModel):
    """Every file of the folder that was sent."""

    files: list[ImportedInfo]


class JobInfo(NoteJobInfo):
    """A job, and the note that it is about."""

    note_id: str
    created_at: str
    updated_at: str


class JobPage(BaseModel):
    """Some jobs, newest first; pass `next` as `after` for more, null when there are none."""

    jobs: list[JobInfo]
    next: str | None


class Rerun(Body):
    """What to make anew: `stale`, `failed`, `outdated` (an older prompt's), `vectors` (of all notes), by producer."""

    model_config = ConfigDict(json_schema_extra={"example": {"where": "provider=ollama", "dry_run": True}})

    where: Annotated[Line, Field(pattern=rf"^(stale|failed|outdated|vectors|{PRODUCED})$")]
    dry_run: bool = Field(default=False, description="Only count what would be made anew.")


class RerunAnswer(BaseModel):
    """How many jobs there are now for it, or would be, and how many of them are for which kind."""

    jobs: int
    summaries: int = 0
    tags: int = 0
    vectors: int = 0
    is_dry_run: bool = False


class SummariesInfo(BaseModel):
    """A note's summary, and the one that it took the place of; each says who made it."""

    summary: SummaryInfo | None
    before: SummaryInfo | None
