"""A small service that speaks the three services' contract, well or badly, and a way to run the real Locust on it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

ROOT = Path(__file__).parents[3]
FIRST_TOKEN_S = 0.3
TOKEN = "a-token-of-the-test"


def llm(provider: str, *, fell_back: bool = False) -> dict[str, Any]:
    """The `llm` object of an answer."""
    return {
        "provider": provider,
        "model": "m",
        "usage": {"prompt_tokens": 20, "completion_tokens": 9},
        "fallback_reason": "connect" if fell_back else None,
    }


@dataclass
class FakeService:
    """All three services behind one port. `script` says how each next answer of /v1/ask goes; then it repeats."""

    script: list[str] = field(default_factory=lambda: ["whole"])
    bodies: list[dict[str, Any]] = field(default_factory=list)
    first_token_s: Callable[[], float] = lambda: FIRST_TOKEN_S
    url: str = ""

    def __post_init__(self) -> None:
        self._next = itertools.count()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.bodies.append(json.loads((await receive())["body"]))
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        allowed = headers.get("x-admin-token") == TOKEN
        provider = headers["x-llm-first"] if allowed and "x-llm-first" in headers else "ollama"
        match scope["path"]:
            case "/v1/ask":
                await self._ask(send, provider)
            case "/v1/summarize":
                await _whole(send, {"summary": "It rains.", "llm": llm(provider)})
            case "/v1/tags":
                await _whole(send, {"tags": [{"tag": "rain", "new": True}], "llm": llm(provider)})
            case "/v1/extract":
                await _whole(send, {"entities": [], "rejected": [], "llm": llm(provider)})

    async def _ask(self, send: Any, provider: str) -> None:
        kind = self.script[next(self._next) % len(self.script)]
        if kind == "refused":
            await _whole(send, {"title": "No engine can answer", "status": 503}, status=503)
            return
        await _start(send, 200, "text/event-stream")
        await _event(send, "retrieved", {"hits": []})
        await _body(send, b": a keep-alive is not a token\n\n")
        await _event(send, "token", {"text": ""})
        await asyncio.sleep(self.first_token_s())
        if kind == "restart":
            await _event(send, "token", {"text": "void "})
            await asyncio.sleep(FIRST_TOKEN_S)
            await _event(send, "restart", {"provider": "ollama", "reason": "timeout_stall"})
        for _ in range(9):
            await _event(send, "token", {"text": "word "})
            await asyncio.sleep(0.01)
        await self._end(send, kind, provider)

    async def _end(self, send: Any, kind: str, provider: str) -> None:
        answer = {"outcome": "complete", "answer": "word", "answerable": True, "llm": llm(provider)}
        match kind:
            case "whole" | "restart":
                await _event(send, "done", answer)
            case "partial":
                await _event(send, "done", answer | {"outcome": "partial"})
            case "fallback":
                await _event(send, "done", answer | {"llm": llm("ollama", fell_back=True)})
            case "error":
                await _event(send, "error", {"title": "The engine went away", "status": 502})
            case "cut":
                raise ConnectionError("the server cuts the stream, on purpose")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(send: Any, status: int, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _body(send: Any, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _event(send: Any, name: str, data: dict[str, Any]) -> None:
    await _body(send, f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


async def _whole(send: Any, document: dict[str, Any], status: int = 200) -> None:
    await _start(send, status, "application/json")
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(fake, log_level=60, ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield fake
        server.should_exit = server.force_exit = True
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run of Locust left behind."""

    code: int
    stats: list[dict[str, Any]]
    shown: str
    records: list[dict[str, Any]]

    def row(self, method: str, name: str) -> dict[str, Any]:
        return next(s for s in self.stats if (s["method"], s["name"]) == (method, name))


Locust = Callable[..., Run]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def clean_environment(service: FakeService) -> dict[str, str]:
    """Without the developer's own settings, each service's URL being the fake's."""
    urls = {f"{s}_URL": service.url for s in ("RAG", "NOTES", "NER")}
    ours = (*urls, "ADMIN_TOKEN", "CUTOVER_HOME")
    return {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_") and k not in ours} | urls


def _statistics(out: str) -> list[dict[str, Any]]:
    """Every process of a run prints an array; the workers' are empty and the master's is the last."""
    found: list[dict[str, Any]] = []
    while out.lstrip().startswith("["):
        found, end = json.JSONDecoder().raw_decode(out.lstrip())
        out = out.lstrip()[end:]
    return found


@pytest.fixture
def worker(service: FakeService) -> Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]:
    """A Locust worker beside the test's own Locust."""

    @contextmanager
    def start(*arguments: str, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "locust", "--headless", "--worker", *arguments]
        with subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(service) | env, stderr=subprocess.DEVNULL
        ) as process:
            yield process
            process.terminate()

    return start


@pytest.fixture
def locust(service: FakeService, tmp_path: Path) -> Locust:
    """Runs the real Locust headless, each service's URL being the fake's, and stops it once there are enough records.

    `enough` looks at the records so far, so that a test waits for what it needs and not for a time. A Locust that ends
    by itself (because it refuses to start) is not waited for.
    """
    raw, shown = tmp_path / "raw.jsonl", tmp_path / "shown.txt"

    def records() -> list[dict[str, Any]]:
        return [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []

    def run(
        *arguments: str,
        enough: Callable[[list[dict[str, Any]]], bool] = bool,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
    ) -> Run:
        raw_to = () if "--raw" in arguments else ("--raw", str(raw))
        command = [sys.executable, "-m", "locust", "--headless", "--json", *raw_to, *arguments]
        with (
            shown.open("w") as err,
            subprocess.Popen(
                command,
                cwd=cwd,
                env=clean_environment(service) | (env or {}),
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            ) as process,
        ):
            until = time.monotonic() + 600
            while process.poll() is None and not enough(records()) and time.monotonic() < until:
                time.sleep(0.05)
            process.terminate()
            out, _ = process.communicate(timeout=120)
        return Run(
            code=process.returncode,
            stats=_statistics(out),
            shown=shown.read_text(),
            records=records(),
        )

    return run


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of `bench/` as Locust does: with that folder first in `sys.path`."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module
