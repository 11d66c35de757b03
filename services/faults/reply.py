"""One answer of an upstream, step by step onto a socket: raw HTTP/1.1, so that every way to break it is possible."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus

from services.faults.script import (
    Begin,
    Broken,
    Close,
    End,
    Hang,
    Malformed,
    Page,
    Pieces,
    Ping,
    Refuse,
    Reset,
    Script,
    Step,
    Until,
    Wait,
    Words,
)
from services.faults.wire import Wire

FOREVER_S = 3600.0
PAGE = b"<!doctype html><html><body><h1>It works!</h1></body></html>"


class Reply:
    """Plays a script. Afterwards `keeps_connection` tells whether another request may follow."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        wire: Wire,
        words: tuple[str, ...],
        *,
        stream: bool,
        generates: asyncio.Event,
        rng: random.Random,
    ) -> None:
        self._writer = writer
        self._wire = wire
        self._words = words
        self._stream = stream
        self._generates = generates
        self._rng = rng
        self._sent = 0
        self._begun = False
        self._most = 0
        self._body = b""
        self._written = 0
        self.keeps_connection = False

    async def play(self, script: Script) -> None:
        """Every step in order. Raises `ConnectionError` where the caller has left."""
        self._body = self._whole_of(script)
        for step in script:
            await self._do(step)

    def _whole_of(self, script: Script) -> bytes:
        """The body of a whole answer: the words up to the `End`, or all that was promised where none comes."""
        end = next((step for step in script if isinstance(step, End)), None)
        if end is None:
            return self._wire.whole("".join(self._words), "stop", len(self._words))
        upto = [len(self._words) if s.upto is None else s.upto for s in script if isinstance(s, Words)]
        said = self._words[: max(upto, default=0)]
        return self._wire.whole("".join(said), end.finish, len(said))

    async def _do(self, step: Step) -> None:
        match step:
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Hang():
                await asyncio.sleep(FOREVER_S)
            case Until():
                await self._generates.wait()
            case Reset():
                reset(self._writer)
            case Close():
                self._writer.close()
            case Pieces(most):
                self._most = most
            case Refuse() | Page():
                await self._complete(step)
            case Begin(role):
                await self._begin(role)
            case Words(upto, gap_s):
                await self._say(len(self._words) if upto is None else upto, gap_s)
            case Ping(every_s):
                while True:
                    await self._frame(self._wire.ping())
                    await asyncio.sleep(every_s)
            case Broken() | Malformed():
                await self._spoil(step)
            case End(finish, done):
                await self._end(finish, done)

    async def _complete(self, step: Refuse | Page) -> None:
        if isinstance(step, Page):
            await self._whole(200, PAGE, "text/html; charset=utf-8")
            return
        body = json.dumps(self._wire.refusal(step.message, step.param, step.code)).encode()
        extra = {} if step.retry_after_s is None else {"Retry-After": str(step.retry_after_s)}
        await self._whole(step.status, body, "application/json", extra)

    async def _begin(self, role: bool) -> None:
        self._begun = True
        if self._stream:
            await self._write(_head(200, {"Content-Type": self._wire.stream_type, "Transfer-Encoding": "chunked"}))
            if role:
                await self._frame(self._wire.role())
        else:
            head = {"Content-Type": "application/json", "Content-Length": str(len(self._body))}
            await self._write(_head(200, head))

    async def _say(self, upto: int, gap_s: float) -> None:
        while self._sent < upto:
            if gap_s:
                await asyncio.sleep(gap_s)
            self._sent += 1
            if self._stream:
                await self._frame(self._wire.word(self._words[self._sent - 1]))
            else:
                await self._some(len(self._body) * self._sent // (len(self._words) + 1))

    async def _spoil(self, step: Broken | Malformed) -> None:
        """Of a whole answer the part that is out cannot be taken back: an ill engine then drops the connection."""
        if self._stream:
            await self._frame(self._wire.broken() if isinstance(step, Broken) else self._wire.malformed())
        elif isinstance(step, Malformed):
            self._body = self._body[: self._written].ljust(len(self._body), b"{")
            await self._some(len(self._body))
            self.keeps_connection = True
        else:
            reset(self._writer)

    async def _end(self, finish: str | None, done: bool) -> None:
        if self._stream:
            await self._frame(self._wire.end(finish, self._sent, done))
            await self._write(b"0\r\n\r\n")
        else:
            await self._some(len(self._body))
        self.keeps_connection = True

    async def _whole(self, status: int, body: bytes, type: str, extra: Mapping[str, str] | None = None) -> None:
        head = {"Content-Type": type, "Content-Length": str(len(body)), **(extra or {})}
        await self._write(_head(status, head) + body)
        self.keeps_connection = True

    async def _frame(self, frame: bytes) -> None:
        for piece in self._pieces(frame):
            await self._write(b"%x\r\n%s\r\n" % (len(piece), piece))

    async def _some(self, upto: int) -> None:
        for piece in self._pieces(self._body[self._written : upto]):
            await self._write(piece)
        self._written = max(self._written, upto)

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self._most:
            return [data] if data else []
        pieces = []
        while data:
            size = self._rng.randint(1, self._most)
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what is not read yet is lost, as with a killed process behind a NAT or a proxy."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
