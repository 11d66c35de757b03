"""Work that is done after the answer: a table of the same database, so that a job and its result are kept together.

A job is claimed for a time, its lease. Who dies in the middle lets the lease run out, and the job is claimed again; who
only was slow finds the lease lost and can finish nothing. Attempts count when they begin, so a job that kills its
process ends in the dead letters as well. Every function works inside the caller's transaction.
"""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from services.store.clock import later

MAX_ATTEMPTS = 8
FIRST_BACKOFF_S, BACKOFF_FACTOR, MAX_BACKOFF_S = 5.0, 4.0, 900.0
"""Waits of 5 s, 20 s, 80 s, 320 s and then 15 minutes: an engine that is down for half an hour loses no job."""

LOST = "lost"
"""The error code of a job whose process died each time."""


class State(enum.StrEnum):
    """Where a job stands. `failed` is the dead letter: nobody tries again unless asked to."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobError(Exception):
    """Why an attempt failed: `code` from a closed set of the kind, and a sentence for whoever asked for the work.

    A `permanent` one would fail the same way again, so it is not tried again.
    """

    def __init__(self, code: str, detail: str, *, permanent: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.permanent = permanent


class LeaseLost(Exception):
    """The claim ran out and the job is somebody else's: nothing may be written for it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work. `number` orders jobs by age; times are as stores keep them; `lease` is its claim's name."""

    number: int
    id: str
    workspace: str
    kind: str
    payload: Mapping[str, Any]
    state: State
    attempts: int
    run_after: str
    lease: str | None
    error_code: str | None
    error_message: str | None
    created_at: str
    updated_at: str


class Jobs:
    """The table `job` among `tables`, and what is done with it."""

    def __init__(self, tables: MetaData, *, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._max_attempts = max_attempts
        self.table = Table(
            "job",
            tables,
            Column("number", Integer, primary_key=True),
            Column("id", Text, nullable=False, unique=True),
            Column("workspace", Text, nullable=False),
            Column("kind", Text, nullable=False),
            Column("payload", Text, nullable=False),
            Column("state", Text, nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("run_after", Text, nullable=False),
            Column("lease", Text),
            Column("lease_until", Text),
            Column("error_code", Text),
            Column("error_message", Text),
            Column("created_at", Text, nullable=False),
            Column("updated_at", Text, nullable=False),
            Index("job_due", "state", "run_after"),
            Index("job_workspace", "workspace", "number"),
            sqlite_autoincrement=True,
        )

    def enqueue(self, c: Connection, *, workspace: str, kind: str, payload: Mapping[str, Any], at: str) -> Job:
        """A new job; it is there if and only if the caller's transaction is."""
        row = {
            "id": uuid.uuid4().hex,
            "workspace": workspace,
            "kind": kind,
            "payload": json.dumps(dict(payload)),
            "state": State.QUEUED,
            "attempts": 0,
            "run_after": at,
            "created_at": at,
            "updated_at": at,
        }
        c.execute(insert(self.table).values(row))
        job = self.get(c, workspace, str(row["id"]))
        assert job is not None
        return job

    def get(self, c: Connection, workspace: str, job_id: str) -> Job | None:
        """The job, unless it is not there or not of `workspace`."""
        row = c.execute(select(self.table).where(self._one(workspace, job_id))).one_or_none()
        return None if row is None else _job(row)

    def page(
        self, c: Connection, workspace: str, *, limit: int, before: int | None = None, state: State | None = None
    ) -> list[Job]:
        """At most `limit` jobs older than number `before`, newest first."""
        t = self.table
        query = select(t).where(t.c.workspace == workspace).order_by(t.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(t.c.number < before)
        if state is not None:
            query = query.where(t.c.state == state)
        return [_job(row) for row in c.execute(query)]

    def counts(self, c: Connection) -> dict[State, int]:
        """How many jobs of all workspaces are in each state."""
        t = self.table
        found = {State(s): n for s, n in c.execute(select(t.c.state, func.count()).group_by(t.c.state)).tuples()}
        return {state: found.get(state, 0) for state in State}

    def is_due(self, c: Connection, *, at: str) -> bool:
        """Whether there is something to claim; asks without writing."""
        return c.execute(select(self.table.c.number).where(self._due(at)).limit(1)).first() is not None

    def claim(self, c: Connection, *, at: str, lease_s: float) -> Job | None:
        """The job that is due longest, running now and leased for `lease_s`; None when none is due."""
        self._bury(c, at)
        t = self.table
        due = select(t.c.number).where(self._due(at)).order_by(t.c.run_after, t.c.number).limit(1)
        number = c.execute(due).scalar_one_or_none()
        if number is None:
            return None
        changes = {"state": State.RUNNING, "lease": uuid.uuid4().hex, "lease_until": later(at, lease_s)}
        c.execute(update(t).where(t.c.number == number).values(**changes, attempts=t.c.attempts + 1, updated_at=at))
        return _job(c.execute(select(t).where(t.c.number == number)).one())

    def heartbeat(self, c: Connection, job: Job, *, at: str, lease_s: float) -> None:
        """Keep a claimed job for `lease_s` more. Raises `LeaseLost`."""
        self._change(c, job, lease_until=later(at, lease_s))

    def done(self, c: Connection, job: Job, *, at: str, result: Mapping[str, str] | None = None) -> None:
        """The claimed job is finished, by the transaction that writes its result. Raises `LeaseLost`.

        `result` is added to its payload: for who asks later what became of it.
        """
        told = {"payload": json.dumps({**job.payload, **result})} if result else {}
        self._change(c, job, state=State.DONE, lease=None, lease_until=None, updated_at=at, **told, **_NO_ERROR)

    def failed(self, c: Connection, job: Job, error: JobError, *, at: str) -> State:
        """What becomes of the claimed job: queued to be tried again, or a dead letter. Raises `LeaseLost`."""
        gives_up = error.permanent or job.attempts >= self._max_attempts
        state = State.FAILED if gives_up else State.QUEUED
        again = at if gives_up else later(at, backoff_s(job.attempts))
        told = {"error_code": error.code, "error_message": str(error)}
        self._change(c, job, state=state, run_after=again, lease=None, lease_until=None, updated_at=at, **told)
        return state

    def release(self, c: Connection, job: Job, *, at: str) -> None:
        """Put the claimed job back as if it had not been claimed: its process stops. Raises `LeaseLost`."""
        attempts = job.attempts - 1
        self._change(c, job, state=State.QUEUED, attempts=attempts, lease=None, lease_until=None, updated_at=at)

    def again(self, c: Connection, workspace: str, job_id: str, *, at: str) -> Job | None:
        """A dead letter from the start, because somebody asked; other jobs stay as they are. None: no such job."""
        t = self.table
        fresh = {"state": State.QUEUED, "attempts": 0, "run_after": at, "updated_at": at, **_NO_ERROR}
        c.execute(update(t).where(self._one(workspace, job_id), t.c.state == State.FAILED).values(**fresh))
        return self.get(c, workspace, job_id)

    def forget(self, c: Connection, workspace: str, job_id: str) -> bool:
        """Take the job away, whatever its state; who runs it finds the lease lost. False when there was none."""
        return c.execute(delete(self.table).where(self._one(workspace, job_id))).rowcount > 0

    def _one(self, workspace: str, job_id: str) -> Any:
        return and_(self.table.c.workspace == workspace, self.table.c.id == job_id)

    def _due(self, at: str) -> Any:
        t = self.table
        waits = and_(t.c.state == State.QUEUED, t.c.run_after <= at)
        return or_(waits, and_(t.c.state == State.RUNNING, t.c.lease_until < at))

    def _bury(self, c: Connection, at: str) -> None:
        """Make dead letters of the jobs whose last attempt ended with its process."""
        t = self.table
        over = and_(t.c.state == State.RUNNING, t.c.lease_until < at, t.c.attempts >= self._max_attempts)
        reason = f"the process that worked on it ended before it was done, {self._max_attempts} times at most"
        told = {"error_code": LOST, "error_message": reason, "lease": None, "lease_until": None, "updated_at": at}
        c.execute(update(t).where(over).values(state=State.FAILED, **told))

    def _change(self, c: Connection, job: Job, **changes: Any) -> None:
        t = self.table
        mine = and_(t.c.number == job.number, t.c.state == State.RUNNING, t.c.lease == job.lease)
        if not c.execute(update(t).where(mine).values(**changes)).rowcount:
            raise LeaseLost(f"job {job.id} is not this claim's any more")


_NO_ERROR: dict[str, Any] = {"error_code": None, "error_message": None}


def backoff_s(attempts: int) -> float:
    """How long a job waits after its failed attempt number `attempts`, in seconds."""
    return min(MAX_BACKOFF_S, FIRST_BACKOFF_S * BACKOFF_FACTOR ** (attempts - 1))


def _job(row: Row[Any]) -> Job:
    kept = dict(row._mapping)
    del kept["lease_until"]
    return Job(**{**kept, "state": State(kept["state"]), "payload": json.loads(kept["payload"])})
