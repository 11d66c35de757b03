"""How much an endpoint is asked while it is recorded: how often, and how many at a time. Counting only; no text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """So many requests in so many seconds; requests in flight on average over that time, and at most."""

    seen: int
    seconds: float
    mean_in_flight: float
    peak_in_flight: int


class Traffic:
    """Written by the event loop alone, read by the writer's thread; `now_s` of one monotonic clock."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._changed_s = started_s
        self._busy_s = 0.0
        self._seen = 0
        self._in_flight = 0
        self._peak = 0

    def came(self, now_s: float) -> None:
        """A request came."""
        self._weigh(now_s)
        self._seen += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)

    def went(self, now_s: float) -> None:
        """A request that came is over."""
        self._weigh(now_s)
        self._in_flight -= 1

    def reading(self, now_s: float) -> Reading:
        seconds = max(0.0, now_s - self._started_s)
        busy_s = self._busy_s + self._in_flight * max(0.0, now_s - self._changed_s)
        mean = busy_s / seconds if seconds else 0.0
        return Reading(seen=self._seen, seconds=seconds, mean_in_flight=mean, peak_in_flight=self._peak)

    def _weigh(self, now_s: float) -> None:
        self._busy_s += self._in_flight * (now_s - self._changed_s)
        self._changed_s = now_s
