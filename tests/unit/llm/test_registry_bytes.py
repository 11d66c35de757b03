"""The registry's bytes again, from the dimensions in each model's configuration, and its KV bytes by the page.

Dimensions: PyPI aiconfigurator-core 0.12.0 and litgpt 0.5.13, as each entry's `source` says. A linear weight takes
2 bytes in bf16, 1 in fp8, 0.53 in four bits with their scales, 4.25 bits in MXFP4; all else stays bf16.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.llm.registry import models

MXFP4 = 4.25 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A decoder of the Llama kind. With `experts` its feed-forward part exists that many times, and is routed."""

    layers: int
    hidden: int
    inner: int
    words: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    experts: int = 0

    @property
    def linear(self) -> int:
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner * max(1, self.experts))

    @property
    def rest(self) -> int:
        """Embeddings, norms, biases, routers."""
        layer = 2 * self.hidden + 2 * self.head_dim * self.qk_norm + self.hidden * self.experts
        layer += self.head_dim * (self.heads + 2 * self.kv_heads) * self.qkv_bias
        return self.layers * layer + self.hidden + self.words * self.hidden * (1 if self.tied else 2)


DENSE = {
    "smollm2-135m": Dense(layers=30, hidden=576, inner=1536, words=49152, heads=9, kv_heads=3, head_dim=64, tied=True),
    "llama-3.2-3b": Dense(
        layers=28, hidden=3072, inner=8192, words=128256, heads=24, kv_heads=8, head_dim=128, tied=True
    ),
    "llama-3.1-8b": Dense(layers=32, hidden=4096, inner=14336, words=128256, heads=32, kv_heads=8, head_dim=128),
    "mistral-7b": Dense(layers=32, hidden=4096, inner=14336, words=32768, heads=32, kv_heads=8, head_dim=128),
    "phi-4-mini": Dense(
        layers=32, hidden=3072, inner=8192, words=200064, heads=24, kv_heads=8, head_dim=128, tied=True
    ),
    "qwen2.5-7b": Dense(
        layers=28, hidden=3584, inner=18944, words=152064, heads=28, kv_heads=4, head_dim=128, qkv_bias=True
    ),
    "qwen3-4b": Dense(
        layers=36, hidden=2560, inner=9728, words=151936, heads=32, kv_heads=8, head_dim=128, tied=True, qk_norm=True
    ),
    "qwen3-8b": Dense(
        layers=36, hidden=4096, inner=12288, words=151936, heads=32, kv_heads=8, head_dim=128, qk_norm=True
    ),
    "qwen3-30b-a3b": Dense(
        layers=48, hidden=2048, inner=768, words=151936, heads=32, kv_heads=4, head_dim=128, qk_norm=True, experts=128
    ),
    "qwen3-235b": Dense(
        layers=94, hidden=4096, inner=1536, words=151936, heads=64, kv_heads=4, head_dim=128, qk_norm=True, experts=128
    ),
}
OSS = {"gpt-oss-20b": (24, 32), "gpt-oss-120b": (36, 128)}
"""Layers and experts; both have width 2880, 64 heads of 64 with 8 for keys and values, 201,088 words."""

KV_BYTES = {
    "smollm2-135m": 23_040,
    "llama-3.2-3b": 114_688,
    "llama-3.1-8b": 131_072,
    "mistral-7b": 131_072,
    "phi-4-mini": 131_072,
    "qwen2.5-7b": 57_344,
    "qwen3-4b": 147_456,
    "qwen3-8b": 147_456,
    "qwen3-30b-a3b": 98_304,
    "qwen3-235b": 192_512,
    "gpt-oss-20b": 24_576,
    "gpt-oss-120b": 36_864,
}
"""Per token in bf16, from the page's table; for gpt-oss the half of the layers that keeps every token."""


def test_every_sized_entry_is_computed_here() -> None:
    """A new shipped entry needs its dimensions, so that nobody types a number of bytes from memory."""
    assert {*DENSE, *OSS} == set(KV_BYTES) == {alias for alias, entry in models().items() if entry.serving}


@pytest.mark.parametrize("alias", DENSE)
def test_bytes_of_the_dense_ones_follow_from_their_dimensions(alias: str) -> None:
    shape, served = DENSE[alias], models()[alias].serving
    assert served is not None
    per_linear = {"bf16": 2.0, "fp8": 1.0, "w4": 0.53}

    assert served.parameters == shape.linear + shape.rest
    for name, weights in served.weights.items():
        assert weights.bytes == int(shape.linear * per_linear[name]) + 2 * shape.rest, name
    assert (served.geometry.layers, served.geometry.kv_heads) == (shape.layers, shape.kv_heads)


@pytest.mark.parametrize("alias", OSS)
def test_bytes_of_gpt_oss_follow_from_its_dimensions(alias: str) -> None:
    """Its experts are MXFP4, and they are nearly all of it."""
    (layers, experts), served = OSS[alias], models()[alias].serving
    assert served is not None
    width, words, attended, kept = 2880, 201_088, 64 * 64, 8 * 64
    expert_weights = layers * experts * 3 * width * width
    attention = 2 * width * (attended + kept) + attended + 2 * kept + width + 64  # 64 sinks, one a head
    routed = width * experts + experts + experts * 3 * width
    rest = layers * (attention + 2 * width + routed) + width + 2 * words * width

    assert served.parameters == expert_weights + rest
    assert served.weights["mxfp4"].bytes == int(expert_weights * MXFP4) + 2 * rest


@pytest.mark.parametrize("alias", KV_BYTES)
def test_a_token_s_bytes_in_the_kv_cache_are_arithmetic(alias: str) -> None:
    served = models()[alias].serving

    assert served is not None
    assert served.geometry.bytes_per_token(2) == KV_BYTES[alias]
