"""The circuit breaker of one provider: opens on illness, closes when a probe has generated. No I/O, no clock.

The client runs one probe at a time while a breaker is open, so no user's request is spent on finding out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from services.llm.errors import DeadError, DeadlineExceeded, ErrorType

SOFT_FAILURES = 3
"""Failures in a row that open the breaker, where one alone may be chance (a cut, a slow first token)."""

AT_ONCE = frozenset({ErrorType.CONNECT, ErrorType.TIMEOUT_CONNECT})
"""Nobody listens: one is enough."""


class State(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"


class Breaker:
    """Counts only illness. A refused request, a busy engine or a leaving caller are neither success nor failure."""

    def __init__(self, on_change: Callable[[State], None] = lambda _: None) -> None:
        self._on_change = on_change
        self._in_a_row = 0
        self.state = State.CLOSED
        self.last_error: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    def answered(self) -> None:
        """The provider generated something."""
        self._in_a_row = 0
        self._become(State.CLOSED)

    def failed(self, error: DeadError) -> None:
        """The provider is ill. What only the caller's clock ended is not the provider's illness."""
        if isinstance(error, DeadlineExceeded) or not error.is_illness:
            return
        self.last_error = str(error)
        self._in_a_row += 1
        if error.type in AT_ONCE or self._in_a_row >= SOFT_FAILURES:
            self._become(State.OPEN)

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state)
