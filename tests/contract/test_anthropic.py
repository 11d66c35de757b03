"""The last resort's adapter against the Messages API that real vLLM serves beside its own: the wire, not the model."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest

from services.llm.documents import check_completion
from services.llm.errors import ConfigError, ContextTooLong, DeadError
from services.llm.providers.anthropic import Anthropic
from services.llm.registry import Model, models
from services.llm.types import ChatRequest, Chunk, Finish, Message, Role, Sampling
from services.settings import Settings

ALIAS = "smollm2-135m"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["mauve", "teal"]}, "n": {"type": "integer", "maximum": 9}},
    "required": ["colour"],
    "additionalProperties": False,
}

pytestmark = pytest.mark.engines


def entry(name: str = ALIAS) -> Model:
    """The small model of the stack, as if vLLM were the API: the name that vLLM serves it under."""
    return replace(models()[ALIAS], names={"anthropic": name})


def at(url: str, *, name: str = ALIAS) -> Anthropic:
    return Anthropic(name="anthropic", url=url, models={ALIAS: entry(name)}, connect_s=2.0, api_key="none")


@pytest.fixture
async def provider(engines: Settings) -> AsyncIterator[Anthropic]:
    found = at(engines.vllm_url)
    yield found
    await found.aclose()


def ask(text: str = "Tell me about the sea.", **changes: object) -> ChatRequest:
    fields: dict[str, object] = {
        "service": "notes",
        "alias": ALIAS,
        "messages": (Message(role=Role.SYSTEM, content="You answer at length."), Message(role=Role.USER, content=text)),
        "sampling": Sampling(max_tokens=24),
        "deadline_s": 60.0,
    }
    return ChatRequest(**{**fields, **changes})  # type: ignore[arg-type]


async def collect(provider: Anthropic, request: ChatRequest) -> list[Chunk]:
    async with asyncio.timeout(request.deadline_s), contextlib.aclosing(provider.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


async def test_chat_answers_with_usage(provider: Anthropic) -> None:
    """A whole answer has text, a finish and both token counts."""
    completion = await provider.chat(ask())

    assert completion.text
    assert completion.usage.prompt_tokens
    assert completion.usage.completion_tokens


async def test_the_prompt_is_the_one_of_the_other_wire(provider: Anthropic, engines: Settings) -> None:
    """As many tokens as vLLM's own chat format makes of the same messages: system prompt and turns arrived whole."""
    request = ask(sampling=Sampling(max_tokens=1))
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        messages = [{"role": str(m.role), "content": m.content} for m in request.messages]
        body = {"model": ALIAS, "messages": messages, "max_tokens": 1}
        other = (await http.post(f"{engines.vllm_url}/v1/chat/completions", json=body)).json()

    assert (await provider.chat(request)).usage.prompt_tokens == other["usage"]["prompt_tokens"]


async def test_stream_ends_with_finish_and_usage(provider: Anthropic) -> None:
    """The prompt's tokens first, then content, and at the very end finish and usage, once."""
    chunks = await collect(provider, ask())

    assert "".join(c.text for c in chunks)
    assert [c.finish is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    first, last = chunks[0].usage, chunks[-1].usage
    assert first is not None
    assert last is not None
    assert first.prompt_tokens == last.prompt_tokens
    assert last.completion_tokens


async def test_limit_is_honoured_and_said(provider: Anthropic) -> None:
    """`max_tokens` cuts, and the finish says `length`; whole and streamed alike."""
    request = ask("Count from one to fifty in words.", sampling=Sampling(max_tokens=3))
    completion = await provider.chat(request)
    last = (await collect(provider, request))[-1]

    assert (completion.finish, last.finish) == (Finish.LENGTH, Finish.LENGTH)
    assert completion.usage.completion_tokens == 3


async def test_schema_holds(provider: Anthropic) -> None:
    """The document fits the schema, with an enum that no model would choose by itself."""
    request = ask("Which colour is the sky?", schema=SCHEMA, sampling=Sampling(max_tokens=64))
    assert provider.refusal(request) is None
    completion = await provider.chat(request)

    assert json.loads(completion.text)["colour"] in ("mauve", "teal")
    check_completion(request, completion, provider="anthropic")


async def test_stop_string_ends_and_is_removed(provider: Anthropic) -> None:
    """The answer ends before the stop string."""
    sampling = Sampling(max_tokens=40, stop=("e",))
    completion = await provider.chat(ask(sampling=sampling))

    assert "e" not in completion.text
    assert completion.finish is Finish.STOP


async def test_unknown_model_is_a_set_up_error(engines: Settings) -> None:
    """Whole, streamed, and when it is only asked whether it is there."""
    provider = at(engines.vllm_url, name="no-such-model")
    try:
        with pytest.raises(ConfigError):
            await provider.chat(ask())
        with pytest.raises(ConfigError):
            await collect(provider, ask())
        with pytest.raises(ConfigError):
            await provider.reachable(ALIAS)
    finally:
        await provider.aclose()


async def test_too_long_prompt_is_the_callers_error(provider: Anthropic) -> None:
    """Told apart from every other 400."""
    with pytest.raises(ContextTooLong):
        await provider.chat(ask("word " * 6000))
    with pytest.raises(ContextTooLong):
        await collect(provider, ask("word " * 6000))


async def test_whether_it_is_there_costs_no_generation(provider: Anthropic) -> None:
    """It answers at once where it is; where nobody listens it is dead."""
    await provider.reachable(ALIAS)
    nobody = at("http://127.0.0.1:1")
    with pytest.raises(DeadError):
        await nobody.reachable(ALIAS)
    await nobody.aclose()


async def test_leaving_frees_the_engine(provider: Anthropic, engines: Settings) -> None:
    """Closing a stream after its first content ends the engine's work."""
    request = ask("Tell a very long story.", sampling=Sampling(max_tokens=400))
    async with contextlib.aclosing(provider.stream(request)) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    async with asyncio.timeout(120), httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        while await _running(http, engines.vllm_url):
            await asyncio.sleep(0.05)


async def _running(http: httpx2.AsyncClient, url: str) -> float:
    lines = (await http.get(f"{url}/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:num_requests_running{"))
