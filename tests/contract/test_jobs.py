"""Jobs in the table and the worker that does them, on SQLite and on PostgreSQL: nothing lost, nothing done twice."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, insert

from services.store.jobs import LOST, Job, JobError, LeaseLost, State, backoff_s
from tests.contract.hands import JOBS, LEASE_S, RESULT, Hands


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
