"""Short calls to both engines that show how each behaves: it generates, stops, keeps a schema, refuses what it should.

Every call goes out in the very words that the services' client uses (`services.llm.mapping`), so a difference found
here is one that the services would meet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.llm.mapping import ollama_arguments, openai_arguments
from services.llm.types import ChatRequest, JSONSchema, Message, Role, Sampling
from services.migration.engines import Engines, Reached
from services.migration.findings import Finding, compared

ODD_WORDS = ("zebra", "quagga")
"""A greeting never starts with these, so only a schema that is really kept brings them out."""


NOT_ASKED = "cuts it and answers 200"
"""Ollama's documented default (`reference/engines.md` row 2). Seen on 0.9.3: a prompt that fills the window kept the
only slot busy for more than ten minutes, also after the caller had left; a doctor must not do that to a fallback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One engine's answer to a probe, in common words. `load_s` is Ollama's time to load; `calls` of functions, raw."""

    status: int
    text: str
    prompt_tokens: int | None
    output_tokens: int | None
    finish: str
    problem: str
    calls: tuple[Mapping[str, Any], ...] = ()
    load_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == 200


def user(text: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


def request(
    found: Engines,
    messages: tuple[Message, ...],
    *,
    max_tokens: int,
    schema: JSONSchema | None = None,
    **sampling: Any,
) -> ChatRequest:
    """A greedy request with every sampling field set, as the services send it; `sampling` changes some."""
    return ChatRequest(
        service="doctor", alias=found.model.alias, messages=messages,
        sampling=Sampling(max_tokens=max_tokens, **sampling), deadline_s=found.limit_s, schema=schema,
    )  # fmt: skip


async def both(found: Engines, asked: ChatRequest, *, names: Mapping[str, str] | None = None) -> tuple[Said, Said]:
    """The same request to Ollama, then to vLLM."""
    names = names or found.model.names
    return await ask_ollama(found, asked, names["ollama"]), await ask_vllm(found, asked, names["vllm"])


async def ask_ollama(found: Engines, asked: ChatRequest, name: str) -> Said:
    return _from_ollama(await found.ollama("/api/chat", ollama_body(found, asked, name)))


async def ask_vllm(found: Engines, asked: ChatRequest, name: str) -> Said:
    return from_openai(await found.vllm("/v1/chat/completions", vllm_body(found, asked, name)))


def vllm_body(found: Engines, asked: ChatRequest, name: str) -> dict[str, Any]:
    """What the openai SDK puts on the wire for our arguments."""
    arguments = openai_arguments(asked, replace(found.model, names={"vllm": name}))
    body = {**arguments, **arguments["extra_body"]}
    del body["extra_body"], body["extra_headers"]
    return body


def ollama_body(found: Engines, asked: ChatRequest, name: str) -> dict[str, Any]:
    """What the ollama SDK puts on the wire for our arguments."""
    native = ollama_arguments(asked, replace(found.model, names={"ollama": name}))
    return {**{k: v for k, v in native.items() if v is not None}, "stream": False}


def _from_ollama(got: Reached) -> Said:
    body = got.body
    message = body.get("message") or {}
    return Said(
        status=got.status, text=str(message.get("content") or ""),
        prompt_tokens=body.get("prompt_eval_count"), output_tokens=body.get("eval_count"),
        finish=str(body.get("done_reason") or ""), problem=problem_of(got),
        calls=tuple(message.get("tool_calls") or ()),
        load_s=(body.get("load_duration") or 0) / 1e9,
    )  # fmt: skip


def from_openai(got: Reached) -> Said:
    """An answer of vLLM, or of Ollama's /v1."""
    choice = (got.body.get("choices") or [{}])[0]
    usage, message = got.body.get("usage") or {}, choice.get("message") or {}
    return Said(
        status=got.status, text=str(message.get("content") or ""),
        prompt_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens"),
        finish=str(choice.get("finish_reason") or ""), problem=problem_of(got),
        calls=tuple(message.get("tool_calls") or ()),
    )  # fmt: skip


def problem_of(got: Reached) -> str:
    """What an engine says about a request that it refused: each has another form (`reference/engines.md`, row 46)."""
    error = got.body.get("error") or got.body.get("detail")
    return str(error.get("message") if isinstance(error, dict) else error or "")[:200]


async def generates(found: Engines) -> Finding:
    """A port that is open says nothing; a token does."""
    said = await both(found, request(found, user("Say hello."), max_tokens=8))
    silent = [n for n, s in zip(("Ollama", "vLLM"), said, strict=True) if not s.ok or not s.output_tokens]
    fail = f"{' and '.join(silent)} gave no token; look into its log, then `cutover up`" if silent else ""
    return compared("generates", *(shown(s) for s in said), fail=fail)


def shown(said: Said) -> str:
    return f"{said.output_tokens} tokens, {said.finish}" if said.ok else f"HTTP {said.status}: {said.problem}"


async def keeps_limit(found: Engines) -> Finding:
    """`max_tokens` must bite on both, or times compare verbosity and one request can block the queue."""
    said = await both(found, request(found, user("Count from one to one hundred in words."), max_tokens=5))
    over = [n for n, s in zip(("Ollama", "vLLM"), said, strict=True) if not s.ok or (s.output_tokens or 99) > 5]
    fail = (
        f"{' and '.join(over)} did not keep max_tokens=5; check the proxy between and the engine's version"
        if over
        else ""
    )
    return compared("max_tokens honoured", *(shown(s) for s in said), fail=fail)


async def keeps_schema(found: Engines) -> Finding:
    """A schema whose only values greedy decoding would never choose: swallowed schemas show at once."""
    schema = {
        "type": "object", "properties": {"word": {"type": "string", "enum": list(ODD_WORDS)}}, "required": ["word"],
        "additionalProperties": False,
    }  # fmt: skip
    asked = request(found, user("Greet me with one word, as JSON with the key word."), max_tokens=32, schema=schema)
    said = await both(found, asked)
    loose = [n for n, s in zip(("Ollama", "vLLM"), said, strict=True) if not keeps_odd_word(s)]
    fail = (
        f"{' and '.join(loose)} did not keep the schema; services that need JSON must stay where they are"
        if loose
        else ""
    )
    return compared("schema kept", *(s.text.strip()[:60] or shown(s) for s in said), fail=fail)


def keeps_odd_word(said: Said) -> bool:
    try:
        return said.ok and json.loads(said.text).get("word") in ODD_WORDS
    except (ValueError, AttributeError):
        return False


async def refuses_long(found: Engines) -> Finding:
    """A prompt beyond the window: vLLM must refuse it. Ollama is not asked, because that can cost its only slot."""
    asked = request(found, user("one " * (found.model.context + 100)), max_tokens=1)
    vllm = await ask_vllm(found, asked, found.model.names["vllm"])
    if vllm.ok:
        return compared(
            "over-long prompt", NOT_ASKED, "took it", fail="vLLM took it whole; lower the registry's context"
        )
    if vllm.status != 400:
        step = "vLLM must refuse it with 400, which the client answers without asking another engine; look into its log"
        return compared("over-long prompt", NOT_ASKED, shown(vllm), fail=step)
    warn = "Ollama cuts what does not fit and says nothing; our client never sends it such a prompt, others do"
    return compared("over-long prompt", NOT_ASKED, f"refused, HTTP {vllm.status}", warn=warn)


async def refuses_unknown_model(found: Engines) -> Finding:
    """A wrong model name must be a 404 on both, which the client reads as a wrong set-up."""
    names = {"ollama": "no-such-model:latest", "vllm": "no-such-model"}
    said = await both(found, request(found, user("Say hello."), max_tokens=1), names=names)
    wrong = [n for n, s in zip(("Ollama", "vLLM"), said, strict=True) if s.status != 404]
    warn = f"{' and '.join(wrong)} did not answer 404; a mistyped model would not be noticed" if wrong else ""
    return compared("unknown model refused", *(f"HTTP {s.status}" for s in said), warn=warn)


async def repeats(found: Engines) -> Finding:
    """The same greedy request three times. A flip is told, not failed: ties in the logits break either way."""
    asked = request(found, user("Name three colours."), max_tokens=6)
    texts = [tuple(s.text for s in await both(found, asked)) for _ in range(3)]
    flips = [len({pair[i] for pair in texts}) for i in (0, 1)]
    ollama, vllm = (f"{n} different of 3" if n > 1 else "3 equal" for n in flips)
    margin = await _margin(found, asked)
    told = f"; first token ahead of the second by {margin:.3f} in logprob" if margin is not None else ""
    return compared("greedy repeats", ollama, vllm + told)


async def _margin(found: Engines, asked: ChatRequest) -> float | None:
    """How far vLLM's best first token is ahead of the next; near 0 the two are a tie that any change can turn."""
    body = {**vllm_body(found, asked, found.model.names["vllm"]), "max_tokens": 1, "logprobs": True, "top_logprobs": 2}
    choice = ((await found.vllm("/v1/chat/completions", body)).body.get("choices") or [{}])[0]
    try:
        first, second = (float(t["logprob"]) for t in choice["logprobs"]["content"][0]["top_logprobs"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return first - second


BEHAVIOUR = (generates, keeps_limit, keeps_schema, refuses_unknown_model, repeats, refuses_long)
"""In this order: nothing after `generates` makes sense where it fails."""
