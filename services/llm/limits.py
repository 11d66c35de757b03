"""How much one provider is asked at a time: a limit that finds itself, a bounded queue, beyond it: come back later.

The limit moves by additive increase and multiplicative decrease (Chiu and Jain 1989; the form and the 0.9 are those of
`AIMDLimit` in Netflix's concurrency-limits): it grows while at least half of it is in use and answers come at their
usual pace, and shrinks when one is dropped or far slower than while little was going on. Like TCP it doubles at first,
until the first shrinking. An engine that works on few requests at a time (Ollama) is soon slow, so its limit stays
small; one that batches (vLLM) slows down late.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass

from services.llm.errors import BusyError, ErrorType
from services.llm.types import Priority

START = 8.0
BACKOFF = 0.9
REMEMBERED = 50
"""Answers of one sort that the usual pace is taken from."""
SLOW_FLOOR_S = 0.01
"""Nothing faster than this is slow, in seconds."""
HOLD_WEIGHT = 0.2
"""Weight of the newest in the moving average of how long a slot is held."""
RETRY_AT_LEAST_S = 1.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """An attempt in the queue. `turn` is set when it may go on; it waits until `until`, and must answer by `end`."""

    turn: asyncio.Future[None]
    until: float
    end: float


@dataclass(slots=True, eq=False)
class Slot:
    """One attempt's place at a provider. Whoever holds it says at most once how it went; silence counts as neither."""

    limit: AimdLimit
    taken_at: float
    entered_at: float

    @property
    def waited_s(self) -> float:
        return self.taken_at - self.entered_at

    def answered(self, sort: Hashable, pace_s: float) -> None:
        """It answered. `pace_s` is compared with others of the same `sort`: seconds to a first token, or per token."""
        self.limit.sample(self, sort, pace_s)

    def dropped(self) -> None:
        """It was turned away, or too slow to be waited for."""
        self.limit.shrink(self)


class AimdLimit:
    """At most `limit` attempts run, never more than `max_in_flight`; `max_queued` wait, interactive before batch.

    `tolerance` is how many times the usual pace is not yet slow. `on_shed` hears each refusal.
    """

    def __init__(
        self,
        *,
        provider: str,
        max_in_flight: int,
        max_queued: int,
        tolerance: float,
        clock: Callable[[], float],
        on_shed: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._provider = provider
        self._most = max_in_flight
        self._max_queued = max_queued
        self._tolerance = tolerance
        self._clock = clock
        self._on_shed = on_shed
        self._queues: dict[Priority, deque[_Waiting]] = {p: deque() for p in Priority}
        self._paces: dict[Hashable, deque[float]] = {}
        self._held_s = 0.0
        self._shrunk_at = float("-inf")
        self._has_shrunk = False
        self.limit = min(START, float(max_in_flight))
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    @contextlib.asynccontextmanager
    async def permit(
        self, wait_s: float, priority: Priority = Priority.INTERACTIVE, *, left_s: float = math.inf
    ) -> AsyncIterator[Slot]:
        """Hold one slot. Waits at most `wait_s` seconds of the `left_s` that the attempt has.

        It does not wait at all, or no longer, where its turn would come too late or leave too little time to answer,
        by how long slots are held. Raises `BusyError` with the time to come back.
        """
        entered_at = self._clock()
        await self._enter(wait_s, left_s, priority)
        slot = Slot(self, self._clock(), entered_at)
        try:
            yield slot
        finally:
            self._leave(slot)

    def sample(self, slot: Slot, sort: Hashable, pace_s: float) -> None:
        """Learn from an answer: grow when it came at its usual pace and the limit was in use, shrink when slow."""
        if pace_s > max(SLOW_FLOOR_S, self._tolerance * self._usual(sort, pace_s)):
            self.shrink(slot)
        elif 2 * self.in_flight >= self.limit:
            step = 1 / self.limit if self._has_shrunk else 1.0
            self.limit = min(float(self._most), self.limit + step)

    def _usual(self, sort: Hashable, pace_s: float) -> float:
        """The pace while little is going on; where there was never little going on, the fastest."""
        quiet = self._paces.setdefault((sort, "quiet"), deque(maxlen=REMEMBERED))
        if 4 * self.in_flight <= self.limit or self.in_flight == 1:
            quiet.append(pace_s)
        if quiet:
            return statistics.median(quiet)
        fastest = self._paces.setdefault((sort, "fastest"), deque([math.inf], maxlen=1))
        fastest[0] = min(fastest[0], pace_s)
        return fastest[0]

    def shrink(self, slot: Slot) -> None:
        """Give way once for all attempts that were under way at the time."""
        if slot.taken_at > self._shrunk_at:
            self._shrunk_at = self._clock()
            self._has_shrunk = True
            self.limit = max(1.0, self.limit * BACKOFF)

    async def _enter(self, wait_s: float, left_s: float, priority: Priority) -> None:
        ahead = sum(len(queue) for p, queue in self._queues.items() if p <= priority)
        if not ahead and self._has_room():
            self.in_flight += 1
            return
        expected_s = self._expected_s(ahead)
        if expected_s > wait_s or expected_s + self._held_s > left_s:
            raise self._busy("deadline", f"{ahead} wait already, about {expected_s:.1f} s", expected_s)
        if self.queued >= self._max_queued and not self._make_room(priority):
            raise self._busy("queue_full", f"{self.queued} wait already", expected_s)
        now = self._clock()
        waiting = _Waiting(asyncio.get_running_loop().create_future(), now + wait_s, now + left_s)
        await self._wait(self._queues[priority], waiting, wait_s, expected_s)

    async def _wait(self, queue: deque[_Waiting], waiting: _Waiting, wait_s: float, expected_s: float) -> None:
        turn = waiting.turn
        queue.append(waiting)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as exc:
            if waiting in queue:
                queue.remove(waiting)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self.in_flight -= 1  # the turn had come in the very moment of leaving
                self._admit()
            if isinstance(exc, TimeoutError):
                raise self._busy("deadline", f"no slot within {wait_s:.1f} s", expected_s) from exc
            raise

    def _make_room(self, priority: Priority) -> bool:
        """Turn away the batch attempt that came last, for an interactive one."""
        batch = self._queues[Priority.BATCH]
        if priority is not Priority.INTERACTIVE or not batch:
            return False
        turn = batch.pop().turn
        if not turn.done():  # else its caller has left in this very moment, and its place is free anyway
            turn.set_exception(self._busy("queue_full", "an interactive request took its place", self._held_s))
        return True

    def _expected_s(self, ahead: int) -> float:
        """Seconds until a slot is free for one with `ahead` others before it."""
        return (ahead + 1) * self._held_s / self.limit

    def _has_room(self) -> bool:
        return self.in_flight < int(self.limit)

    def _leave(self, slot: Slot) -> None:
        held_s = self._clock() - slot.taken_at
        self._held_s = held_s if not self._held_s else (1 - HOLD_WEIGHT) * self._held_s + HOLD_WEIGHT * held_s
        self.in_flight -= 1
        self._admit()
        self._turn_away()

    def _admit(self) -> None:
        for queue in self._queues.values():
            while queue and self._has_room():
                turn = queue.popleft().turn
                if not turn.done():
                    self.in_flight += 1
                    turn.set_result(None)

    def _turn_away(self) -> None:
        """Tell those whose turn will come too late, where slots are held for longer than when they began to wait."""
        now, ahead = self._clock(), 0
        for queue in self._queues.values():
            for _ in range(len(queue)):
                waiting = queue.popleft()
                expected_s = self._expected_s(ahead)
                if now + expected_s <= waiting.until and now + expected_s + self._held_s <= waiting.end:
                    ahead += 1
                    queue.append(waiting)
                elif not waiting.turn.done():
                    why = f"{ahead} wait before it, about {expected_s:.1f} s"
                    waiting.turn.set_exception(self._busy("deadline", why, expected_s))

    def _busy(self, reason: str, why: str, expected_s: float) -> BusyError:
        self._on_shed(reason)
        wait_s = max(RETRY_AT_LEAST_S, expected_s)
        return BusyError(f"shed: {why}", provider=self._provider, type=ErrorType.SHED, retry_after_s=wait_s)
