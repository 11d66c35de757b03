"""A verdict is of engines as they were started: another flag of vLLM that can be seen makes it expire."""

from __future__ import annotations

import httpx2
import pytest

from services.migration import cache_config, engines, measure
from services.migration.records import Gpu
from services.migration.stages import Action
from tests.recorded import pages
from tests.unit.migration.house import TOKEN, House
from tests.unit.migration.moving import ALL_STEPS, go, passed, steps, users

PAGE = pages.text("vllm")


async def flags(house: House, page: str) -> str:
    """The hash of vLLM's flags where its metrics page is this."""
    house.answers["vllm /metrics"] = lambda _: httpx2.Response(200, text=page)
    async with house.seams.connect() as client:
        _, vllm = await engines.describe(engines.engines(house.settings, "notes", client))
    return vllm.flags_sha256


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpu_memory_utilization", "0.5"), ("cache_dtype", "fp8"), ("enable_prefix_caching", "False"),
        ("kv_cache_memory_bytes", "2147483648"), ("block_size", "16"),
    ],
)  # fmt: skip
async def test_another_flag_is_another_engine(house: House, name: str, value: str) -> None:
    before = cache_config.told(PAGE)[name]
    assert before != value
    assert await flags(house, PAGE) != await flags(house, PAGE.replace(f'{name}="{before}"', f'{name}="{value}"'))


async def test_another_start_with_the_same_flags_is_the_same_engine(house: House) -> None:
    """More memory was free this time: more blocks, and no other settings."""
    again = PAGE.replace('num_gpu_blocks="182"', 'num_gpu_blocks="190"')
    again = again.replace('kv_cache_size_tokens="23296"', 'kv_cache_size_tokens="24320"')
    again = again.replace('kv_cache_max_concurrency="5.6875"', 'kv_cache_max_concurrency="5.9375"')
    assert again != PAGE
    assert await flags(house, PAGE) == await flags(house, again)


@pytest.mark.parametrize("page", ["", "<html>", "vllm:cache_config_info{block_size=", "vllm:num_requests_running 0\n"])
def test_a_page_that_tells_nothing_is_no_settings(page: str) -> None:
    assert cache_config.told(page) == {}


STARTED = {"vllm": "a" * 64, "ollama": "b" * 64}


async def is_fresh(house: House, before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether a verdict made while `before` was seen of the engines' starts holds once `after` is."""
    house.started = before
    verdict = await passed(house)
    house.started = after
    async with house.seams.connect() as client:
        described = await measure.described(engines.engines(house.settings, "notes", client), house.seams)
    return measure.fresh(verdict, described, verdict.plan["prompts_sha256"], now=house.seams.now())


@pytest.mark.parametrize(
    ("before", "after", "holds"),
    [
        (STARTED, STARTED, True),
        (STARTED, STARTED | {"vllm": "c" * 64}, False),
        (STARTED, STARTED | {"ollama": "c" * 64}, False),
        ({}, {}, True),
        ({}, STARTED, True),
        (STARTED, {}, False),
        (STARTED, {"vllm": STARTED["vllm"]}, False),
    ],
)
async def test_a_flag_that_only_its_process_shows_makes_a_verdict_expire(
    house: House, before: dict[str, str], after: dict[str, str], holds: bool
) -> None:
    """Where nobody ever saw a start, as of an engine elsewhere, all is as it was; one that was seen must be again."""
    assert await is_fresh(house, before, after) is holds


async def test_a_canary_stops_where_vllm_was_started_with_another_flag(house: House) -> None:
    house.started = STARTED
    await passed(house)
    traffic, polls = users(house), [0]

    def arrive() -> None:
        polls[0] += 1
        if polls[0] < 6:
            traffic()
        if polls[0] == 2:
            house.started = STARTED | {"vllm": "c" * 64}

    result = await go(house, traffic=arrive)
    assert (steps(house), result.action) == (ALL_STEPS[:1], Action.HOLD)
    assert "expired" in result.reasons[0]


async def test_a_gate_writes_down_how_the_engines_were_started_and_on_which_cards(house: House) -> None:
    card = Gpu(name="NVIDIA H200", driver="570.86.15", memory_bytes=150754820096)
    house.started, house.gpus = STARTED, (card,)
    verdict = await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)
    assert verdict.environment["started_with"] == {"baseline": "b" * 64, "candidate": "a" * 64}
    assert verdict.environment["gpu"] == [{"name": card.name, "driver": card.driver, "memory_bytes": card.memory_bytes}]
    again = measure.judge_file(house.state / "raw" / verdict.raw.records)
    assert again == verdict


async def test_where_nobody_sees_starts_or_cards_the_verdict_says_nothing_of_them(house: House) -> None:
    verdict = await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)
    assert "started_with" not in verdict.environment
    assert verdict.environment["gpu"] is None
