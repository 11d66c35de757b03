"""The limit on each step of a stream: fires on the step that is late, and is nobody's cancellation but its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.llm.watchdog import Watchdog


@pytest.fixture
async def watchdog() -> AsyncIterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


async def test_gives_the_result_of_a_step_in_time(watchdog: Watchdog) -> None:
    """Many short steps, each with a limit of its own, use one timer."""
    assert [await watchdog.wait(asyncio.sleep(0, n), 10) for n in range(50)] == list(range(50))


async def test_a_step_that_is_late_times_out(watchdog: Watchdog) -> None:
    """The task goes on afterwards; it is not left cancelled."""
    with pytest.raises(TimeoutError):
        await watchdog.wait(asyncio.sleep(10), 0.01)
    task = asyncio.current_task()

    assert task is not None
    assert task.cancelling() == 0
    assert await watchdog.wait(asyncio.sleep(0, "next"), 10) == "next"


@pytest.mark.parametrize("first_s", [0.005, 10.0])
async def test_each_step_has_its_own_limit(watchdog: Watchdog, first_s: float) -> None:
    """Shorter or longer than the one before; a timer that goes off too early is set anew."""
    await watchdog.wait(asyncio.sleep(0), first_s)
    await asyncio.sleep(0.01)
    await watchdog.wait(asyncio.sleep(0.02), 10)
    with pytest.raises(TimeoutError):
        await watchdog.wait(asyncio.sleep(10), 0.01)


async def test_between_two_steps_nobody_is_cancelled(watchdog: Watchdog) -> None:
    """A reader may take as long as it likes."""
    await watchdog.wait(asyncio.sleep(0), 0.005)
    await asyncio.sleep(0.03)

    assert await watchdog.wait(asyncio.sleep(0, "still here"), 10) == "still here"


async def test_a_caller_who_leaves_is_not_a_timeout(watchdog: Watchdog) -> None:
    """The cancellation passes as it is."""
    task = asyncio.create_task(watchdog.wait(asyncio.sleep(10), 10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_leaving_and_being_late_at_once_is_leaving(watchdog: Watchdog) -> None:
    """Both in one step of the loop: the caller's cancellation wins, as in asyncio.timeout."""
    task = asyncio.create_task(watchdog.wait(asyncio.sleep(10), 10))
    await asyncio.sleep(0)
    watchdog._until = 0.0
    watchdog._goes_off()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_keeps_its_meaning(watchdog: Watchdog) -> None:
    """The request's own limit around a step that has more time."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watchdog.wait(asyncio.sleep(10), 10)
    task = asyncio.current_task()

    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("error", [None, ValueError()])
async def test_a_step_that_ends_otherwise_leaves_no_cancellation_behind(
    watchdog: Watchdog, error: Exception | None
) -> None:
    """A step that takes the cancellation for its own, as `asyncio.timeout` allows for: later task groups count them."""

    async def step() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        if error is not None:
            raise error
        return "late"

    if error is None:
        assert await watchdog.wait(step(), 0.01) == "late"
    else:
        with pytest.raises(ValueError):
            await watchdog.wait(step(), 0.01)
    task = asyncio.current_task()

    assert task is not None
    assert task.cancelling() == 0
