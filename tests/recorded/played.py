"""The recordings, and adapters that get them for answers: real bytes, no engine."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import httpx2

from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Capability, Model, models
from services.llm.types import ChatRequest, Completion

ENGINES = ("vllm", "ollama")
URL = "http://engine"
GENERATE = ("/v1/chat/completions", "/api/chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recorded exchange."""

    engine: str
    name: str
    request: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        body = self.request["body"]
        return isinstance(body, dict) and bool(body.get("stream"))


def recording(engine: str) -> dict[str, Row]:
    """The rows of one engine by name."""
    told = json.loads(Path(__file__).with_name(f"{engine}.json").read_text())
    return {row["name"]: _row(engine, row) for row in told["rows"]}


def _row(engine: str, row: Mapping[str, Any]) -> Row:
    body = row["body"]
    if "vectors" in row:
        said = json.loads(body)
        known = zip(said["embeddings"], row["vectors"], strict=True)
        said["embeddings"] = [_vector(first, whole["length"], whole["norm"]) for first, whole in known]
        body = json.dumps(said)
    return Row(
        engine=engine,
        name=row["name"],
        request=row["request"],
        status=row["status"],
        headers=row["headers"],
        body=body.encode(),
    )


def _vector(first: list[float], length: int, norm: float) -> list[float]:
    """A vector that begins with `first` and has the recorded length and norm."""
    rest = length - len(first)
    return first + [math.sqrt((norm**2 - math.hypot(*first) ** 2) / rest)] * rest


@dataclass(slots=True)
class Played:
    """An adapter whose engine always answers with one row; `seen` holds the requests that reached it."""

    row: Row
    name: str
    seen: list[Any] = field(default_factory=list)

    def provider(self) -> OpenAICompat | Ollama:
        if self.row.engine == "vllm":
            over_vllm = httpx2.MockTransport(lambda request: self._answer(request, httpx2.Response))
            return OpenAICompat(name=self.name, url=URL, models=able(), connect_s=1.0, transport=over_vllm)
        over_ollama = httpx.MockTransport(lambda request: self._answer(request, httpx.Response))
        return Ollama(name=self.name, url=URL, models=able(), connect_s=1.0, transport=over_ollama)

    @property
    def generating(self) -> int:
        """How many requests for an answer reached it, not counting those about its state."""
        return sum(request.url.path in GENERATE for request in self.seen)

    def _answer(self, request: Any, response: Any) -> Any:
        self.seen.append(request)
        return response(self.row.status, headers=dict(self.row.headers), content=self.row.body)


def able() -> dict[str, Model]:
    """The registry as if every chat model could do everything, so that what an engine refuses is seen at all."""
    return {
        alias: replace(entry, capabilities=frozenset(Capability)) if entry.chats else entry
        for alias, entry in models().items()
    }


async def answered(row: Row, request: ChatRequest) -> Completion:
    """The row as its adapter reads it, whole or frame by frame."""
    async with contextlib.aclosing(Played(row, row.engine).provider()) as provider:
        if not row.is_stream:
            return await provider.chat(request)
        chunks = [chunk async for chunk in provider.stream(request)]
    (finish,) = [c.finish for c in chunks if c.finish]
    (usage,) = [c.usage for c in chunks if c.usage]
    return Completion(text="".join(c.text for c in chunks), finish=finish, usage=usage)
