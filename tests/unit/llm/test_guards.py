"""Breaker and limit by themselves."""

from __future__ import annotations

from services.llm.breaker import SOFT_FAILURES, Breaker, State
from services.llm.errors import DeadError, DeadlineExceeded, ErrorType

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
