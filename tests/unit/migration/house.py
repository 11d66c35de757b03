"""A whole small world in one process: fake Ollama, fake vLLM and one fake service, reached over a mock transport.

Time is a number that requests move on. Knobs make each engine misbehave in one way.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from services.llm.measures import ATTEMPT_BUCKETS
from services.llm.rollout import FILE_NAME, Rollout, parse
from services.llm.routing import route
from services.migration.measure import Seams
from services.migration.records import Gpu
from services.settings import Settings, load
from tests.unit.migration import fake_pair

TOKEN = "t0ken"
HIT = {"text": "a passage"}
RECIPE = """schema_version = 2
service = "{service}"
why = "a test"
licence = "ours"
path = "/v1/summarize"
stream = {stream}
concurrency = 1
block = 2
nonce_field = "text"
metrics = ["keyword_recall"]
metrics_why = "a test"

[arrivals]
mode = "closed"
why = "a test"
"""
ITEM = """
[[items]]
id = "n{n:02d}"
body = {{ text = "note {n}", max_tokens = 16 }}
gold = {{ keywords = ["word"] }}
"""


class Frames(httpx2.AsyncByteStream):
    """A streamed body, frame by frame."""

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self._frames = frames

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for frame in self._frames:
            yield frame


@dataclass
class House:
    """The world and its knobs."""

    home: Path
    service: str = "notes"
    stream: bool = False
    items: int = 20
    speed: dict[str, float] = field(default_factory=lambda: {"ollama": 1.0, "vllm": 0.3})
    vllm_fails: bool = False
    ollama_fails: bool = False
    refused: frozenset[str] = frozenset()
    answers: dict[str, Callable[[dict[str, Any]], httpx2.Response]] = field(default_factory=dict)
    pin: str = "auto"
    started: dict[str, str] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    service_down: bool = False
    now_s: float = 0.0
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load({"CUTOVER_HOME": str(self.home), "ADMIN_TOKEN": TOKEN})

    @property
    def state(self) -> Path:
        return self.settings.state_dir

    @property
    def recipe(self) -> Path:
        text = RECIPE.format(service=self.service, stream=str(self.stream).lower())
        path = self.home / "recipe.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "".join(ITEM.format(n=n) for n in range(self.items)))
        return path

    @property
    def seams(self) -> Seams:
        return Seams(
            connect=lambda: httpx2.AsyncClient(transport=httpx2.MockTransport(self.handle)),
            clock=lambda: self.now_s,
            now=lambda: datetime(2026, 11, 21, 5, tzinfo=UTC) + timedelta(seconds=self.now_s),
            load=lambda: 0.5,
            started=lambda: dict(self.started),
            gpus=lambda: self.gpus,
        )

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Every request of this world, by its port and path."""
        where = {8511: "ollama", 8500: "vllm"}.get(request.url.port or 0, "service")
        if where in self.refused or (where == "service" and self.service_down):
            raise httpx2.ConnectError("refused")
        body = _json(request.content)
        key = f"{where} {request.url.path}"
        self.asked.append((key, body or {}))
        if key in self.answers and body is not None:
            return self.answers[key](body)
        return getattr(self, f"_{where}")(request, body)

    def _ollama(self, request: httpx2.Request, body: dict[str, Any] | None) -> httpx2.Response:
        return fake_pair.answered("ollama", request.url.path, body, "")

    def _vllm(self, request: httpx2.Request, body: dict[str, Any] | None) -> httpx2.Response:
        return fake_pair.answered("vllm", request.url.path, body, str(self.home / "weights"))

    def generated(self, body: dict[str, Any], *, native: bool) -> httpx2.Response:
        """What a healthy engine would say, for a test that changes some of it."""
        name = "ollama" if native else "vllm"
        path = "/api/chat" if native else "/v1/chat/completions"
        return fake_pair.answered(name, path, body, str(self.home / "weights"))

    def _service(self, request: httpx2.Request, body: dict[str, Any]) -> httpx2.Response:
        if request.url.path == "/metrics":
            return httpx2.Response(200, text=self._metrics())
        first = request.headers.get("X-LLM-First")
        if first and request.headers.get("X-Admin-Token") != TOKEN:
            return httpx2.Response(403, json={"type": "about:measuring-refused", "detail": "token"})
        standing = self._rollout().standing(self.service)
        key = request.headers.get("X-Sticky-Key", "")
        chain = route(self.service, key, pin=self.pin, standing=standing, first=first).chain
        return self._answered(chain, request.url.path)

    def _answered(self, chain: tuple[str, ...], path: str) -> httpx2.Response:
        tried = []
        for provider in chain:
            failing = self.vllm_fails if provider == "vllm" else self.ollama_fails
            tried.append({"provider": provider, "error": "dead" if failing else None})
            self.attempts[provider, "http_5xx" if failing else "none"] += 1
            if not failing:
                usage = {"prompt_tokens": 20, "completion_tokens": 5}
                llm = {"provider": provider, "attempts": tried, "skipped": [], "usage": usage, "finish": "stop"}
                said = {"tags": [{"tag": "word", "new": False}]} if path == "/v1/tags" else {"summary": "a word"}
                return self._spoken(provider, {**said, "llm": llm})
        return httpx2.Response(503, json={"type": "about:no-provider", "detail": "nobody"})

    def _spoken(self, provider: str, answer: dict[str, Any]) -> httpx2.Response:
        if not self.stream:
            self.now_s += self.speed[provider]
            return _ok(answer)
        frames = Frames(self._frames(provider, answer))
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=frames)

    async def _frames(self, provider: str, answer: dict[str, Any]) -> AsyncIterator[bytes]:
        """Headers at once, an empty token, a broken try that is restarted, then the answer."""
        part = self.speed[provider] / 4
        for event, data in (
            ("retrieved", {"hits": [HIT]}), ("token", {"text": ""}), ("token", {"text": "void"}), ("restart", {}),
            ("token", {"text": "a word"}), ("done", {"outcome": "complete", "answer": "a word", **answer}),
        ):  # fmt: skip
            self.now_s += part if event in ("token", "done") else 0.0
            yield f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()

    def _metrics(self) -> str:
        """Tries, answers that the other engine gave, and durations: 40 s for `late` ones, else the engine's speed."""
        lines = ["# TYPE llm_attempts_total counter", "# TYPE llm_attempt_duration_seconds histogram"]
        of = f'service="{self.service}",provider='
        for (provider, error), count in sorted(self.attempts.items()):
            lines.append(f'llm_attempts_total{{{of}"{provider}",attempt="first",error_type="{error}"}} {count}')
            for edge in (*ATTEMPT_BUCKETS, math.inf) if error == "none" else ():
                soon = count - self.late[provider] if edge >= self.speed.get(provider, 1.0) else 0
                within = count if edge >= 40 else soon
                le = "+Inf" if math.isinf(edge) else str(edge)
                lines.append(f'llm_attempt_duration_seconds_bucket{{{of}"{provider}",le="{le}"}} {within}')
        lines.append("# TYPE llm_fallbacks_total counter")
        for (provider, reason), count in sorted(self.passed_over.items()):
            labels = f'service="{self.service}",from="{provider}",to="other",reason="{reason}"'
            lines.append(f"llm_fallbacks_total{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    def _rollout(self) -> Rollout:
        path = self.state / FILE_NAME
        return parse(path.read_text(), where=str(path)) if path.exists() else Rollout()


def _json(content: bytes) -> dict[str, Any] | None:
    """The body of a request; None where it is no JSON."""
    try:
        return dict(json.loads(content or b"{}"))
    except ValueError:
        return None


def _ok(body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def weights(house: House, dtype: str = "F16") -> House:
    """Give vLLM's model folder a config that tells its precision."""
    folder = house.home / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"torch_dtype": dtype}))
    return house


def at(house: House, **changes: Any) -> House:
    return replace(house, **changes)
