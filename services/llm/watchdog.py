"""A time limit on each of many short waits, for less than `asyncio.timeout` costs each time.

One timer runs per stream and is set anew only when it goes off too early; a wait moves two numbers. Cancelling follows
`asyncio.Timeout` (Python 3.11): a limit that fires cancels the waiting task and takes that back however the step ends;
where it ends by that it is a `TimeoutError`, unless somebody else cancelled the task meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class Watchdog:
    """For one stream at a time. `close` it when the stream ends."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until = float("inf")
        self._waiting: asyncio.Task[Any] | None = None
        self._fired = False

    async def wait(self, step: Awaitable[T], limit_s: float) -> T:
        """The result of `step`. Raises `TimeoutError` when it takes longer than `limit_s` seconds."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self._fired = False
        self._until = self._loop.time() + limit_s
        if self._timer is None or self._timer.when() > self._until:
            self._set()
        self._waiting = task
        try:
            result = await step
        except BaseException as exc:
            self._waiting = None
            if self._fired and task.uncancel() <= cancelling and isinstance(exc, asyncio.CancelledError):
                raise TimeoutError from exc
            raise
        self._waiting = None
        if self._fired:
            task.uncancel()
        return result

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._until, self._goes_off)

    def _goes_off(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._until:
            self._set()
        elif not self._fired:
            self._fired = True
            self._waiting.cancel()
