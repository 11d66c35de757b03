"""A caller who leaves, in each phase before an engine works: what it waited for ends, nothing is kept or begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, NoReturn

import pytest

from services.llm.types import Message, Role
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, Rig, ask, read

LONG = (Message(role=Role.USER, content="x" * 30_000),)


class Hung:
    """A side call that never answers, and sees whether it was cancelled."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, *_: object) -> NoReturn:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError


async def leave(call: Coroutine[Any, Any, Any], asked: asyncio.Event) -> None:
    """Cancel `call` once it has asked."""
    task = asyncio.create_task(call)
    async with asyncio.timeout(30):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def is_at_rest(rig: Rig) -> bool:
    return all((link.limit.in_flight, link.limit.queued) == (0, 0) for link in rig.links.values())


@pytest.mark.parametrize("phase", ["is_loaded", "count_tokens"])
@pytest.mark.parametrize("stream", [True, False])
async def test_in_a_side_call(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch, phase: str, stream: bool) -> None:
    """Whether a model is loaded, how many tokens a prompt has: asked before any engine works."""
    async with make_rig() as rig:
        hung = Hung()
        monkeypatch.setattr(rig.links["vllm"].provider, phase, hung, raising=False)
        request = ask(deadline_s=60, messages=LONG if phase == "count_tokens" else ask().messages)
        await leave(read(rig.client, request) if stream else rig.client.chat(request), hung.asked)

        assert hung.left.is_set()
        assert is_at_rest(rig)
    assert rig.vllm.bodies == rig.ollama.bodies == []
    assert [e.result for e in rig.events] == ["cancelled"]


async def test_in_a_probe(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a readiness check: the probe ends, and the next one is not kept waiting for it."""
    async with make_rig() as rig:
        hung = Hung()
        with monkeypatch.context() as patched:
            patched.setattr(rig.links["vllm"].provider, "chat", hung)
            await leave(rig.client.ready(), hung.asked)

        assert hung.left.is_set()
        assert await rig.client.ready() is None
    assert rig.ollama.bodies == []


@pytest.mark.parametrize("stream", [True, False])
async def test_in_the_queue(make_rig: MakeRig, stream: bool) -> None:
    """It leaves the queue, and the one who holds the slot keeps it."""
    async with make_rig(max_in_flight=1) as rig:
        limit = rig.links["vllm"].limit
        async with limit.permit(1):
            task = asyncio.create_task(read(rig.client, ask()) if stream else rig.client.chat(ask()))
            while not limit.queued:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (limit.in_flight, limit.queued) == (1, 0)
        assert is_at_rest(rig)
    assert rig.vllm.bodies == rig.ollama.bodies == []
    assert rig.events[0].attempts == ()


async def test_a_stream_read_by_one_task_and_closed_by_another(make_rig: MakeRig) -> None:
    """As a web server does it; the limit of each step belongs to the task that waits."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.STALL_MIDDLE
        events = rig.client.stream(ask())
        for _ in range(2):
            await asyncio.create_task(anext(events))
        await asyncio.create_task(events.aclose())

        assert is_at_rest(rig)
    assert [e.result for e in rig.events] == ["cancelled"]


async def test_a_reader_who_only_breaks_off_is_cleaned_up_behind(make_rig: MakeRig) -> None:
    """Without closing: the generator is closed as soon as nobody holds it."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.STALL_MIDDLE
        async for _ in rig.client.stream(ask()):
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while rig.vllm.running or not is_at_rest(rig):
                    await asyncio.sleep(0.005)

        assert is_at_rest(rig)
    assert [e.result for e in rig.events] == ["cancelled"]
