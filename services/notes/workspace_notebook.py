"""One workspace's notes in SQLite or PostgreSQL: the adapter of the port in `store.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, delete, select, update

from services.notes import job_rows, rows, search_rows, tag_rows, vector_rows
from services.notes.store import (
    Imported,
    Kept,
    Kind,
    Link,
    Note,
    NoteHit,
    NoteTag,
    Outcome,
    Passage,
    Sought,
    Summary,
    TagCount,
    TagState,
    Version,
)
from services.notes.tables import JOBS, NOTE, WORDS
from services.notes.which import ANY, Place, Which
from services.store.clock import Clock
from services.store.database import Database
from services.store.jobs import Job, State
from services.store.vectors import Space

T = TypeVar("T")
NewId = Callable[[], str]
"""Gives ids for new notes."""


class StoredNotebook:
    """One workspace's notes; no call reaches another's."""

    def __init__(
        self,
        database: Database,
        workspace: str,
        *,
        after_save: Sequence[Kind],
        wake: Callable[[], None],
        now: Clock,
        new_id: NewId,
    ) -> None:
        self._database = database
        self._workspace = workspace
        self._after_save = after_save
        self._wake = wake
        self._now = now
        self._new_id = new_id

    async def add(self, title: str, text: str) -> Note:
        new = {"id": self._new_id(), "title": title, "text": text, "version": 1}
        return await self._written(lambda c: self._add(c, new))

    async def get(self, note_id: str) -> Note | None:
        return await self._database.read(lambda c: rows.one(c, self._workspace, note_id))

    async def page(self, limit: int, after: int, *, archived: bool | None = None) -> list[Note]:
        return await self._database.read(lambda c: rows.page(c, self._workspace, limit, after, archived))

    async def newest(self, limit: int, before: int | None, *, tag: str = "", archived: bool = False) -> list[Note]:
        return await self._database.read(lambda c: tag_rows.newest(c, self._workspace, limit, before, tag, archived))

    async def save(self, note_id: str, title: str, text: str, *, expected: int | None) -> Note | None:
        return await self._changed(note_id, lambda c, note: self._save(c, note, title, text, expected))

    async def archive(self, note_id: str, *, is_archived: bool) -> Note | None:
        change = update(NOTE).values(archived=is_archived)
        return await self._changed(note_id, lambda c, note: c.execute(change.where(NOTE.c.number == note.number)))

    async def delete(self, note_id: str) -> bool:
        deleted = await self._database.write(lambda c: self._delete(c, note_id))
        if deleted:
            await self._database.forget()
        return deleted

    async def history(self, note_id: str) -> list[Version]:
        def read(c: Connection) -> list[Version]:
            return [] if (note := rows.one(c, self._workspace, note_id)) is None else rows.history(c, note.number)

        return await self._database.read(read)

    async def links(self, note: Note) -> tuple[list[Link], list[str]]:
        return await self._database.read(lambda c: rows.links(c, self._workspace, note))

    async def search(
        self, query: str, limit: int, meaning: Sought | None = None, *, which: Which = ANY, after: Place | None = None
    ) -> list[NoteHit]:
        return await self._database.read(
            lambda c: search_rows.search(c, self._workspace, query, limit, meaning, which, after)
        )

    async def embedded(
        self, note_id: str, found: Sequence[Passage], space: Space, vectors: Sequence[Sequence[float]], *, job: Job
    ) -> None:
        def keep(c: Connection, note: Note) -> None:
            vector_rows.keep(c, self._workspace, note, found, space, vectors)
            self._done(c, job)

        await self._changed(note_id, keep)

    async def summarised(self, note_id: str, summary: Summary, *, job: Job | None = None) -> Note | None:
        def keep(c: Connection, note: Note) -> None:
            rows.keep_summary(c, note, summary)
            self._done(c, job)

        return await self._changed(note_id, keep)

    async def suggested(self, note_id: str, tags: Sequence[NoteTag], *, job: Job | None = None) -> Note | None:
        def keep(c: Connection, note: Note) -> None:
            tag_rows.suggest(c, self._workspace, note, tags)
            self._done(c, job)

        return await self._changed(note_id, keep)

    async def judged(self, note_id: str, tags: Sequence[str], state: TagState) -> Note | None:
        return await self._changed(note_id, lambda c, note: tag_rows.judge(c, self._workspace, note, tags, state))

    async def tags(self) -> list[TagCount]:
        return await self._database.read(lambda c: tag_rows.counts(c, self._workspace))

    async def merge(self, tags: Sequence[str], into: str) -> int:
        return await self._database.write(lambda c: tag_rows.merge(c, self._workspace, tags, into))

    async def jobs(self, limit: int, *, before: int | None, state: State | None) -> list[Job]:
        return await self._database.read(
            lambda c: JOBS.page(c, self._workspace, limit=limit, before=before, state=state)
        )

    async def job(self, job_id: str) -> Job | None:
        return await self._database.read(lambda c: JOBS.get(c, self._workspace, job_id))

    async def vectors_anew(self) -> int:
        return await self._written(lambda c: job_rows.vectors_anew(c, at=self._now()))

    async def rerun(self, where: str, *, is_dry_run: bool = False) -> Mapping[Kind, int]:
        if is_dry_run:
            return await self._database.read(lambda c: job_rows.counted(c, self._workspace, where))
        return await self._written(lambda c: job_rows.rerun(c, self._workspace, where, at=self._now()))

    async def summary_before(self, note_id: str) -> Summary | None:
        return await self._database.read(lambda c: rows.summary_before(c, self._workspace, note_id))

    async def restore_summary(self, note_id: str) -> Note | None:
        return await self._changed(note_id, rows.restore_summary)

    async def take(self, kept: Sequence[Kept]) -> list[Imported]:
        return await self._written(lambda c: [self._take(c, one) for one in kept])

    async def _changed(self, note_id: str, change: Callable[[Connection, Note], object]) -> Note | None:
        """The note after `change`, both in one transaction; None when there is none."""

        def write(c: Connection) -> Note | None:
            note = rows.one(c, self._workspace, note_id)
            if note is None:
                return None
            change(c, note)
            return rows.one(c, self._workspace, note_id)

        return await self._written(write)

    async def _written(self, work: Callable[[Connection], T]) -> T:
        """The result of `work`, committed; then the worker is told that there may be jobs."""
        result = await self._database.write(work)
        self._wake()
        return result

    def _ask(self, c: Connection, note_id: str) -> None:
        job_rows.enqueue(c, self._workspace, note_id, self._after_save, at=self._now())

    def _done(self, c: Connection, job: Job | None) -> None:
        if job is not None:
            JOBS.done(c, job, at=self._now())

    def _add(self, c: Connection, values: dict[str, object]) -> Note:
        now = self._now()
        unsaid = {"path": "", "properties": "", "archived": False}
        note = {**unsaid, "created_at": now, "updated_at": now, **values}
        number = rows.add(c, self._workspace, note)
        WORDS.put(c, [(number, (str(note["title"]), str(note["text"])))])
        self._ask(c, str(values["id"]))
        return rows.several(c, select(NOTE).where(NOTE.c.number == number))[0]

    def _save(self, c: Connection, note: Note, title: str, text: str, expected: int | None) -> None:
        rows.save(c, note, title, text, expected=expected, at=self._now())
        WORDS.put(c, [(note.number, (title, text))])
        self._ask(c, note.id)

    def _delete(self, c: Connection, note_id: str) -> bool:
        note = rows.one(c, self._workspace, note_id)
        if note is None:
            return False
        WORDS.drop(c, [note.number])
        vector_rows.drop(c, note.number)
        job_rows.forget(c, self._workspace, note.id)
        c.execute(delete(NOTE).where(NOTE.c.number == note.number))
        tag_rows.drop_unused(c, self._workspace)
        WORDS.scrub(c)
        return True

    def _take(self, c: Connection, kept: Kept) -> Imported:
        page = kept.page
        note = rows.one(c, self._workspace, page.note_id) if page.note_id else None
        note = note or (None if page.note_id else rows.at_path(c, self._workspace, page.path))
        outcome, note_id = (Outcome.NEW, self._take_new(c, kept)) if note is None else self._take_again(c, note, kept)
        return Imported(path=page.path, outcome=outcome, note_id=note_id, left_out=page.left_out)

    def _take_new(self, c: Connection, kept: Kept) -> str:
        page = kept.page
        created_at = page.created_at or page.updated_at or self._now()
        values = {
            "id": page.note_id or self._new_id(),
            "path": page.path if kept.path is None else kept.path,
            "title": page.title,
            "text": page.text,
            "properties": page.properties,
            "archived": page.is_archived,
            "version": kept.version,
            "created_at": created_at,
            "updated_at": page.updated_at or created_at,
        }
        note = self._add(c, values)
        for old in kept.history:
            if old.version != kept.version:
                rows.keep_version(c, note.number, old.version, old.title, old.text, old.saved_at)
        if kept.summary is not None:
            rows.keep_summary(c, note, kept.summary)
        tag_rows.restore(c, self._workspace, note.number, kept.tags)
        return note.id

    def _take_again(self, c: Connection, note: Note, kept: Kept) -> tuple[Outcome, str]:
        page = kept.page
        accepted = {t.tag for t in note.tags if t.state is TagState.ACCEPTED}
        new_tags = [tag for tag in page.tags if tag not in accepted]
        is_same_text = (note.title, note.text) == (page.title, page.text)
        is_same_rest = (note.properties, note.is_archived) == (page.properties, page.is_archived)
        if is_same_text and is_same_rest and not new_tags:
            return Outcome.UNCHANGED, note.id
        if not is_same_text:
            self._save(c, note, page.title, page.text, None)
        tag_rows.judge(c, self._workspace, note, new_tags, TagState.ACCEPTED)
        rest = {"properties": page.properties, "archived": page.is_archived}
        c.execute(update(NOTE).where(NOTE.c.number == note.number).values(rest))
        return Outcome.CHANGED, note.id
