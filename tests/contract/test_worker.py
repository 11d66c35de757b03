"""The worker over the jobs' table, on both stores: it wakes, fails, gives back and ends."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, insert, text

from services.store.jobs import Job, JobError, State
from services.store.worker import Worker
from tests.contract.hands import JOBS, RESULT, Hands


class TestWorker:
    async def ended(self, hands: Hands, job: Job, *states: State) -> Job:
        async with asyncio.timeout(120):
            while (seen := await hands.seen(job)).state not in (states or (State.DONE, State.FAILED)):
                await asyncio.sleep(0.01)
        return seen

    async def test_jobs_are_done_and_waking_it_saves_the_wait(self, hands: Hands) -> None:
        """Those that were there before it started as well; its poll would come after an hour."""

        async def echo(job: Job) -> None:
            def finish(c: Connection) -> None:
                c.execute(insert(RESULT).values(text=job.payload["text"]))
                JOBS.done(c, job, at=hands.at)

            await hands.database.write(finish)

        early = await hands.enqueue("early")
        async with Worker(hands.database, JOBS, {"echo": echo}, poll_s=3600, now=lambda: hands.at) as worker:
            await self.ended(hands, early)
            late = await hands.enqueue("late")
            worker.wake()
            await self.ended(hands, late)
        assert await hands.results() == ["early", "late"]

    @pytest.mark.parametrize(
        ("error", "code", "state"),
        [
            (JobError("encrypted", "no key", permanent=True), "encrypted", State.FAILED),
            (JobError("busy", "later"), "busy", State.QUEUED),
            (ZeroDivisionError("secret text"), "internal", State.QUEUED),
        ],
    )
    async def test_a_failed_job_says_why_and_others_go_on(
        self, hands: Hands, error: Exception, code: str, state: State
    ) -> None:
        """A fault of ours is told without its text, which may hold what people wrote."""

        async def broken(job: Job) -> None:
            if job.payload["text"] == "bad":
                raise error

        bad, good = await hands.enqueue("bad"), await hands.enqueue("good")
        async with Worker(hands.database, JOBS, {"echo": broken}, concurrency=1, now=lambda: hands.at):
            assert (await self.ended(hands, good)).state == State.DONE
        seen = await hands.seen(bad)
        assert (seen.state, seen.error_code) == (state, code)
        assert "secret" not in str(seen.error_message)

    async def test_a_kind_that_nobody_does_is_told(self, hands: Hands) -> None:
        """A job of a newer version, after somebody went back."""
        job = await hands.enqueue()
        async with Worker(hands.database, JOBS, {}, now=lambda: hands.at):
            assert (await self.ended(hands, job)).error_code == "unknown_kind"

    async def test_a_stopped_worker_gives_its_job_back(self, hands: Hands) -> None:
        """At once, and the attempt does not count: the next process takes it up without waiting for the lease."""
        started = asyncio.Event()

        async def endless(job: Job) -> None:
            started.set()
            await asyncio.Event().wait()

        job = await hands.enqueue()
        async with Worker(hands.database, JOBS, {"echo": endless}, now=lambda: hands.at):
            await asyncio.wait_for(started.wait(), 30)
        seen = await hands.seen(job)
        assert (seen.state, seen.attempts) == (State.QUEUED, 0)

    async def test_a_worker_whose_store_fails_stops_all_the_same(
        self, hands: Hands, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its job cannot be put back; a service that hung there would have to be killed."""
        started = asyncio.Event()

        async def endless(job: Job) -> None:
            started.set()
            await asyncio.Event().wait()

        job = await hands.enqueue()
        worker = Worker(hands.database, JOBS, {"echo": endless}, concurrency=1, now=lambda: hands.at)
        async with asyncio.timeout(120):
            async with worker:
                await started.wait()
                await hands.do(lambda c: c.execute(text("DROP TABLE job")))
        assert f"job.not_put_back kind=echo id={job.id}" in caplog.text

    async def test_a_handler_whose_job_was_taken_away_is_stopped(self, hands: Hands) -> None:
        """The next heartbeat finds out; the worker goes on to other jobs."""
        started, stopped = asyncio.Event(), asyncio.Event()

        async def endless(job: Job) -> None:
            if job.payload["text"] == "next":
                return
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        job = await hands.enqueue()
        async with Worker(
            hands.database, JOBS, {"echo": endless}, concurrency=1, lease_s=0.03, poll_s=0.01, now=lambda: hands.at
        ):
            await asyncio.wait_for(started.wait(), 30)
            await hands.do(lambda c: JOBS.forget(c, "default", job.id))
            await asyncio.wait_for(stopped.wait(), 30)
            assert (await self.ended(hands, await hands.enqueue("next"))).state == State.DONE

    async def test_at_most_so_many_jobs_run_at_a_time(self, hands: Hands) -> None:
        """And that many do."""
        running, most = 0, 0
        both = asyncio.Event()

        async def together(job: Job) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 30)
            running -= 1

        jobs = [await hands.enqueue() for _ in range(5)]
        async with Worker(hands.database, JOBS, {"echo": together}, concurrency=2, now=lambda: hands.at):
            for job in jobs:
                assert (await self.ended(hands, job)).state == State.DONE
        assert most == 2
