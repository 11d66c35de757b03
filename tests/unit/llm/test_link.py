"""One provider with its guards: it is probed until it generates, whatever a probe meets, and never after its end."""

from __future__ import annotations

import asyncio

import pytest

from services.llm.types import ChatRequest, Completion, Finish
from tests.unit.llm.scripted import Scripted, over, refusal


async def test_a_bug_in_a_probe_does_not_end_the_probing() -> None:
    """The breaker would stay open for ever, and the engine idle."""
    asked = 0

    async def whole(_: ChatRequest) -> Completion:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("a bug")
        return Completion(text="x", finish=Finish.STOP)

    async with over(Scripted("vllm", whole=whole), Scripted("ollama")) as client, asyncio.timeout(30):
        breaker = client.links["vllm"].breaker
        breaker.failed(refusal())
        while breaker.is_open:
            await asyncio.sleep(0.01)

    assert asked == 3


async def test_what_ends_after_the_client_starts_no_probe() -> None:
    """A late attempt may still report illness; nobody would ever cancel the task that it began."""
    async with over(Scripted("vllm"), Scripted("ollama")) as client:
        pass
    tasks = asyncio.all_tasks()
    client.links["vllm"].breaker.failed(refusal())

    assert asyncio.all_tasks() == tasks


async def test_every_provider_is_closed_whatever_another_raises() -> None:
    """Connections of the second would stay open."""

    class Broken(Scripted):
        async def aclose(self) -> None:
            raise RuntimeError("cannot close")

    second = Scripted("ollama")
    with pytest.raises(RuntimeError):
        async with over(second, Broken("vllm")):
            pass

    assert second.is_closed
    first = Scripted("vllm")
    with pytest.raises(RuntimeError):
        async with over(first, Broken("ollama")):
            pass

    assert first.is_closed


async def test_closing_waits_for_the_probe_that_is_under_way() -> None:
    """No task of the client outlives it."""

    async def silent(_: ChatRequest) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError

    tasks = asyncio.all_tasks()
    async with over(Scripted("vllm", whole=silent), Scripted("ollama")) as client:
        client.links["vllm"].breaker.failed(refusal())
        await asyncio.sleep(0.05)

    assert asyncio.all_tasks() == tasks
