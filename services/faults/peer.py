"""A peer as a subject: its driver as a process of the peers' environment, spoken to in JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from services.faults.judge import Ended, Mode, Observed
from services.faults.script import SCHEMA, Role
from services.faults.stage import Asked, Draw, Session

DRIVER = Path(__file__).with_name("peers") / "driver.py"
RETRIES: Mapping[str, int] = {"litellm": 0, "openai": 2, "langchain": 0}
"""How often each peer's set-up asks the same provider again; `driver.py` holds the set-ups."""

NOT_INSTALLABLE: Mapping[str, str] = {
    "portkey": "not installable here: its gateway is an npm package; PyPI's `portkey-ai` is only a client for it",
}
NAMES = (*RETRIES, *NOT_INSTALLABLE)

START_S = 180.0
GUARD = 4.0
"""A request that has not ended after this many deadlines hangs."""

KEPT_FOR_FALLBACK = 0.4
"""Part of the deadline that a peer's primary is not given: what our own client keeps back."""

MODELS = {"primary-model": Role.PRIMARY, "fallback-model": Role.FALLBACK}


class PeerError(Exception):
    """A peer's driver did not start or has died. The message quotes it."""


class Peer:
    """A running driver; use as `async with started(...)`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.retries = RETRIES[name]
        self.modes = frozenset({Mode.CHAT, Mode.STREAM, Mode.RESCUE})
        self.versions: Mapping[str, str] = {}
        self.ready = asyncio.Event()
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @contextlib.asynccontextmanager
    async def open(self, urls: Mapping[Role, str], draw: Draw) -> AsyncIterator[Session]:
        session = next(self._numbers)
        self.say(
            op="open",
            session=session,
            primary=urls[Role.PRIMARY],
            fallback=urls[Role.FALLBACK],
            first_s=draw.deadline_s * (1 - KEPT_FOR_FALLBACK),
            rest_s=draw.deadline_s * KEPT_FOR_FALLBACK,
            deadline_s=draw.deadline_s,
        )
        try:
            yield PeerSession(self, session)
        finally:
            self.say(op="close", session=session)

    def say(self, **told: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")

    async def answer(self, **ask: Any) -> dict[str, Any]:
        """What the driver tells about one request. Cancelling this is the caller leaving."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self.say(op="ask", id=number, **ask)
        try:
            return await self._waiting[number]
        except asyncio.CancelledError:
            self.say(op="leave", id=number)
            raise
        finally:
            del self._waiting[number]

    async def listen(self) -> None:
        """Hand each answer to who waits for it, until the driver ends. Raises `PeerError` where it dies."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "ready" in told:
                self.versions = told["ready"]
                self.ready.set()
            elif told["id"] in self._waiting and not self._waiting[told["id"]].done():
                self._waiting[told["id"]].set_result(told)
        error = PeerError(f"the driver of {self.name} has died")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


@contextlib.asynccontextmanager
async def started(name: str, python: Path, log: Path) -> AsyncIterator[Peer]:
    """The peer, imported and ready; its stderr goes to `log`. Raises `PeerError`."""
    with log.open("wb") as errors:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-P", str(DRIVER), name), stdin=pipe, stdout=pipe, stderr=errors, limit=2**20
        )
        peer = Peer(name, process)
        listening = asyncio.ensure_future(peer.listen())
        try:
            await _ready(peer, listening, log)
            yield peer
        finally:
            process.kill()
            await process.wait()
            await listening


async def _ready(peer: Peer, listening: asyncio.Future[None], log: Path) -> None:
    """Wait for the driver's first line."""
    ready: asyncio.Future[Any] = asyncio.ensure_future(peer.ready.wait())
    done, _ = await asyncio.wait((ready, listening), timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if not done:
        raise PeerError(f"{peer.name} was not imported within {START_S:g} s")
    if not peer.versions:
        said = await asyncio.to_thread(log.read_text)
        raise PeerError(f"{peer.name} does not start: {' | '.join(said.splitlines()[-3:])}")


class PeerSession:
    """One set-up of the peer over one pair of upstreams. It has no counter of attempts to compare."""

    def __init__(self, peer: Peer, session: int) -> None:
        self._peer = peer
        self._session = session

    def counted(self) -> None:
        return None

    async def ask(self, asked: Asked) -> Observed:
        try:
            async with asyncio.timeout(asked.deadline_s * GUARD):
                told = await self._peer.answer(
                    session=self._session,
                    stream=asked.mode is not Mode.CHAT,
                    prompt=asked.prompt,
                    schema=SCHEMA if asked.schema else None,
                )
        except TimeoutError:
            return Observed(ended=Ended.HANGS, took_s=asked.deadline_s * GUARD, detail=f"no end in {GUARD:g} deadlines")
        return Observed(
            ended=Ended(told["ended"]),
            took_s=told["took_s"],
            text=told["text"],
            provider=MODELS.get(told["model"].rpartition("/")[2], ""),
            detail=told["detail"],
            retry_after_s=float(told["retry_after"]) if told["retry_after"].isdigit() else None,
        )
