"""A scripted engine on a real socket of the loopback, which counts all that reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from services.faults.reply import Reply, reset
from services.faults.script import DOCUMENTS, OK, WORDS, Refuse, Role, Script, Seen
from services.faults.wire import OpenAIWire, wire_of

PREFILL_REFUSED = Refuse(400, "the last message must be the user's; prefill is not supported", code="prefill")


class Upstream:
    """Plays `first` for its first requests, in order, then `script`. It may be nobody at first (`listens` False)."""

    def __init__(
        self,
        role: Role,
        script: Script = OK,
        *,
        first: Iterable[Script] = (),
        listens: bool = True,
        drops_reused: bool = False,
        refuses_prefill: bool = False,
        slots: int | None = None,
        seed: str = "",
    ) -> None:
        self.role = role
        self.script = script
        self.seen = Seen()
        self.generates = asyncio.Event()
        self._first = deque(first)
        self._listens = listens
        self._drops_reused = drops_reused
        self._refuses_prefill = refuses_prefill
        self._slots = asyncio.Semaphore(slots or 10_000)
        self._rng = random.Random(seed)  # not for secrets; the seed is printed
        self._socket = _reserved(0)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        """Open for the block; afterwards the port is free and every connection gone."""
        if self._listens:
            await self.come()
        try:
            yield self
        finally:
            await self._gone()
            self._socket.close()

    async def come(self) -> None:
        """Begin to listen. Until then the port is reserved and refuses."""
        self._server = await asyncio.start_server(self._serve, sock=self._socket)

    async def die(self) -> None:
        """Like `kill -9`: connections are reset and the port refuses again."""
        port = self.port
        for writer in self._connections.values():
            reset(writer)
        await self._gone()
        self._socket = _reserved(port)

    async def _gone(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._requests(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller has gone, or we have: nobody is left to tell
        finally:
            del self._connections[task]
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reused = False
        ahead = asyncio.ensure_future(_byte(reader))
        try:
            while first := await ahead:
                if reused and self._drops_reused:
                    self.seen.dropped += 1
                    return
                path, body = await _request(first, reader)
                ahead = asyncio.ensure_future(_byte(reader))
                if not await self._answered(path, body, writer, ahead):
                    return
                reused = True
        finally:
            ahead.cancel()

    async def _answered(
        self, path: str, body: Mapping[str, Any], writer: asyncio.StreamWriter, ahead: asyncio.Future[bytes]
    ) -> bool:
        """Whether another request may follow. `ahead` ends early where the caller leaves."""
        with self._counted(body, path):
            wire = wire_of(path, str(body.get("model", ""))) or OpenAIWire("")  # it refuses any other path
            words = self._words(body)
            reply = Reply(
                writer,
                wire,
                words,
                stream=bool(body.get("stream", path == "/api/chat")),
                generates=self.generates,
                rng=self._rng,
            )
            playing: asyncio.Future[Any] = asyncio.ensure_future(self._in_turn(reply, self._next(path, body)))
            try:
                await asyncio.wait((playing, ahead), return_when=asyncio.FIRST_COMPLETED)
                if playing.done() and not playing.exception():
                    return reply.keeps_connection
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            self.seen.left += 1
            self.seen.left_at = asyncio.get_running_loop().time()
            return False

    async def _in_turn(self, reply: Reply, script: Script) -> None:
        async with self._slots:
            await reply.play(script)

    def _words(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """What it has to say: its own answer, or the rest of the one that the request has begun."""
        last = body["messages"][-1] if body.get("messages") else {}
        begun = str(last["content"]) if last.get("role") == "assistant" else ""
        whole = "".join(WORDS[Role.PRIMARY])
        if begun and whole.startswith(begun):
            return tuple(whole[len(begun) :])
        return (DOCUMENTS if "response_format" in body or body.get("format") else WORDS)[self.role]

    def _next(self, path: str, body: Mapping[str, Any]) -> Script:
        if wire_of(path, "") is None:
            return (Refuse(404, "Not Found"),)
        if self._refuses_prefill and body["messages"][-1]["role"] == "assistant":
            self.seen.prefills += 1
            return (PREFILL_REFUSED,)
        if self._first and not _is_probe(body):
            return self._first.popleft()
        return self.script

    @contextlib.contextmanager
    def _counted(self, body: Mapping[str, Any], path: str) -> Iterator[None]:
        seen = self.seen
        if wire_of(path, "") is None:
            yield
        elif _is_probe(body):
            seen.probes += 1
            seen.probing += 1
            seen.most_probes = max(seen.most_probes, seen.probing)
            try:
                yield
            finally:
                seen.probing -= 1
        else:
            seen.hits += 1
            yield


def _is_probe(body: Mapping[str, Any]) -> bool:
    """A request for one token is the client finding out whether somebody generates; no request of ours is so short."""
    return 1 in (body.get("max_tokens"), body.get("options", {}).get("num_predict"))


async def _byte(reader: asyncio.StreamReader) -> bytes:
    """The first byte of the next request, or nothing once the caller has left, however rudely."""
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def _request(first: bytes, reader: asyncio.StreamReader) -> tuple[str, Mapping[str, Any]]:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return request_line.split(" ")[1], json.loads(body or b"{}")


def _reserved(port: int) -> socket.socket:
    """A bound socket that does not listen: connecting to it is refused, and nobody else gets the port."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    bound.setblocking(False)
    return bound
