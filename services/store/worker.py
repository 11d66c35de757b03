"""Does the jobs of one service while the service runs: claims, calls the handler of their kind, keeps their leases."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from services.store.clock import Clock, utc_now
from services.store.database import Database
from services.store.errors import StoreError
from services.store.jobs import Job, JobError, Jobs, LeaseLost

Handler = Callable[[Job], Awaitable[None]]
"""Does a job and writes its result, with `Jobs.done` in the same transaction; one that writes nothing may leave it out.

Raises `JobError` for a reason that the caller should read; anything else is a fault of ours and is tried again.
"""

LEASE_S = 60.0
POLL_S = 1.0
"""How often a worker looks for jobs that another process left, or that have waited long enough, in seconds."""

LOG = logging.getLogger("cutover.store.worker")


class Worker:
    """Use as `async with`, inside the database's. At most `concurrency` jobs run at a time."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 2,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        now: Clock = utc_now,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._handlers = handlers
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._now = now
        self._woken = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Worker:
        self._loops = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []

    def wake(self) -> None:
        """There is a new job: look now, not at the next poll. From the event loop's own thread."""
        self._woken.set()

    async def _work(self) -> None:
        while True:
            try:
                job = await self._claimed()
                if job is not None:
                    await self._run(job)
                    continue
            except StoreError as exc:
                LOG.warning("worker.store_failed reason=%s", exc)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):  # 3.11's `wait_for` loses a cancellation beside a wake
                    await self._woken.wait()
            self._woken.clear()

    async def _claimed(self) -> Job | None:
        if not await self._database.read(lambda c: self._jobs.is_due(c, at=self._now())):
            return None
        return await self._database.write(lambda c: self._jobs.claim(c, at=self._now(), lease_s=self._lease_s))

    async def _run(self, job: Job) -> None:
        """Bring the job to one of its ends. Where its lease is lost, its handler is stopped and nothing is written."""
        handling = asyncio.create_task(self._handled(job))
        keeping = asyncio.create_task(self._keep(job))
        try:
            await asyncio.wait((handling, keeping), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _stopped(handling, keeping)
            await self._put_back(job)
            raise
        await _stopped(handling, keeping)
        if handling.cancelled():
            LOG.warning("job.lease_lost kind=%s id=%s", job.kind, job.id)
            return
        await self._end(job, handling.result())

    async def _put_back(self, job: Job) -> None:
        """Best done at once. Where the store fails the service stops all the same, and the lease runs out."""
        try:
            await self._write(lambda c: self._jobs.release(c, job, at=self._now()))
        except StoreError as exc:
            LOG.warning("job.not_put_back kind=%s id=%s reason=%s", job.kind, job.id, exc)

    async def _end(self, job: Job, error: JobError | None) -> None:
        if error is None:
            await self._write(lambda c: self._jobs.done(c, job, at=self._now()))
            return
        await self._write(lambda c: self._jobs.failed(c, job, error, at=self._now()))
        LOG.warning("job.failed kind=%s id=%s code=%s", job.kind, job.id, error.code)

    async def _handled(self, job: Job) -> JobError | None:
        handler = self._handlers.get(job.kind)
        if handler is None:
            return JobError("unknown_kind", f"this version does no jobs of the kind {job.kind!r}", permanent=True)
        try:
            await handler(job)
        except JobError as exc:
            return exc
        except StoreError as exc:
            LOG.error("job.store_failed kind=%s id=%s reason=%s", job.kind, job.id, exc)
            return JobError("store", "the store could not keep the result")
        except LeaseLost:
            return None
        except Exception as exc:  # the loop's top: one broken job must not end the others
            LOG.error("job.broke kind=%s id=%s", job.kind, job.id, exc_info=exc)
            return JobError("internal", f"{type(exc).__name__}; the service's log has it under job {job.id}")
        return None

    async def _keep(self, job: Job) -> None:
        """Hold the lease while the job runs. Ends only when the lease is lost."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._database.write(
                    lambda c: self._jobs.heartbeat(c, job, at=self._now(), lease_s=self._lease_s)
                )
            except LeaseLost:
                return
            except StoreError as exc:
                LOG.warning("worker.store_failed reason=%s", exc)  # the lease has two thirds left

    async def _write(self, work: Callable[[Connection], object]) -> None:
        """Write a job's end, unless its handler did, or it is somebody else's by now."""
        with contextlib.suppress(LeaseLost):
            await self._database.write(work)


async def _stopped(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, and wait for its end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
