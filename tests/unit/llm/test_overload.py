"""vLLM dies under a vLLM-sized load: Ollama stays useful, and whoever finds no room is told when to come back."""

from __future__ import annotations

import asyncio

from services.llm.errors import LLMError
from services.llm.types import Answer, Priority
from tests.fakes.engine import free_port
from tests.unit.llm.conftest import MakeRig, ask

SLOTS = 2
OFFERED = 48


async def test_ollama_keeps_its_pace_and_the_rest_are_told_to_come_back(make_rig: MakeRig) -> None:
    """Never more than a few are inside an engine that works on two at a time; nobody is left without a word."""
    async with make_rig(vllm_port=free_port(), queue_wait_s=0.5, max_queued=8) as rig:
        rig.ollama.slots, rig.ollama.work_s = SLOTS, 0.1
        for _ in range(4):  # what it does while little is going on
            await rig.client.chat(ask())
        ended: list[Answer | LLMError] = []

        async def insist(number: int) -> None:
            for _ in range(20):
                try:
                    ended.append(await rig.client.chat(ask(key=str(number))))
                except LLMError as exc:
                    ended.append(exc)
                    await asyncio.sleep(0.02)

        rig.ollama.most_running = 0
        await asyncio.gather(*(insist(n) for n in range(OFFERED)))
        limit = rig.links["ollama"].limit

    answers = [e for e in ended if isinstance(e, Answer)]
    shed = [e for e in ended if isinstance(e, LLMError)]
    assert len(answers) + len(shed) == OFFERED * 20
    assert answers
    assert shed
    assert all(e.retry_after_s for e in shed)
    assert limit.limit < OFFERED / 2
    assert rig.ollama.most_running <= OFFERED / 2
    assert (limit.in_flight, limit.queued) == (0, 0)


async def test_interactive_requests_are_served_before_batch(make_rig: MakeRig) -> None:
    """Batch work fills the queue; the interactive request still gets the next free slot."""
    async with make_rig(pin="ollama", max_in_flight=1) as rig:
        rig.ollama.slots, rig.ollama.work_s = 1, 0.02
        order: list[str] = []

        async def one(name: str, priority: Priority) -> None:
            await rig.client.chat(ask(priority=priority))
            order.append(name)

        batch = [asyncio.create_task(one(f"batch {n}", Priority.BATCH)) for n in range(4)]
        while rig.links["ollama"].limit.queued < 3:
            await asyncio.sleep(0.001)
        await one("interactive", Priority.INTERACTIVE)
        await asyncio.gather(*batch)

    assert order.index("interactive") <= 2
