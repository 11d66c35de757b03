"""What is made of a note after its save: the handlers of its jobs. A save never waits for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from services.llm.errors import AllProvidersFailed, LLMError
from services.llm.errors import Kind as ErrorKind
from services.llm.types import Priority
from services.notes.service import Notes
from services.notes.store import Kind, Note
from services.store.jobs import Job, JobError
from services.store.vectors import ForeignSpace
from services.store.worker import Handler
from services.web.asking import Wishes

NotesOf = Callable[[str], Notes]
"""The use cases of a workspace."""


def handlers(notes_of: NotesOf, deadline_s: float) -> Mapping[str, Handler]:
    """What does each kind of job; each asks within `deadline_s`, after whoever waits for an answer."""

    def handler(work: Callable[[Notes, Note, Wishes, Job], Awaitable[object]]) -> Handler:
        async def run(job: Job) -> None:
            notes = notes_of(job.workspace)
            note = await notes.notebook.get(str(job.payload["note"]))
            if note is None or _is_done(note, job):
                return
            try:
                await work(notes, note, _wishes(job, note, deadline_s), job)
            except LLMError as exc:
                raise _told(exc) from exc
            except ForeignSpace as exc:
                raise JobError("foreign-space", str(exc), permanent=True) from exc

        return run

    return {
        Kind.VECTORS: handler(lambda notes, note, _, job: notes.embed_note(note, job)),
        Kind.SUMMARY: handler(lambda notes, note, wishes, job: notes.summarise_note(note, wishes, job=job)),
        Kind.TAGS: handler(lambda notes, note, wishes, job: notes.tag_note(note, wishes, job=job)),
    }


def _is_done(note: Note, job: Job) -> bool:
    """Whether a summary of this very version was made since the job was asked for, by another job or by a person."""
    made = note.summary
    is_new = made is not None and made.of_version == note.version and made.producer.at >= job.created_at
    return job.kind == Kind.SUMMARY and is_new


def _wishes(job: Job, note: Note, deadline_s: float) -> Wishes:
    return Wishes(request_id=job.id, key=note.id, first=None, deadline_s=deadline_s, priority=Priority.BATCH)


def _told(error: LLMError) -> JobError:
    """The reason as the note shows it. What a model refuses once it refuses again; engines that are down come back."""
    root = error.root if isinstance(error, AllProvidersFailed) else error
    return JobError(str(root.type), root.detail, permanent=root.kind is ErrorKind.CALLER)
