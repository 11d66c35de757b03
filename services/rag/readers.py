"""Reads documents in processes apart, each in one of its own that is forked from a nursery which has read none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

from services.rag.parsed import Limits, Parsed, Source
from services.rag.parsing_apart import asked, environment, told, too_slow
from services.rag.parsing_nursery import END, LENGTH

COMMAND = (sys.executable, "-P", "-m", "services.rag.parsing_nursery")


class Readers:
    """Use as `async with`. As many nurseries as documents are read at a time; each serves one document at a time."""

    def __init__(self) -> None:
        self._idle: list[Process] = []

    async def __aenter__(self) -> Readers:
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._idle:
            await _ended(self._idle.pop())

    async def read(self, source: Source, limits: Limits) -> Parsed:
        """The text of `source`. Raises `Refusal`, also for a document on which its parser hung or died."""
        nursery = await self._nursery()
        said = None
        try:
            async with asyncio.timeout(limits.wall_s):
                said = await _said(nursery, asked(source, limits))
                if said is None:
                    await nursery.wait()
        except TimeoutError:
            raise too_slow(source) from None
        finally:
            if said is None:
                await _ended(nursery)
            else:
                self._idle.append(nursery)
        return told(said or b"", 0 if said is not None else nursery.returncode, source)

    async def _nursery(self) -> Process:
        while self._idle:
            found = self._idle.pop()
            if found.returncode is None:
                return found
        return await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment(), process_group=0
        )


async def _said(nursery: Process, request: bytes) -> bytes | None:
    """The child's answer; None where it ended without one, and its nursery with it."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    try:
        nursery.stdin.write(LENGTH.pack(len(request)) + request)
        await nursery.stdin.drain()
        (size,) = LENGTH.unpack(await nursery.stdout.readexactly(LENGTH.size))
        answer = await nursery.stdout.readexactly(size)
        return answer if await nursery.stdout.readexactly(len(END)) == END else None
    except (ConnectionError, asyncio.IncompleteReadError):
        return None


async def _ended(nursery: Process) -> None:
    """The nursery and its child, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(nursery.pid, signal.SIGKILL)
    if nursery.stdin is not None:
        nursery.stdin.close()
    if nursery.stdout is not None:
        await nursery.stdout.read()  # a process has not ended before its pipes have, and one held back has no end
    await nursery.wait()
