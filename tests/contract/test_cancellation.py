"""The caller leaves in every phase: the engine stops working for it at once, and nothing new is started anywhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.hooks import RequestEvent, Result
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from services.llm.types import ChatRequest, Message, Role, Sampling
from services.settings import Settings
from tests.fakes.engine import FakeEngine, Fault, serving

ALIAS = "smollm2-135m"
STORY = ChatRequest(
    service="notes",
    alias=ALIAS,
    messages=(Message(role=Role.SYSTEM, content="You tell."), Message(role=Role.USER, content="A long, long story.")),
    sampling=Sampling(max_tokens=1500, temperature=1.0, seed=7),
    deadline_s=120,
)


@dataclass
class Scene:
    """A client over vLLM, real or not, with a fake Ollama behind it that must stay idle."""

    client: LLMClient
    vllm_url: str
    vllm: FakeEngine | None
    ollama: FakeEngine
    events: list[RequestEvent]

    async def running(self) -> float:
        """How many requests the engine works on, by its own count."""
        if self.vllm is not None:
            return self.vllm.running
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            lines = (await http.get(f"{self.vllm_url}/metrics")).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:num_requests_running{"))

    async def until_running(self, wanted: bool) -> None:
        async with asyncio.timeout(120):
            while bool(await self.running()) is not wanted:
                await asyncio.sleep(0.01)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engines)])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """First over the fake, then over the real engine."""
    ollama, vllm, known = FakeEngine(), None, models()
    events: list[RequestEvent] = []
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "fake":
            vllm = FakeEngine()
            url = await stack.enter_async_context(serving(vllm.app()))
        else:
            settings: Settings = request.getfixturevalue("engines")
            url = settings.vllm_url
        behind = await stack.enter_async_context(serving(ollama.app()))
        client = assemble(
            (
                OpenAICompat(name="vllm", url=url, models=known, connect_s=2),
                Ollama(name="ollama", url=behind, models=known, connect_s=2),
            ),
            service="notes",
            alias=ALIAS,
            pin="vllm",
            hooks=(events.append,),
        )
        await stack.enter_async_context(client)
        yield Scene(client, url, vllm, ollama, events)


async def left(scene: Scene) -> None:
    """What must hold after any leaving."""
    await scene.until_running(False)
    assert scene.ollama.bodies == []
    assert [e.result for e in scene.events] == [Result.CANCELLED]
    assert not scene.client.links["vllm"].breaker.is_open
    assert scene.client.links["vllm"].limit.in_flight == 0


async def test_before_the_headers_of_a_whole_answer(scene: Scene) -> None:
    """The engine is at work and has not said a word yet."""
    if scene.vllm:
        scene.vllm.default = Fault.HANG
    task = asyncio.create_task(scene.client.chat(STORY))
    await scene.until_running(True)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await left(scene)


async def test_before_the_first_token_of_a_stream(scene: Scene) -> None:
    """The stream is open; nothing has come that a reader could see."""
    if scene.vllm:
        scene.vllm.default = Fault.ROLE_ONLY
    events = scene.client.stream(STORY)
    first = asyncio.create_task(anext(events))
    await scene.until_running(True)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    await events.aclose()

    await left(scene)


async def test_in_the_middle_of_a_stream(scene: Scene) -> None:
    """Some tokens have been read."""
    if scene.vllm:
        scene.vllm.default = Fault.STALL_MIDDLE
    async with contextlib.aclosing(scene.client.stream(STORY)) as events:
        await anext(events)
        await anext(events)

    await left(scene)
