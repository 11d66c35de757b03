"""How long a provider may take before it counts as silent: by what it took lately for requests of that size. No I/O.

A limit that fires counts as an observation of its own length, so a provider that has become slower is soon given more
time instead of being cut off for ever.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from services.llm.types import ChatRequest

REMEMBERED = 64
ENOUGH = 8
"""Observations of one size before they say anything."""
FACTOR = 4.0
"""Times the slowest twentieth lately: an engine under a burst is slower than that, a dead one is silent for ever."""
FLOOR_S = 5.0
"""A limit never learns to be shorter, in seconds."""
SUSPICIOUS_S = 1.0
"""Silence that speaks against a provider of which nothing is known yet, in seconds."""


class Size(NamedTuple):
    """Requests that take about as long: prompts within a factor of 4, whole answers with limits within a factor of 2.

    `answer` is None for a stream, of which only the first token is waited for.
    """

    prompt: int
    answer: int | None


def size_of(request: ChatRequest, *, stream: bool) -> Size:
    """The class of a request, from the bytes of its prompt and its limit of tokens."""
    prompt = sum(len(m.content) for m in request.messages).bit_length() // 2
    return Size(prompt, None if stream else request.sampling.max_tokens.bit_length())


def size_of_texts(texts: Sequence[str]) -> Size:
    """The class of a request for vectors, whose answer grows with the number of its texts."""
    return Size(sum(map(len, texts)).bit_length() // 2, len(texts).bit_length())


class Patience:
    """Of one provider and model. `first_token_s` is the most for a first token, and holds until enough is known."""

    def __init__(self, first_token_s: float) -> None:
        self._first_token_s = first_token_s
        self._took: dict[Size, deque[float]] = {}

    def limit_s(self, size: Size) -> float:
        """Seconds to the first token of a stream; to a whole answer, which has no limit before enough is known."""
        most_s = self._first_token_s if size.answer is None else math.inf
        took = self._took.get(size, ())
        if len(took) < ENOUGH:
            return most_s
        slow = sorted(took)[len(took) * 19 // 20]
        return min(most_s, max(FLOOR_S, FACTOR * slow))

    def took(self, size: Size, seconds: float) -> None:
        """It answered after `seconds`, or was given up after them."""
        self._took.setdefault(size, deque(maxlen=REMEMBERED)).append(seconds)

    def speaks_against_it(self, size: Size, seconds: float) -> bool:
        """Whether silence of `seconds` is illness, where the caller's own hurry ended it before the limit did."""
        took = self._took.get(size, ())
        usual_s = 2 * statistics.median(took) if len(took) >= ENOUGH else 0.0
        return seconds >= min(max(SUSPICIOUS_S, usual_s), self.limit_s(size))
