"""The raw file of a load: JSON lines kept in blocks, each whole and on disk or not there; processes may share it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent  # type: ignore[import-untyped]  # has no types
from gevent.event import Event  # type: ignore[import-untyped]  # has no types
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]  # has no types

BLOCK_LINES, BLOCK_S = 256, 1.0
"""A block is written when it is this long or this old: what a `kill -9` or a power cut can take away."""


def append(path: Path, lines: Sequence[str]) -> None:
    """Add all lines or nothing, and wait for the disk. Raises `OSError`, for example when it is full.

    The lock keeps the other processes of this machine out meanwhile.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor)
        try:
            _write_all(descriptor, "".join(lines).encode())
            if stat.S_ISREG(before.st_mode):
                os.fsync(descriptor)
        except OSError:
            if stat.S_ISREG(before.st_mode):
                os.ftruncate(descriptor, before.st_size)
            raise
    finally:
        os.close(descriptor)  # unlocks too


def _write_all(descriptor: int, data: bytes) -> None:
    """A disk that is nearly full takes a part and refuses only the rest."""
    while data:
        data = data[os.write(descriptor, data) :]


class Keeper:
    """One process's lines. Blocks go to disk from a thread, so that a slow disk does not delay what is being timed."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.failure: OSError | None = None
        self._waiting: list[str] = []
        self._is_long = Event()
        self._one_at_a_time = BoundedSemaphore()
        self._on_failure: Callable[[OSError], None] = _nobody

    def __len__(self) -> int:
        """Lines that are not on disk."""
        return len(self._waiting)

    def open(self, path: Path, on_failure: Callable[[OSError], None]) -> None:
        """Begin to keep, or go on with the same file. `on_failure` is told once, when the disk takes no more."""
        self.failure, self._on_failure = None, on_failure
        if self.path is None:
            gevent.spawn(self._write_for_ever)
        self.path = path

    def add(self, line: str) -> None:
        self._waiting.append(line)
        if len(self._waiting) >= BLOCK_LINES:
            self._is_long.set()

    def flush(self) -> None:
        """Wait until everything so far is on disk. A block that cannot be written goes on waiting."""
        with self._one_at_a_time:
            block, self._waiting = self._waiting, []
            if self.path is None or not block:
                return
            try:
                gevent.get_hub().threadpool.apply(append, (self.path, block))
                return
            except OSError as exc:
                self._waiting = block + self._waiting
                is_first, self.failure = self.failure is None, exc
        if is_first:
            self._on_failure(self.failure)

    def _write_for_ever(self) -> None:
        while True:
            self._is_long.wait(timeout=BLOCK_S)
            self._is_long.clear()
            if self.failure is None:
                self.flush()


def _nobody(_failure: OSError) -> None:
    """Is told of nothing."""
