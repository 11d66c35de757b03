"""What Notes keeps, and the port that its use cases need: one workspace's notes, their history and their tags."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.notes.pages import Page
from services.notes.which import ANY, Place, Which
from services.notes.which import FoundBy as FoundBy
from services.store.jobs import Job, State
from services.store.vectors import Space
from services.web.provenance import Producer


class TagState(enum.StrEnum):
    """What became of a tag on a note. A rejected one is kept, so that no model suggests it again."""

    SUGGESTED = "suggested"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Outcome(enum.StrEnum):
    """What an import did with a file."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Kind(enum.StrEnum):
    """What may be made of a note after its save."""

    SUMMARY = "summary"
    TAGS = "tags"
    VECTORS = "vectors"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteJob:
    """Work on a note that is not done: it waits, runs, or `failed` for the reason that it gives."""

    id: str
    kind: str
    state: State
    attempts: int
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A stored summary of version `of_version` of its note."""

    text: str
    of_version: int
    producer: Producer


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteTag:
    """A tag of a note, on version `of_version` of it. `producer` is None where a person set it."""

    tag: str
    state: TagState
    of_version: int
    producer: Producer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a note said at one save."""

    version: int
    title: str
    text: str
    saved_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A stored note. `number` orders notes by age; `version` counts its saves.

    `path` is where an imported note lay in its folder, `properties` the YAML of its file that Notes has no field for.
    """

    number: int
    id: str
    title: str
    text: str
    version: int
    created_at: str
    updated_at: str
    is_archived: bool = False
    path: str = ""
    properties: str = ""
    summary: Summary | None = None
    tags: tuple[NoteTag, ...] = ()
    jobs: tuple[NoteJob, ...] = ()

    @property
    def is_stale(self) -> bool:
        """Whether its summary was made of an older version."""
        return self.summary is not None and self.summary.of_version != self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteHit:
    """A found note with the place that was found; a higher score is better. `rank` counts from 1, 0 is unknown."""

    id: str
    title: str
    snippet: str
    score: float
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a note: `text` is exactly `start`..`end` of the text of its version `version`."""

    note_id: str
    title: str
    version: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The vector of what is looked for, and its space."""

    space: Space
    vector: Sequence[float]
    without: str = ""
    """Id of a note that is not looked for, because the others are compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagCount:
    """A tag, and on how many notes it is accepted and suggested."""

    tag: str
    accepted: int
    suggested: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link of a note by the name that it uses; None for a note that is not there."""

    name: str
    note_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A note with all that its file cannot hold, as an import brings it. `path` is None where the file's own counts."""

    page: Page
    path: str | None = None
    version: int = 1
    summary: Summary | None = None
    tags: tuple[NoteTag, ...] = ()
    history: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one file of a folder, and why where it is no note."""

    path: str
    outcome: Outcome
    note_id: str | None = None
    reason: str | None = None
    left_out: tuple[str, ...] = ()


class VersionConflict(Exception):
    """Somebody saved the note meanwhile; `current` is its version now."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the note is at version {current} now")
        self.current = current


class UnknownTags(Exception):
    """Tags that no note of the workspace has."""


class NothingBefore(Exception):
    """The note's summary took the place of none."""


class Notebook(Protocol):
    """The port: the notes of one workspace. What it raises is a `StoreError`, or what it says itself."""

    async def add(self, title: str, text: str) -> Note: ...

    async def get(self, note_id: str) -> Note | None: ...

    async def page(self, limit: int, after: int, *, archived: bool | None = None) -> list[Note]:
        """At most `limit` notes younger than number `after`, oldest first; all of them where `archived` is None."""

    async def newest(self, limit: int, before: int | None, *, tag: str = "", archived: bool = False) -> list[Note]:
        """At most `limit` notes older than number `before`, newest first; only those that have `tag`, where given."""

    async def save(self, note_id: str, title: str, text: str, *, expected: int | None) -> Note | None:
        """The note with a new version. Raises `VersionConflict` unless it was at `expected` (None: at any)."""

    async def archive(self, note_id: str, *, is_archived: bool) -> Note | None:
        """The note out of the lists, or back in them. Its version stays: nothing that it says changes."""

    async def delete(self, note_id: str) -> bool:
        """Forget the note, its history and what was made of it for good; False when there was none."""

    async def history(self, note_id: str) -> list[Version]:
        """Every version of the note, newest first; empty when there is no such note."""

    async def links(self, note: Note) -> tuple[list[Link], list[str]]:
        """The links of the note, and the ids of the notes that link to it."""

    async def search(
        self,
        query: str,
        limit: int,
        meaning: Sought | None = None,
        *,
        which: Which = ANY,
        after: Place | None = None,
    ) -> list[NoteHit]:
        """The best of these notes for the words of `query`, and for `meaning` where given, behind `after`."""

    async def embedded(
        self, note_id: str, found: Sequence[Passage], space: Space, vectors: Sequence[Sequence[float]], *, job: Job
    ) -> None:
        """Keep a vector for each passage, if the note is still at their version; `job` is done with it."""

    async def summarised(self, note_id: str, summary: Summary, *, job: Job | None = None) -> Note | None:
        """The note with `summary` in place of an older one; None when the note is gone.

        `job` is done with it, both or neither. Raises `LeaseLost`.
        """

    async def suggested(self, note_id: str, tags: Sequence[NoteTag], *, job: Job | None = None) -> Note | None:
        """The note with `tags` in place of what was suggested before; accepted and rejected ones stay as they are.

        `job` as above.
        """

    async def judged(self, note_id: str, tags: Sequence[str], state: TagState) -> Note | None:
        """The note with `tags` accepted or rejected by a person, whether or not they were suggested."""

    async def tags(self) -> list[TagCount]:
        """Every tag in use, the most used first."""

    async def merge(self, tags: Sequence[str], into: str) -> int:
        """Make all of `tags` one with `into`; the notes that have it now. Raises `UnknownTags`."""

    async def jobs(self, limit: int, *, before: int | None, state: State | None) -> list[Job]:
        """At most `limit` jobs older than number `before`, newest first."""

    async def job(self, job_id: str) -> Job | None: ...

    async def rerun(self, where: str, *, is_dry_run: bool = False) -> Mapping[Kind, int]:
        """Jobs for what is `stale`, `failed`, `outdated`, or of a producer as `job_rows.PRODUCED` says; how many.

        A dry run counts them and asks for none.
        """

    async def summary_before(self, note_id: str) -> Summary | None:
        """What the note's summary took the place of; None where there was none."""

    async def restore_summary(self, note_id: str) -> Note | None:
        """The note with its summary and the one before turned round. Raises `NothingBefore`."""

    async def vectors_anew(self) -> int:
        """Jobs for new vectors of all notes of all workspaces, which share one space; how many there are."""

    async def take(self, kept: Sequence[Kept]) -> list[Imported]:
        """Bring notes in, all or none. One that is here already, by id or path, is saved over where it differs."""
