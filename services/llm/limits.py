"""How much one provider is asked at a time: a fixed number in flight, a bounded queue, beyond it: come back later.

The seam for an adaptive limit: whoever replaces `Limit` keeps `permit`, `in_flight` and `queued`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.llm.errors import BusyError, ErrorType

RETRY_AFTER_S = 2.0


class Limit:
    """`max_in_flight` attempts run, `max_queued` wait in order of arrival, the rest get `BusyError` at once."""

    def __init__(self, *, provider: str, max_in_flight: int, max_queued: int) -> None:
        self._provider = provider
        self._max_queued = max_queued
        self._slots = asyncio.Semaphore(max_in_flight)
        self.in_flight = 0
        self.queued = 0

    @contextlib.asynccontextmanager
    async def permit(self, wait_s: float) -> AsyncIterator[None]:
        """Hold one slot. Waits at most `wait_s` seconds. Raises `BusyError` when full or out of time."""
        if self._slots.locked() and self.queued >= self._max_queued:
            raise self._busy(f"{self.queued} attempts wait already")
        self.queued += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise self._busy(f"no slot within {wait_s:.1f} s") from exc
        finally:
            self.queued -= 1
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._slots.release()

    def _busy(self, why: str) -> BusyError:
        return BusyError(f"shed: {why}", provider=self._provider, type=ErrorType.SHED, retry_after_s=RETRY_AFTER_S)
