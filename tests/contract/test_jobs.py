"""Jobs in the table and the worker that does them, on SQLite and on PostgreSQL: nothing lost, nothing done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select, text

from services.store.clock import later
from services.store.database import Database
from services.store.jobs import LOST, Job, JobError, Jobs, LeaseLost, State, backoff_s
from services.store.schema import Schema
from services.store.worker import Worker

TABLES = MetaData()
RESULT = Table("result", TABLES, Column("text", Text, nullable=False))
JOBS = Jobs(TABLES, max_attempts=3)
SCHEMA = Schema(name="jobs", tables=TABLES)
NOON = "2026-01-01T12:00:00.000+00:00"
LEASE_S = 60.0


@dataclass
class Hands:
    """Moves the clock by hand, and does one thing with the jobs per call."""

    database: Database
    at: str = NOON

    def pass_s(self, seconds: float) -> None:
        self.at = later(self.at, seconds)

    async def enqueue(self, text: str = "x", workspace: str = "default") -> Job:
        return await self.database.write(
            lambda c: JOBS.enqueue(c, workspace=workspace, kind="echo", payload={"text": text}, at=self.at)
        )

    async def claim(self) -> Job | None:
        return await self.database.write(lambda c: JOBS.claim(c, at=self.at, lease_s=LEASE_S))

    async def claimed(self) -> Job:
        job = await self.claim()
        assert job is not None
        return job

    async def do(self, work: Callable[[Connection], object]) -> object:
        return await self.database.write(work)

    async def seen(self, job: Job) -> Job:
        found = await self.database.read(lambda c: JOBS.get(c, job.workspace, job.id))
        assert found is not None
        return found

    async def results(self) -> list[str]:
        return await self.database.read(lambda c: sorted(c.execute(select(RESULT.c.text)).scalars()))


@pytest.fixture
async def hands(store_url: str) -> AsyncIterator[Hands]:
    async with Database(store_url, SCHEMA) as database:
        yield Hands(database)


class TestTable:
    async def test_a_job_is_done_with_its_result(self, hands: Hands) -> None:
        """Both in one transaction, both or none."""
        job = await hands.enqueue("kept")
        claim = await hands.claimed()

        def finish(c: Connection) -> None:
            c.execute(insert(RESULT).values(text=claim.payload["text"]))
            JOBS.done(c, claim, at=hands.at)

        await hands.do(finish)
        assert ((await hands.seen(job)).state, await hands.results()) == (State.DONE, ["kept"])
        assert await hands.claim() is None

    async def test_a_job_whose_transaction_fails_was_never_there(self, hands: Hands) -> None:
        """Enqueued with what it is about: a document that was not stored has no job."""

        def half(c: Connection) -> None:
            JOBS.enqueue(c, workspace="default", kind="echo", payload={}, at=hands.at)
            raise KeyError

        with pytest.raises(KeyError):
            await hands.do(half)
        assert await hands.claim() is None

    async def test_the_oldest_is_claimed_first_and_by_one_only(self, hands: Hands) -> None:
        """Two workers at once get two jobs."""
        ids = [(await hands.enqueue()).id for _ in range(3)]
        claims = await asyncio.gather(*(hands.claim() for _ in range(4)))
        assert [c.id for c in claims if c] == ids
        assert len({c.lease for c in claims if c}) == 3

    async def test_a_failed_attempt_waits_and_is_tried_again(self, hands: Hands) -> None:
        """The reason is told meanwhile; the waits grow."""
        job = await hands.enqueue()
        claim = await hands.claimed()
        await hands.do(lambda c: JOBS.failed(c, claim, JobError("busy", "no engine answers"), at=hands.at))

        seen = await hands.seen(job)
        assert (seen.state, seen.attempts, seen.error_code, seen.error_message) == (
            State.QUEUED,
            1,
            "busy",
            "no engine answers",
        )
        hands.pass_s(backoff_s(1) - 0.001)
        assert await hands.claim() is None
        hands.pass_s(0.001)
        assert (await hands.claimed()).attempts == 2

    async def test_the_last_attempt_ends_in_the_dead_letters(self, hands: Hands) -> None:
        """With its reason, and nobody claims it again."""
        job = await hands.enqueue()
        for attempt in range(1, 4):
            claim = await hands.claimed()
            state = await hands.do(lambda c, claim=claim: JOBS.failed(c, claim, JobError("bad", "why"), at=hands.at))
            assert state == (State.FAILED if attempt == 3 else State.QUEUED)
            hands.pass_s(10_000)
        assert await hands.claim() is None
        assert (await hands.seen(job)).error_message == "why"

    async def test_what_would_fail_again_is_not_tried_again(self, hands: Hands) -> None:
        """An encrypted PDF stays encrypted."""
        await hands.enqueue()
        claim = await hands.claimed()
        error = JobError("encrypted", "the PDF is encrypted", permanent=True)
        assert await hands.do(lambda c: JOBS.failed(c, claim, error, at=hands.at)) == State.FAILED

    async def test_a_dead_letter_is_done_when_somebody_asks(self, hands: Hands) -> None:
        """From its first attempt; a job that is not dead is left as it is."""
        job = await hands.enqueue()
        claim = await hands.claimed()
        await hands.do(lambda c: JOBS.failed(c, claim, JobError("bad", "why", permanent=True), at=hands.at))
        again = await hands.do(lambda c: JOBS.again(c, "default", job.id, at=hands.at))
        assert isinstance(again, Job)
        assert (again.state, again.attempts, again.error_code) == (State.QUEUED, 0, None)
        claim = await hands.claimed()
        await hands.do(lambda c: JOBS.again(c, "default", job.id, at=hands.at))
        assert (await hands.seen(job)).state == State.RUNNING
        assert await hands.do(lambda c: JOBS.again(c, "default", "nobody", at=hands.at)) is None

    async def test_a_dead_workers_job_is_claimed_when_its_lease_ran_out(self, hands: Hands) -> None:
        """Not before, and the dead one, were it only slow, can finish nothing any more."""
        await hands.enqueue()
        slow = await hands.claimed()
        hands.pass_s(LEASE_S)
        assert await hands.claim() is None
        hands.pass_s(0.001)
        other = await hands.claimed()
        assert (other.id, other.attempts) == (slow.id, 2)
        with pytest.raises(LeaseLost):
            await hands.do(lambda c: JOBS.done(c, slow, at=hands.at))
        with pytest.raises(LeaseLost):
            await hands.do(lambda c: JOBS.failed(c, slow, JobError("late", "late"), at=hands.at))
        await hands.do(lambda c: JOBS.done(c, other, at=hands.at))

    async def test_a_heartbeat_keeps_a_lease(self, hands: Hands) -> None:
        """As long as the worker lives, however long the work takes."""
        await hands.enqueue()
        claim = await hands.claimed()
        hands.pass_s(LEASE_S)
        await hands.do(lambda c: JOBS.heartbeat(c, claim, at=hands.at, lease_s=LEASE_S))
        hands.pass_s(LEASE_S)
        assert await hands.claim() is None

    async def test_a_job_that_kills_its_process_each_time_is_buried(self, hands: Hands) -> None:
        """Else it would take the service down for ever."""
        job = await hands.enqueue()
        for _ in range(3):
            assert await hands.claim() is not None
            hands.pass_s(LEASE_S + 1)
        assert await hands.claim() is None
        seen = await hands.seen(job)
        assert (seen.state, seen.error_code) == (State.FAILED, LOST)

    async def test_a_workspace_sees_its_own_jobs(self, hands: Hands) -> None:
        """Newest first, in pages; another workspace's job is as if it were not there."""
        ours = [(await hands.enqueue()).id for _ in range(3)]
        other = await hands.enqueue(workspace="other")
        first = await hands.database.read(lambda c: JOBS.page(c, "default", limit=2))
        rest = await hands.database.read(lambda c: JOBS.page(c, "default", limit=2, before=first[-1].number))
        assert [j.id for j in (*first, *rest)] == ours[::-1]
        assert await hands.database.read(lambda c: JOBS.get(c, "default", other.id)) is None
        assert await hands.database.read(lambda c: JOBS.page(c, "default", limit=9, state=State.DONE)) == []
        assert not await hands.do(lambda c: JOBS.forget(c, "default", other.id))

    async def test_a_forgotten_job_is_gone_under_its_workers_hands(self, hands: Hands) -> None:
        """The document was deleted meanwhile: its result is not written."""
        job = await hands.enqueue()
        claim = await hands.claimed()
        assert await hands.do(lambda c: JOBS.forget(c, "default", job.id))
        with pytest.raises(LeaseLost):
            await hands.do(lambda c: JOBS.done(c, claim, at=hands.at))

    async def test_jobs_are_counted_by_state(self, hands: Hands) -> None:
        """Every state has a count, 0 as well."""
        await hands.enqueue()
        await hands.enqueue()
        await hands.claimed()
        counts = await hands.database.read(JOBS.counts)
        assert counts == {State.QUEUED: 1, State.RUNNING: 1, State.DONE: 0, State.FAILED: 0}


class TestWorker:
    async def ended(self, hands: Hands, job: Job, *states: State) -> Job:
        async with asyncio.timeout(30):
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
        async with asyncio.timeout(30):
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
