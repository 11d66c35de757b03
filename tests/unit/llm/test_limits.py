"""The limit of one provider: it finds itself, lets interactive requests first, and tells the rest to come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.llm.errors import BusyError
from services.llm.limits import START, AimdLimit, Slot
from services.llm.types import Priority


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(
    *, max_in_flight: int = 32, max_queued: int = 5, tolerance: float = 3.0, clock: Clock | None = None
) -> AimdLimit:
    return AimdLimit(
        provider="ollama",
        max_in_flight=max_in_flight,
        max_queued=max_queued,
        tolerance=tolerance,
        clock=clock or Clock(),
    )


async def _hold(limit: AimdLimit, priority: Priority = Priority.INTERACTIVE, wait_s: float = 5) -> Priority:
    async with limit.permit(wait_s, priority):
        return priority


async def test_one_runs_one_waits_the_third_is_told_to_come_back() -> None:
    """The slot is handed on, and the time to come back is said."""
    limit = make(max_in_flight=1, max_queued=1)
    async with limit.permit(1):
        waiting = asyncio.create_task(_hold(limit))
        await asyncio.sleep(0)
        assert (limit.in_flight, limit.queued) == (1, 1)
        with pytest.raises(BusyError) as caught:
            async with limit.permit(1):
                pass
    await waiting

    assert caught.value.retry_after_s
    assert (limit.in_flight, limit.queued) == (0, 0)


@pytest.fixture
async def full_limit() -> AsyncIterator[AimdLimit]:
    limit = make(max_in_flight=1)
    async with limit.permit(1):
        yield limit


async def test_waiting_ends_with_the_time(full_limit: AimdLimit) -> None:
    """Who waits too long is shed and leaves the queue."""
    with pytest.raises(BusyError, match="no slot"):
        await _hold(full_limit, wait_s=0.01)

    assert full_limit.queued == 0


async def test_cancelled_waiter_leaves_the_queue(full_limit: AimdLimit) -> None:
    """A caller who leaves while waiting frees its place."""
    task = asyncio.create_task(_hold(full_limit))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert full_limit.queued == 0


async def test_a_waiter_cancelled_as_its_turn_comes_gives_the_slot_back() -> None:
    """The turn was granted in the same step of the loop; nobody else may starve of it."""
    limit = make(max_in_flight=1)
    held = limit.permit(1)
    await held.__aenter__()
    task = asyncio.create_task(_hold(limit))
    await asyncio.sleep(0)
    await held.__aexit__(None, None, None)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert (limit.in_flight, limit.queued) == (0, 0)
    assert await _hold(limit, wait_s=0.1) is Priority.INTERACTIVE


async def test_interactive_goes_before_batch() -> None:
    """Whoever came first within a priority; the interactive ones before all batch ones."""
    limit = make(max_in_flight=1)
    done: list[int] = []

    async def work(number: int, priority: Priority) -> None:
        async with limit.permit(5, priority):
            done.append(number)

    wanted = [Priority.BATCH, Priority.INTERACTIVE, Priority.BATCH, Priority.INTERACTIVE]
    async with limit.permit(1):
        tasks = [asyncio.create_task(work(number, priority)) for number, priority in enumerate(wanted)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert done == [1, 3, 0, 2]


async def test_batch_gives_way_where_the_queue_is_full() -> None:
    """The batch request that came last is told to come back; the interactive one takes its place."""
    limit = make(max_in_flight=1, max_queued=2)
    async with limit.permit(1):
        batch = [asyncio.create_task(_hold(limit, Priority.BATCH)) for _ in range(2)]
        await asyncio.sleep(0)
        interactive = asyncio.create_task(_hold(limit))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="took its place"):
            await batch[1]
    assert await interactive is Priority.INTERACTIVE
    assert await batch[0] is Priority.BATCH


async def test_a_batch_request_that_is_just_leaving_does_not_break_the_one_that_takes_its_place() -> None:
    """Cancelled in the same step of the loop, it is still in the queue."""
    limit = make(max_in_flight=1, max_queued=1)
    async with limit.permit(1):
        batch = asyncio.create_task(_hold(limit, Priority.BATCH))
        await asyncio.sleep(0)
        interactive = asyncio.create_task(_hold(limit))
        batch.cancel()
        await asyncio.wait([batch])
    assert await interactive is Priority.INTERACTIVE

    assert batch.cancelled()
    assert (limit.in_flight, limit.queued) == (0, 0)


async def test_who_would_surely_wait_too_long_is_told_at_once() -> None:
    """From how long slots are held; no time is lost on finding out."""
    clock = Clock()
    limit = make(max_in_flight=1, clock=clock)
    async with limit.permit(1):
        clock.now += 10
    async with limit.permit(1):
        with pytest.raises(BusyError, match=r"about 10\.0 s") as caught:
            await _hold(limit, wait_s=5)

    assert caught.value.retry_after_s == pytest.approx(10)


async def test_whose_turn_will_come_too_late_is_told_while_waiting() -> None:
    """Slots were held for a second when it came, and for a minute now: it learns so before its time is up."""
    clock = Clock()
    limit = make(max_in_flight=1, clock=clock)
    async with limit.permit(1):
        clock.now += 1
    async with limit.permit(1):
        patient = asyncio.create_task(_hold(limit, wait_s=600))
        hurried = asyncio.create_task(_hold(limit, wait_s=20))
        await asyncio.sleep(0)
        assert limit.queued == 2
        clock.now += 60
    with pytest.raises(BusyError, match="0 wait before it"):
        await hurried

    assert await patient is Priority.INTERACTIVE


async def answered(limit: AimdLimit, clock: Clock, *, at_once: int, pace_s: float) -> None:
    """`at_once` attempts together, all answered at `pace_s`."""
    async with contextlib.AsyncExitStack() as held:
        slots: list[Slot] = []
        for _ in range(min(at_once, int(limit.limit))):
            slots.append(await held.enter_async_context(limit.permit(1)))
        clock.now += 1
        for slot in slots:
            slot.answered("sort", pace_s)


async def test_grows_while_it_is_used_and_the_pace_holds() -> None:
    """From its start to the most that it may."""
    clock = Clock()
    limit = make(clock=clock)
    for _ in range(10):
        await answered(limit, clock, at_once=32, pace_s=1.0)

    assert limit.limit == 32


async def test_does_not_grow_unused() -> None:
    """One request at a time says nothing about more."""
    clock = Clock()
    limit = make(clock=clock)
    for _ in range(50):
        await answered(limit, clock, at_once=1, pace_s=1.0)

    assert limit.limit == START


async def test_settles_where_an_engine_that_works_on_two_at_a_time_is_not_yet_slow() -> None:
    """Pace proportional to what is beyond two: with a tolerance of 3 the limit ends near six."""
    clock = Clock()
    limit = make(clock=clock)
    for at_once in [1] * 5 + [32] * 200:
        busy = min(at_once, int(limit.limit))
        await answered(limit, clock, at_once=at_once, pace_s=max(1.0, busy / 2))

    assert 4 <= limit.limit <= 8


async def test_gives_way_once_for_all_that_were_under_way() -> None:
    """Ten drops of one moment are one sign, not ten."""
    clock = Clock()
    limit = make(clock=clock)
    async with contextlib.AsyncExitStack() as held:
        slots = [await held.enter_async_context(limit.permit(1)) for _ in range(8)]
        clock.now += 1
        for slot in slots:
            slot.dropped()

    assert limit.limit == pytest.approx(START * 0.9)


async def test_a_limit_never_falls_below_one() -> None:
    """Something must be asked to learn that it is better."""
    clock = Clock()
    limit = make(clock=clock)
    for _ in range(100):
        async with limit.permit(1) as slot:
            clock.now += 1
            slot.dropped()

    assert limit.limit == 1
