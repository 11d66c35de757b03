"""The drill for real engines on scripted ones: kills are counted, answers told apart, lost ones not hidden."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from services.faults import kills
from services.faults.app import ALIAS, Ours
from services.faults.script import OK as HEALTHY
from services.faults.script import Refuse, Role, Script
from services.faults.stage import Draw
from services.faults.upstream import Upstream

PATIENT = replace(Draw.of("1"), first_token_s=10.0, stall_s=10.0)
"""Silence is not what is drilled, and a busy machine makes some."""


@dataclass
class FakeVLLM:
    """Dies and comes as an upstream does; the drill calls `start` from a thread."""

    upstream: Upstream
    loop: asyncio.AbstractEventLoop
    comes_back: bool = True

    def kill(self) -> None:
        self.loop.create_task(self.upstream.die())

    def start(self) -> None:
        if self.comes_back:
            asyncio.run_coroutine_threadsafe(self.upstream.come(), self.loop).result(60)


@contextlib.asynccontextmanager
async def stage(*, fallback: Script = HEALTHY) -> AsyncIterator[tuple[kills.LLMClient, FakeVLLM]]:
    vllm, ollama = Upstream(Role.PRIMARY), Upstream(Role.FALLBACK, fallback)
    async with vllm.running(), ollama.running():
        urls = {Role.PRIMARY: vllm.url, Role.FALLBACK: ollama.url}
        async with Ours().open(urls, PATIENT) as session:
            yield session.client, FakeVLLM(vllm, asyncio.get_running_loop())  # type: ignore[attr-defined]


async def test_two_kills_lose_nothing() -> None:
    """Both engines have answered, and each kill has its two figures."""
    async with stage() as (client, vllm):
        load, taken = await kills.drill(client, ALIAS, vllm, kills=2, step_limit_s=120)
    told = kills.document(load, taken)

    assert (told["kills"], told["failed"], told["errors"]) == (2, 0, [])
    assert told["answered"] == sum(told["by_provider"].values())
    assert set(told["by_provider"]) == {"vllm", "ollama"}
    assert len(told["back_s"]) == len(told["fallback_s"]) == 2


async def test_lost_requests_are_told() -> None:
    """A fallback that refuses: the drill says what it waited for and what failed."""
    async with stage(fallback=(Refuse(503, "server busy"),)) as (client, vllm):
        with pytest.raises(kills.DrillError, match=r"the fallback answers.*failed"):
            await kills.drill(client, ALIAS, vllm, kills=1, step_limit_s=12)


async def test_an_engine_that_does_not_come_back_is_told() -> None:
    async with stage() as (client, vllm):
        vllm.comes_back = False
        with pytest.raises(kills.DrillError, match="vllm answers again"):
            await kills.drill(client, ALIAS, vllm, kills=1, step_limit_s=12)
