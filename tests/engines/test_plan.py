"""`cutover plan` counts KV tokens as the real vLLM does: to the block, for the space and the type that it runs with."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.llm import sizing
from services.llm.registry import model
from services.settings import Settings

pytestmark = pytest.mark.engines

MODEL = model("smollm2-135m")
LOGGED = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
DTYPE = re.compile(r"dtype=torch\.(\w+)")
ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def cache_config(vllm_url: str) -> dict[str, str]:
    """What vLLM tells of its cache: the labels of `vllm:cache_config_info`."""
    page = httpx2.get(f"{vllm_url}/metrics", timeout=30, trust_env=False).text
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    (labels,) = [s.labels for s in samples if s.name.startswith("vllm:cache_config_info")]
    return dict(labels)


def check(vllm_url: str, log: Path) -> None:
    """Our arithmetic beside the metric and the log line of one running vLLM."""
    told, text = cache_config(vllm_url), log.read_text(encoding="utf-8", errors="replace")
    size, context, concurrency = LOGGED.findall(text)[-1]
    element_bytes = ELEMENT_BYTES[DTYPE.findall(text)[-1]]
    assert MODEL.serving is not None
    shape, block = MODEL.serving.geometry, int(told["block_size"])
    window = int(context.replace(",", ""))

    blocks = sizing.blocks(int(told["kv_cache_memory_bytes"]), shape, element_bytes=element_bytes, block=block)
    tokens = sizing.tokens(blocks, window, shape, block=block)

    assert block == sizing.CPU_BLOCK
    assert window == MODEL.context
    assert blocks == int(told["num_gpu_blocks"])
    assert tokens == int(size.replace(",", "")) == int(told["kv_cache_size_tokens"])
    assert f"{blocks / sizing.blocks_of_sequence(window, shape, block=block):.2f}" == concurrency


def test_the_kv_tokens_are_vllm_s_own_to_the_block(engines: Settings) -> None:
    """1 GiB on CPU, float32: 1,073,741,824 // (128 x 46,080) = 182 blocks = 23,296 tokens."""
    check(engines.vllm_url, engines.home / "logs" / "vllm.log")
