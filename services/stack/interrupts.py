"""Ctrl-C and its relatives, held back while something must not be cut in half."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Make SIGTERM and SIGHUP a `KeyboardInterrupt` while the block runs, so that what it began is ended in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def held() -> Iterator[threading.Event]:
    """Hold back SIGINT, SIGTERM and SIGHUP until the block ends, then deliver the first. The event tells that one came.

    Python runs signal handlers in the main thread only, so in any other thread there is nothing to hold back.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    first: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        first.append(number)
        came.set()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in ours:
            signal.signal(number, remember)
        yield came
    finally:
        for number in ours:
            signal.signal(number, before[number])
        if first:
            signal.raise_signal(first[0])
