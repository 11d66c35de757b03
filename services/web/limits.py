"""How fast each API key may ask: one token bucket a key, in this process. The clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from services.web.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a request found: whether it may go on, how many may follow at once, seconds until one more may.

    `window_s` is how long an empty bucket takes to fill.
    """

    may_go_on: bool
    left: int
    next_s: float
    burst: int
    window_s: float

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers writes them, and `Retry-After` for who has to wait."""
        told = {
            "RateLimit-Policy": f'"key";q={self.burst};w={math.ceil(self.window_s)}',
            "RateLimit": f'"key";r={self.left};t={math.ceil(self.next_s)}',
        }
        return told if self.may_go_on else {**told, "Retry-After": str(max(1, math.ceil(self.next_s)))}


class Buckets:
    """`clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._filled: dict[str, tuple[float, float]] = {}

    def take(self, key: Key) -> Taken | None:
        """One request of `key`; None where it has no limit. A refused one takes nothing."""
        rate, now = key.requests_per_s, self._clock()
        if rate is None:
            return None
        tokens, at = self._filled.get(key.digest, (float(key.burst), now))
        tokens = min(float(key.burst), tokens + (now - at) * rate)
        may_go_on = tokens >= 1
        tokens -= may_go_on
        self._filled[key.digest] = (tokens, now)
        return Taken(
            may_go_on=may_go_on,
            left=int(tokens),
            next_s=max(0.0, (1 - tokens) / rate),
            burst=key.burst,
            window_s=key.burst / rate,
        )
