"""A verdict is of engines as they were started: another flag of vLLM that can be seen makes it expire."""

from __future__ import annotations

import httpx2
import pytest

from services.migration import cache_config, engines
from tests.recorded import pages
from tests.unit.migration.house import House

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
