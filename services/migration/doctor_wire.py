"""The doctor's own wire to both engines: whatever answers there, it comes back in shape, or as something told.

A refused connection ends the examination (`EngineUnreachable`); silence, cut answers, HTML and wrong types do not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from services.llm.registry import Model, RegistryError, chat_model
from services.migration.engines import Engines, Reached
from services.migration.errors import EngineUnreachable
from services.settings import Settings

LISTS = frozenset({"models", "data", "choices", "tool_calls"})
OBJECTS = frozenset({"details", "message", "usage", "model_info", "delta"})
COUNTS = frozenset(
    ("prompt_tokens", "completion_tokens", "prompt_eval_count", "eval_count", "count", "max_model_len",
     "context_length", "load_duration", "size", "size_vram")
)  # fmt: skip
SILENCES = 2
"""After so many calls without an answer an engine is not asked any more: each costs the whole limit."""

MOST_LINES = 400
"""Lines that are read of a stream; one of a few tokens has some dozen."""

LIMIT_S = 40.0
"""Seconds for one short call; on two cores a few tokens take about one, beside other work some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Other addresses and names than the settings and the registry have; empty where they hold."""

    ollama_url: str = ""
    vllm_url: str = ""
    embed_url: str = ""
    ollama_model: str = ""
    vllm_model: str = ""

    @property
    def any(self) -> bool:
        return any((self.ollama_url, self.vllm_url, self.embed_url, self.ollama_model, self.vllm_model))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The lines of a streamed answer, without the empty ones. `problem` where it broke off or was no stream."""

    status: int
    lines: tuple[str, ...]
    kind: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire(Engines):
    """Both engines. `odd` collects what answered out of shape, `silences` how often each said nothing."""

    odd: list[str] = field(default_factory=list)
    silences: dict[str, int] = field(default_factory=dict)
    embed_url: str = ""

    async def _call(
        self, name: str, url: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Reached:
        content = None if body is None else json.dumps(body).encode()
        return await self._sent(name, url + path, content, headers)

    async def raw(self, engine: str, path: str, content: bytes) -> Reached:
        """Any bytes to `engine`, told to be JSON."""
        name, url, headers = self._to(engine)
        return await self._sent(name, url + path, content, headers)

    async def text(self, engine: str, path: str) -> str:
        """A page of `engine` that is no JSON, such as its metrics; empty where there is none."""
        name, url, headers = self._to(engine)
        reached = await self._sent(name, url + path, None, headers, is_json=False)
        return str(reached.body.get("text", "")) if reached.ok else ""

    async def vllm_metrics(self) -> str:
        return await self.text("vllm", "/metrics")

    async def embeddings(self, body: Mapping[str, Any]) -> Reached:
        """vLLM's embeddings: of a server of its own where there is one."""
        url = self.embed_url or self.vllm_url
        return await self._call("vLLM", url, "/v1/embeddings", body, self._to("vllm")[2])

    async def stream(self, engine: str, path: str, body: Mapping[str, Any], *, leave_after: int = MOST_LINES) -> Stream:
        """A streamed answer, line by line; the caller leaves after `leave_after` of them."""
        name, url, headers = self._to(engine)
        lines: list[str] = []
        try:
            async with asyncio.timeout(self.limit_s):
                sent = self.client.stream("POST", url + path, json=body, headers=headers, timeout=self.limit_s)
                async with sent as answer:
                    kind = answer.headers.get("content-type", "")
                    async for line in answer.aiter_lines():
                        lines += [line] if line.strip() else []
                        if len(lines) >= leave_after:
                            break
                    return Stream(status=answer.status_code, lines=tuple(lines), kind=kind)
        except (httpx2.HTTPError, TimeoutError) as exc:
            return Stream(status=0, lines=tuple(lines), problem=self._trouble(name, url, exc))

    def _to(self, engine: str) -> tuple[str, str, Mapping[str, str]]:
        if engine == "ollama":
            return "Ollama", self.ollama_url, {}
        return "vLLM", self.vllm_url, {"Authorization": f"Bearer {self.vllm_key}"} if self.vllm_key else {}

    async def _sent(
        self, name: str, url: str, content: bytes | None, headers: Mapping[str, str], *, is_json: bool = True
    ) -> Reached:
        if self.silences.get(name, 0) >= SILENCES:
            return _said_nothing("not asked any more: it said nothing to earlier calls")
        try:
            async with asyncio.timeout(self.limit_s):
                answer = await self._answer(url, content, headers)
        except (httpx2.HTTPError, TimeoutError) as exc:
            return _said_nothing(self._trouble(name, url, exc))
        if not is_json:
            return Reached(status=answer.status_code, body={"text": answer.text})
        return Reached(status=answer.status_code, body=self._object(name, url, answer))

    async def _answer(self, url: str, content: bytes | None, headers: Mapping[str, str]) -> httpx2.Response:
        if content is None:
            return await self.client.get(url, headers=headers, timeout=self.limit_s)
        told = {**headers, "Content-Type": "application/json"}
        return await self.client.post(url, content=content, headers=told, timeout=self.limit_s)

    def _trouble(self, name: str, url: str, exc: Exception) -> str:
        """What an engine that did not answer is told as. Raises `EngineUnreachable` where nobody listens."""
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout):
            raise EngineUnreachable(
                f"{name} does not answer at {url} ({type(exc).__name__}); start it with `cutover up`"
            ) from exc
        if isinstance(exc, httpx2.TimeoutException | TimeoutError):
            self.silences[name] = self.silences.get(name, 0) + 1
            return f"no answer within {self.limit_s:g} s"
        return f"broke off ({type(exc).__name__})"

    def _object(self, name: str, url: str, answer: httpx2.Response) -> Mapping[str, Any]:
        where = f"{name} at {url}"
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return {k: self._shaped(where, k, v) for k, v in found.items()}
        if answer.status_code == 200:
            self._note(f"{where} answers 200 and no JSON object: {answer.text[:60]!r}")
        return {"error": answer.text[:200]}

    def _shaped(self, where: str, key: str, value: object) -> Any:
        """`value`, or nothing in its place where it has another type than both engines' documents give it."""
        expected: type = object
        if key == "error":  # a text, or an object with a `message` that is a text
            return value
        if key in LISTS:
            expected = list
        elif key in OBJECTS:
            expected = dict
        elif key in COUNTS:
            expected = int
        if value is not None and (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
            self._note(f"{where}: {key} is {str(value)[:40]!r}")
            return None
        if isinstance(value, dict):
            return {k: self._shaped(where, k, v) for k, v in value.items()}
        if isinstance(value, list) and key in LISTS:
            return [self._shaped(where, "", v) for v in value if isinstance(v, dict)]
        return value

    def _note(self, said: str) -> None:
        if said not in self.odd:
            self.odd.append(said)


def _said_nothing(problem: str) -> Reached:
    return Reached(status=0, body={"error": problem})


def wire(settings: Settings, service: str, client: httpx2.AsyncClient, overrides: Overrides) -> Wire:
    """The engines behind one service's alias, or those that `overrides` name. Raises `RegistryError`."""
    key = settings.vllm_api_key
    return Wire(
        client=client, vllm_url=overrides.vllm_url or settings.vllm_url,
        ollama_url=overrides.ollama_url or settings.ollama_url,
        embed_url=overrides.embed_url or settings.embedding.vllm_url,
        model=_model(settings, service, overrides), vllm_key=key.value if key else "", limit_s=LIMIT_S,
    )  # fmt: skip


def _model(settings: Settings, service: str, overrides: Overrides) -> Model:
    alias = settings.aliases[service]
    chosen = chat_model(alias, settings.models_file)
    given = {"ollama": overrides.ollama_model, "vllm": overrides.vllm_model}
    chosen = replace(chosen, names={**chosen.names, **{k: v for k, v in given.items() if v}})
    if missing := chosen.missing("vllm", "ollama"):
        options = " and ".join(f"--{engine}-model" for engine in missing)
        raise RegistryError(
            f"the model alias {alias!r} has no name for {' and '.join(missing)} in models.toml; give {options}"
        )
    return chosen
