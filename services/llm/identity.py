"""Which weights a provider serves, as far as it tells: read beside the requests, never in their way.

An engine's name for a model stays when somebody pulls another version of it or starts the server on another folder. So
each derived row also says what the engine told of the weights behind the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from services.llm.errors import LLMError
from services.llm.types import is_text

LOG = logging.getLogger("cutover.llm.identity")

KNOWN_FOR_S = 60.0
"""Seconds after which it is read again, at the next request: an engine may have been started anew in between."""
AGAIN_AFTER_S = 5.0
"""Seconds before a reading that failed is tried again."""
READ_LIMIT_S = 5.0
MOST_CHARS = 200
ROOT = "root:"
"""How the identity begins of a server that tells no digest, only what it loaded."""


@runtime_checkable
class Identified(Protocol):
    """A provider that can tell which weights it serves."""

    async def weights(self, alias: str) -> str: ...


class Identity:
    """What `read` told last. `told` is empty until then, after a failure, and where there is nobody to ask.

    A reading may take `limit_s`; `clock` in seconds, monotonic.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[str]] | None,
        *,
        limit_s: float = READ_LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._limit_s = limit_s
        self._clock = clock
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._closed = False
        self.told = ""

    def look(self) -> None:
        """Begin a reading where one is due; returns at once."""
        is_reading = self._reading is not None and not self._reading.done()
        if self._read is None or self._closed or is_reading or self._clock() < self._due_at:
            return
        self._reading = asyncio.get_running_loop().create_task(self._look(self._read))

    def forget(self) -> None:
        """The provider fell ill, so another process may serve when it is back: what it told before counts no more."""
        self.told, self._due_at = "", float("-inf")
        if self._reading:
            self._reading.cancel()
            self._reading = None

    async def aclose(self) -> None:
        self._closed = True
        if self._reading:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _look(self, read: Callable[[], Awaitable[str]]) -> None:
        self._due_at = self._clock() + AGAIN_AFTER_S
        told = ""
        try:
            async with asyncio.timeout(self._limit_s):
                told = await read()
                if told.startswith(ROOT):
                    told = await asyncio.to_thread(of_root, told.removeprefix(ROOT))
                told = sound(told)
        except (LLMError, TimeoutError, OSError) as exc:
            LOG.debug("identity.not_told reason=%s", exc)
        else:
            self._due_at = self._clock() + KNOWN_FOR_S
        self.told = told


def identity_of(provider: object, alias: str, *, clock: Callable[[], float] = time.monotonic) -> Identity:
    """The identity of `alias` at `provider`; one that is always empty where the provider cannot tell."""
    if not isinstance(provider, Identified):
        return Identity(None, clock=clock)
    weights = provider.weights
    return Identity(lambda: weights(alias), clock=clock)


def sound(told: str) -> str:
    """What an engine told as a store can keep it: one printable line of at most `MOST_CHARS`, else nothing."""
    return told[:MOST_CHARS] if told.isprintable() and is_text(told) else ""


def of_root(root: str) -> str:
    """The identity of a server that tells only what it loaded, a folder or a hub's name. Reads that folder's listing.

    A folder that lies here is told by `folder_digest`, as a gate's verdict does it; another one by its name alone.
    """
    return folder_digest(root) or (f"{ROOT}{root}" if root else "")


def folder_digest(root: str) -> str:
    """What tells one local model folder from another without reading gigabytes: its files' names, sizes and times.

    Empty where there is no such folder here.
    """
    folder = Path(root)
    with contextlib.suppress(OSError, ValueError):
        if root.startswith("/") and folder.is_dir():
            files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(folder.iterdir()) if f.is_file()]
            return hashlib.sha256(json.dumps(files, sort_keys=True, default=str).encode()).hexdigest()
    return ""
