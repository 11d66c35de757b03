"""Breaker and limit by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.llm.breaker import SOFT_FAILURES, Breaker, State
from services.llm.errors import BusyError, DeadError, DeadlineExceeded, ErrorType
from services.llm.limits import Limit

CUT = DeadError("cut", type=ErrorType.CUT)


def test_refused_connection_opens_at_once() -> None:
    """Nobody listens: one is enough."""
    changes: list[State] = []
    breaker = Breaker(changes.append)
    breaker.failed(DeadError("refused", type=ErrorType.CONNECT))

    assert breaker.is_open
    assert changes == [State.OPEN]


def test_soft_failures_open_only_in_a_row() -> None:
    """An answer in between starts the count anew."""
    breaker = Breaker()
    for _ in range(SOFT_FAILURES - 1):
        breaker.failed(CUT)
    breaker.answered()
    for _ in range(SOFT_FAILURES - 1):
        breaker.failed(CUT)
    assert not breaker.is_open

    breaker.failed(CUT)
    assert breaker.is_open


def test_callers_deadline_is_no_illness() -> None:
    """A request that ran out of its own time blames nobody."""
    breaker = Breaker()
    for _ in range(10):
        breaker.failed(DeadlineExceeded("late"))

    assert not breaker.is_open


def test_closes_when_it_answers() -> None:
    """One generated answer closes it, and the change is told once."""
    changes: list[State] = []
    breaker = Breaker(changes.append)
    breaker.failed(DeadError("refused", type=ErrorType.CONNECT))
    breaker.answered()
    breaker.answered()

    assert changes == [State.OPEN, State.CLOSED]


async def test_limit_queues_then_sheds() -> None:
    """One runs, one waits, the third is told when to come back; the slot is handed on."""
    limit = Limit(provider="ollama", max_in_flight=1, max_queued=1)
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


async def test_waiting_ends_with_the_time(full_limit: Limit) -> None:
    """Who waits too long is shed and leaves the queue."""
    with pytest.raises(BusyError, match="no slot"):
        async with full_limit.permit(0.01):
            pass

    assert full_limit.queued == 0


async def test_cancelled_waiter_leaves_the_queue(full_limit: Limit) -> None:
    """A caller who leaves while waiting frees its place."""
    task = asyncio.create_task(_hold(full_limit))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert full_limit.queued == 0


@pytest.fixture
async def full_limit() -> AsyncIterator[Limit]:
    limit = Limit(provider="ollama", max_in_flight=1, max_queued=5)
    async with limit.permit(1):
        yield limit


async def _hold(limit: Limit) -> None:
    async with limit.permit(5):
        pass
