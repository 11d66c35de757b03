"""The jobs of notes: what waits to be made of a note, and why it could not be. Inside the caller's transaction."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, Connection, delete, select

from services.notes.prompts import PROMPT_VERSION, TAGS_VERSION
from services.notes.store import Kind, NoteJob
from services.notes.tables import JOBS, NOTE, NOTE_TAG, PASSAGE, SUMMARY, VECTORS
from services.store.jobs import Job, State

JOB = JOBS.table
PRODUCED = r"(provider|model|digest)(!?=)(.{1,200})"
"""What made a summary or a suggestion: `provider=ollama`, `model!=smollm2-135m`, `digest!=8b7a` (by how it begins)."""
AT_ONCE = 500
"""Jobs that one statement deletes."""


def note_of(job: Job) -> str:
    """The id of the note that the job is about."""
    return str(job.payload["note"])


def enqueue(c: Connection, workspace: str, note_id: str, kinds: Iterable[Kind], *, at: str) -> None:
    """One job of each kind for the note. One that waits, or failed, makes way for the new one."""
    for kind in kinds:
        waiting = JOB.c.state.in_([State.QUEUED, State.FAILED])
        c.execute(delete(JOB).where(*_about(workspace, note_id), JOB.c.kind == kind, waiting))
        JOBS.enqueue(c, workspace=workspace, kind=kind, payload={"note": note_id}, at=at)


def forget(c: Connection, workspace: str, note_id: str) -> None:
    """A deleted note leaves no jobs; who runs one finds its lease lost."""
    c.execute(delete(JOB).where(*_about(workspace, note_id)))


def unfinished(c: Connection, workspace: str, note_ids: Iterable[str]) -> Mapping[str, list[NoteJob]]:
    """The jobs of these notes that are not done, oldest first."""
    ids = {_payload(note_id): note_id for note_id in note_ids}
    query = select(JOB).where(JOB.c.workspace == workspace, JOB.c.payload.in_(ids), JOB.c.state != State.DONE)
    found: dict[str, list[NoteJob]] = defaultdict(list)
    for row in c.execute(query.order_by(JOB.c.number)):
        job = NoteJob(
            id=row.id,
            kind=row.kind,
            state=State(row.state),
            attempts=row.attempts,
            error_code=row.error_code,
            error_message=row.error_message,
        )
        found[ids[row.payload]].append(job)
    return found


def counted(c: Connection, workspace: str, where: str) -> Mapping[Kind, int]:
    """How many of each kind `rerun` would ask for; it only reads."""
    return Counter(kind for _, kind in set(wanted(c, workspace, where)))


def rerun(c: Connection, workspace: str, where: str, *, at: str) -> Mapping[Kind, int]:
    """Jobs for what `wanted` finds, and how many of each kind."""
    found = dict.fromkeys(wanted(c, workspace, where))
    _enqueue_each(c, workspace, found, at=at)
    return Counter(kind for _, kind in found)


def wanted(c: Connection, workspace: str, where: str) -> list[tuple[str, Kind]]:
    """The notes of a `Rerun`, and what is to be made of each: `stale`, `failed`, `outdated`, or of a producer."""
    produced = re.fullmatch(PRODUCED, where)
    if produced is not None:
        column, sign, value = produced.groups()
        ours = [_by(made.c[column], sign, value) for made in (SUMMARY, NOTE_TAG)]
        return _made(c, workspace, ours[0], ours[1])
    match where:
        case "stale":
            return _made(c, workspace, SUMMARY.c.of_version != NOTE.c.version, NOTE_TAG.c.of_version != NOTE.c.version)
        case "failed":
            return _failed(c, workspace)
        case "outdated":
            old_tags = NOTE_TAG.c.prompt_version != TAGS_VERSION
            return _made(c, workspace, SUMMARY.c.prompt_version != PROMPT_VERSION, old_tags)
        case _:
            raise ValueError(f"where={where!r} is not one that `Rerun` takes")


def vectors_anew(c: Connection, *, at: str) -> int:
    """Forget every vector, whose space the store has as a whole, and ask for those of all notes of all workspaces."""
    VECTORS.clear(c)
    c.execute(delete(PASSAGE))
    notes = c.execute(select(NOTE.c.workspace, NOTE.c.id)).all()
    for workspace in {note.workspace for note in notes}:
        ours = [(note.id, Kind.VECTORS) for note in notes if note.workspace == workspace]
        _enqueue_each(c, workspace, ours, at=at)
    return len(notes)


def _enqueue_each(c: Connection, workspace: str, wanted: Iterable[tuple[str, Kind]], *, at: str) -> None:
    """As `enqueue` for each. Waiting jobs are looked at once: no index leads from a payload to its job."""
    new = {(_payload(note_id), str(kind)): note_id for note_id, kind in wanted}
    waiting = JOB.c.state.in_([State.QUEUED, State.FAILED])
    rows = c.execute(select(JOB.c.number, JOB.c.payload, JOB.c.kind).where(JOB.c.workspace == workspace, waiting))
    old = [row.number for row in rows if (row.payload, row.kind) in new]
    for i in range(0, len(old), AT_ONCE):
        c.execute(delete(JOB).where(JOB.c.number.in_(old[i : i + AT_ONCE])))
    for (_, kind), note_id in new.items():
        JOBS.enqueue(c, workspace=workspace, kind=kind, payload={"note": note_id}, at=at)


def _by(column: ColumnElement[str], sign: str, value: str) -> ColumnElement[bool]:
    """Whether `value` made it; a digest is known by how it begins, as lists of models show it."""
    hit = column.startswith(value, autoescape=True) if column.key == "digest" else column == value
    return ~hit if sign == "!=" else hit


def _failed(c: Connection, workspace: str) -> list[tuple[str, Kind]]:
    """Notes with a dead letter."""
    rows = c.execute(select(JOB.c.payload, JOB.c.kind).where(JOB.c.workspace == workspace, JOB.c.state == State.FAILED))
    return [(json.loads(row.payload)["note"], Kind(row.kind)) for row in rows]


def _made(
    c: Connection, workspace: str, summary: ColumnElement[bool], tag: ColumnElement[bool]
) -> list[tuple[str, Kind]]:
    ours = NOTE.c.workspace == workspace
    summaries = select(NOTE.c.id).join(SUMMARY, SUMMARY.c.note == NOTE.c.number).where(ours, summary)
    suggestions = select(NOTE.c.id).join(NOTE_TAG, NOTE_TAG.c.note == NOTE.c.number).distinct()
    suggestions = suggestions.where(ours, NOTE_TAG.c.state == "suggested", NOTE_TAG.c.provider != "", tag)
    found = [(note_id, Kind.SUMMARY) for note_id in c.execute(summaries).scalars()]
    return found + [(note_id, Kind.TAGS) for note_id in c.execute(suggestions).scalars()]


def _about(workspace: str, note_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return JOB.c.workspace == workspace, JOB.c.payload == _payload(note_id)


def _payload(note_id: str) -> str:
    """As `Jobs.enqueue` writes it."""
    return json.dumps({"note": note_id})
