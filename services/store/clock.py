"""The time as stores keep it: ISO 8601, UTC, milliseconds, so that it sorts as text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], str]
"""Gives the time as stores keep it."""


def utc_now() -> str:
    """The clock that is not a test's."""
    return stored(datetime.now(UTC))


def stored(moment: datetime) -> str:
    """`moment` as stores keep it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def later(at: str, seconds: float) -> str:
    """The stored time `seconds` after the stored time `at`."""
    return stored(datetime.fromisoformat(at) + timedelta(seconds=seconds))
