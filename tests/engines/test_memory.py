"""Memory of the real engines: their own words, the formula and the kernel agree."""

from __future__ import annotations

import httpx2
import pytest

from services.migration import capacity
from services.migration import engines as engines_room
from services.migration.capacity import Capacity
from services.settings import Settings
from services.stack.memory import Sampler

pytestmark = pytest.mark.engines

MIB = 2**20


async def bought(settings: Settings) -> tuple[Capacity, Capacity]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        pair = engines_room.engines(settings, "notes", client)
        return await capacity.capacities(pair, Sampler(settings=settings).told())


async def test_the_formula_agrees_with_both_engines(engines: Settings) -> None:
    """Ollama's log says 90 MiB a slot in f16; vLLM's own bytes / tokens would replace a formula that is 2 % off."""
    ollama, vllm = await bought(engines)

    assert (ollama.token_bytes, ollama.longest, ollama.slots) == (23040, 4096, 1)
    assert vllm.token_bytes == 46080
    assert vllm.kv_tokens is not None
    assert vllm.kv_tokens >= 4096


def test_each_engine_holds_at_least_its_weights_and_cache(engines: Settings) -> None:
    """PSS is below RSS, and the high-water mark above."""
    found = {(r.engine, r.quantity): r.bytes or 0 for r in Sampler(settings=engines).read(thorough=True)}

    assert found["ollama", "pss"] > (94 + 90) * MIB
    assert found["vllm", "pss"] > (513 + 1024) * MIB
    for engine in ("ollama", "vllm"):
        assert found[engine, "pss"] <= found[engine, "rss"] <= found[engine, "high_water"] * 1.01
