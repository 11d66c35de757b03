"""A fake engine with scripted faults that speaks vLLM's and Ollama's wire formats; for faults and speed only."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import math
import random
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.wires import OllamaWire, OpenAIWire

Wire = OpenAIWire | OllamaWire
FOREVER_S = 3600.0


class Fault(enum.StrEnum):
    """What happens to one generating request. `OK` is none."""

    OK = "ok"
    BUSY_503 = "busy_503"
    BUSY_429 = "busy_429"
    BROKEN_500 = "broken_500"
    TOO_LONG_400 = "too_long_400"
    BAD_REQUEST_400 = "bad_request_400"
    MODEL_404 = "model_404"
    KEY_401 = "key_401"
    HANG = "hang"
    SILENT_HEADERS = "silent_headers"
    ROLE_ONLY = "role_only"
    PING_ONLY = "ping_only"
    CUT_FIRST = "cut_first"
    CUT_MIDDLE = "cut_middle"
    STALL_MIDDLE = "stall_middle"
    ERROR_FIRST = "error_first"
    ERROR_MIDDLE = "error_middle"
    NO_FINISH = "no_finish"
    MALFORMED = "malformed"
    LENGTH = "length"


STATUSES: dict[Fault, tuple[int, dict[str, Any]]] = {
    Fault.BUSY_503: (503, {"message": "server busy", "type": "Service Unavailable", "param": None, "code": 503}),
    Fault.BUSY_429: (429, {"message": "slow down", "type": "rate", "param": None, "code": 429}),
    Fault.BROKEN_500: (500, {"message": "EngineCore encountered an issue", "type": "x", "param": None, "code": 500}),
    Fault.TOO_LONG_400: (
        400,
        {
            "message": "input length exceeds maximum context length",
            "type": "BadRequestError",
            "param": "input_tokens",
            "code": 400,
        },
    ),
    Fault.BAD_REQUEST_400: (400, {"message": "no", "type": "BadRequestError", "param": "temperature", "code": 400}),
    Fault.MODEL_404: (
        404,
        {"message": "The model does not exist", "type": "NotFoundError", "param": None, "code": 404},
    ),
    Fault.KEY_401: (401, {"message": "Unauthorized", "type": "x", "param": None, "code": 401}),
}


class Cut(Exception):
    """Makes the server drop the connection, as a dying engine does."""


@dataclass(slots=True)
class FakeEngine:
    """`faults` are used up in order, then `default`; `answers` likewise, then `words`.

    `weights` is what it tells of them, `looks` how often it was asked for that.
    `bodies` are the generating requests it has seen. With `slots` only so many whole answers are worked on at a time,
    each for `work_s` seconds; the others wait inside, as in Ollama.
    """

    words: tuple[str, ...] = ("Bonjour", " from", " a", " fake")
    answers: deque[tuple[str, ...]] = field(default_factory=deque)
    default: Fault = Fault.OK
    faults: deque[Fault] = field(default_factory=deque)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left_early: int = 0
    running: int = 0
    most_running: int = 0
    token_count: int | None = None
    dimension: int = 576
    loaded: bool = True
    weights: str = "1f0e9d"
    looks: int = 0
    slots: int = 0
    work_s: float = 0.0
    _at_work: asyncio.Semaphore | None = None

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._openai, methods=["POST"]),
                Route("/api/chat", self._ollama, methods=["POST"]),
                Route("/api/embed", self._embed, methods=["POST"]),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/api/ps", self._ps),
                Route("/api/tags", self._tags),
                Route("/v1/models", self._models),
            ]
        )

    async def _ps(self, _: Request) -> Response:
        model = "smollm2-135m:latest"
        return JSONResponse({"models": [{"model": model, "name": model}] if self.loaded else []})

    async def _tags(self, _: Request) -> Response:
        self.looks += 1
        model = "smollm2-135m:latest"
        return JSONResponse({"models": [{"model": model, "name": model, "digest": self.weights}]})

    async def _models(self, _: Request) -> Response:
        self.looks += 1
        served = {"id": "smollm2-135m", "object": "model", "created": 0, "owned_by": "vllm", "root": self.weights}
        return JSONResponse({"object": "list", "data": [served]})

    async def _tokenize(self, _: Request) -> Response:
        if self.token_count is None:
            return JSONResponse({"detail": "Not Found"}, status_code=404)
        return JSONResponse({"count": self.token_count})

    async def _embed(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        fault = self.faults.popleft() if self.faults else self.default
        if fault in STATUSES:
            status, error = STATUSES[fault]
            return JSONResponse(OllamaWire().error(error), status_code=status)
        rows = [_vector(text, self.dimension) for text in body["input"]]
        return JSONResponse({"model": body["model"], "embeddings": rows, "prompt_eval_count": len(rows)})

    async def _openai(self, request: Request) -> Response:
        return await self._answer(request, OpenAIWire())

    async def _ollama(self, request: Request) -> Response:
        return await self._answer(request, OllamaWire())

    async def _answer(self, request: Request, wire: Wire) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        fault = self.faults.popleft() if self.faults else self.default
        if fault in STATUSES:
            status, error = STATUSES[fault]
            headers = {"Retry-After": "7"} if status in (429, 503) else {}
            return JSONResponse(wire.error(error), status_code=status, headers=headers)
        words = self.answers.popleft() if self.answers else self.words
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        if body.get("stream", isinstance(wire, OllamaWire)):
            return StreamingResponse(self._frames(fault, wire, words), media_type=wire.media_type)
        return await self._whole(request, fault, wire, words)

    async def _whole(self, request: Request, fault: Fault, wire: Wire, words: tuple[str, ...]) -> Response:
        try:
            match fault:
                case Fault.HANG | Fault.SILENT_HEADERS | Fault.ROLE_ONLY | Fault.PING_ONLY | Fault.STALL_MIDDLE:
                    await self._until_the_caller_leaves(request)
                    return Response()
                case Fault.CUT_FIRST | Fault.CUT_MIDDLE | Fault.NO_FINISH | Fault.ERROR_FIRST | Fault.ERROR_MIDDLE:
                    return StreamingResponse(_cut(b'{"half": '), media_type="application/json")
                case Fault.MALFORMED:
                    return Response(b"<html>oops", media_type="application/json")
                case _:
                    await self._work()
                    finish = "length" if fault is Fault.LENGTH else "stop"
                    return JSONResponse(wire.whole("".join(words), finish))
        finally:
            self.running -= 1

    async def _work(self) -> None:
        if self.slots:
            if self._at_work is None:
                self._at_work = asyncio.Semaphore(self.slots)
            async with self._at_work:
                await asyncio.sleep(self.work_s)

    async def _until_the_caller_leaves(self, request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.005)
        self.left_early += 1

    async def _frames(self, fault: Fault, wire: Wire, words: tuple[str, ...]) -> AsyncIterator[bytes]:
        try:
            async for frame in self._scripted(fault, wire, words):
                yield frame
        except asyncio.CancelledError:
            self.left_early += 1
            raise
        finally:
            self.running -= 1

    async def _scripted(self, fault: Fault, wire: Wire, words: tuple[str, ...]) -> AsyncIterator[bytes]:
        if fault is Fault.HANG:
            await asyncio.sleep(FOREVER_S)
        yield wire.begin()
        match fault:
            case Fault.SILENT_HEADERS | Fault.ROLE_ONLY:
                await asyncio.sleep(FOREVER_S)
            case Fault.PING_ONLY:
                while True:
                    yield wire.ping()
                    await asyncio.sleep(0.01)
            case Fault.CUT_FIRST:
                raise Cut
            case Fault.ERROR_FIRST:
                yield wire.broken()
                return
            case Fault.MALFORMED:
                yield wire.malformed()
                return
        for index, word in enumerate(words):
            if index == len(words) // 2:
                match fault:
                    case Fault.CUT_MIDDLE:
                        raise Cut
                    case Fault.STALL_MIDDLE:
                        await asyncio.sleep(FOREVER_S)
                    case Fault.ERROR_MIDDLE:
                        yield wire.broken()
                        return
            yield wire.word(word)
            await asyncio.sleep(0)
        if fault is not Fault.NO_FINISH:
            yield wire.end("length" if fault is Fault.LENGTH else "stop", len(words))


def _vector(text: str, dimension: int) -> list[float]:
    """Of length 1, and another one for another text."""
    drawn = random.Random(text)
    row = [drawn.gauss(0, 1) for _ in range(dimension)]
    length = math.hypot(*row)
    return [x / length for x in row]


async def _cut(begin: bytes) -> AsyncIterator[bytes]:
    yield begin
    raise Cut


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.asynccontextmanager
async def serving(app: Starlette, *, port: int | None = None) -> AsyncIterator[str]:
    """Serve `app` with a real uvicorn on loopback, in this event loop; gives its base URL.

    On a socket that is bound here, so that no other process takes the port before uvicorn does.
    """
    listener = socket.create_server(("127.0.0.1", port or 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    # `serve` itself would take over the test run's signal handlers
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
