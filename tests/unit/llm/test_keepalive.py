"""A kept connection that its server closes just as the next request comes, over real sockets, for both adapters."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from services.llm.errors import DeadError, ErrorType
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from tests.recorded.played import Row, recording
from tests.unit.llm.conftest import ask

Adapter = OpenAICompat | Ollama


class Act(enum.Enum):
    """What the server does with one request that it has read whole."""

    ANSWER = enum.auto()
    CLOSE = enum.auto()
    RESET = enum.auto()
    HEADERS_THEN_CLOSE = enum.auto()
    HOLD = enum.auto()  # all of the answer but the end of its body


@dataclass
class Server:
    """Acts by its script, one act a request; then answers. `connections` holds the number of requests on each.

    `bodies` are what it was sent, in order.
    """

    row: Row
    script: list[Act]
    connections: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    serving: list[asyncio.Task[None]] = field(default_factory=list)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(self.connections)
        self.connections.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                self.bodies.append(await reader.readexactly(int(length.split(b":")[1])))
                self.connections[mine] += 1
                act = self.script.pop(0) if self.script else Act.ANSWER
                if act is Act.HOLD:
                    writer.write(self._head(more=1) + self.row.body)
                    await reader.read()
                    return
                if act is not Act.ANSWER:
                    self._break(act, writer)
                    return
                writer.write(self._head() + self.row.body)

    def _break(self, act: Act, writer: asyncio.StreamWriter) -> None:
        if act is Act.RESET:
            writer.transport.abort()
            return
        if act is Act.HEADERS_THEN_CLOSE:
            writer.write(self._head())

    def _head(self, more: int = 0) -> bytes:
        kind, length = self.row.headers["content-type"], len(self.row.body) + more
        return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


Serve = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Server, Adapter]]]


@pytest.fixture(params=["vllm", "ollama"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """A server with a script and an adapter of each kind at it, with its own real transport."""
    engine = str(request.param)

    @contextlib.asynccontextmanager
    async def started(*script: Act, row: str = "whole answer") -> AsyncIterator[tuple[Server, Adapter]]:
        server = Server(recording(engine)[row], list(script))
        listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        kind = OpenAICompat if engine == "vllm" else Ollama
        adapter = kind(name=engine, url=url, models=models(), connect_s=5.0)
        async with listening:
            async with contextlib.aclosing(adapter):
                yield server, adapter
            await asyncio.gather(*server.serving)

    return started


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_request_on_a_connection_that_closes_just_then_is_sent_again(serve: Serve, end: Act) -> None:
    """Once, on a new connection; nobody sees anything but the answer."""
    async with serve(Act.ANSWER, end) as (server, adapter):
        first = await adapter.chat(ask())
        second = await adapter.chat(ask())

    assert first == second
    assert server.connections == [2, 1]
    assert adapter.replays == 1


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_stream_is_opened_again_too(serve: Serve, end: Act) -> None:
    """Not one byte of it had come."""
    async with serve(Act.ANSWER, end, row="stream") as (server, adapter):
        texts = [[chunk.text async for chunk in adapter.stream(ask())] for _ in range(2)]

    assert texts[0] == texts[1]
    assert server.connections == [2, 1]


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_request_on_a_new_connection_is_never_sent_again(serve: Serve, end: Act) -> None:
    """There the server has died: a second try would only double what killed it."""
    async with serve(end) as (server, adapter):
        with pytest.raises(DeadError) as caught:
            await adapter.chat(ask())

    assert caught.value.type is ErrorType.CUT
    assert (server.connections, adapter.replays) == ([1], 0)


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_request_is_sent_again_once_and_no_more(serve: Serve, end: Act) -> None:
    """The new connection breaks as well, so it was not the keeping."""
    async with serve(Act.ANSWER, end, end) as (server, adapter):
        await adapter.chat(ask())
        with pytest.raises(DeadError):
            await adapter.chat(ask())

    assert server.connections == [2, 1]


async def test_a_request_is_never_sent_again_once_its_answer_has_begun(serve: Serve) -> None:
    """Headers alone show that the engine is at work on it."""
    async with serve(Act.ANSWER, Act.HEADERS_THEN_CLOSE) as (server, adapter):
        await adapter.chat(ask())
        with pytest.raises(DeadError) as caught:
            await adapter.chat(ask())

    assert caught.value.type is ErrorType.CUT
    assert (server.connections, adapter.replays) == ([2], 0)


async def test_a_connection_is_kept_after_a_stream(serve: Serve) -> None:
    """Its body is read to the end, which comes behind the last event."""
    async with serve(row="stream") as (server, adapter):
        for _ in range(3):
            assert "".join([chunk.text async for chunk in adapter.stream(ask())])

    assert server.connections == [3]


@pytest.mark.parametrize("serve", ["vllm"], indirect=True)
async def test_a_body_without_an_end_keeps_no_reader_waiting(serve: Serve) -> None:
    """[DONE] is the end of the answer; only the connection is lost."""
    async with serve(Act.HOLD, row="stream") as (server, adapter):
        for _ in range(2):
            async with asyncio.timeout(60):
                assert "".join([chunk.text async for chunk in adapter.stream(ask())])

    assert server.connections == [1, 1]


async def test_the_same_request_is_sent_the_second_time(serve: Serve) -> None:
    """Its body as well, though the first sending has used it up."""
    async with serve(Act.ANSWER, Act.CLOSE) as (server, adapter):
        await adapter.chat(ask())
        await adapter.chat(ask())

    assert len(server.bodies) == 3
    assert json.loads(server.bodies[0])["messages"]
    assert server.bodies[1] == server.bodies[2] == server.bodies[0]
