"""vLLM's cache settings, as its metrics page tells them: the flags of its start that can be seen over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

FOUND_AT_START = frozenset(
    {"engine", "num_gpu_blocks", "num_cpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency"}
)
"""Labels that say how much memory was free when vLLM started, not what it was told."""


def cache_configs(metrics: str) -> list[Mapping[str, str]]:
    """The labels of `vllm:cache_config_info`, one for each engine core. Empty for what is no exposition."""
    try:
        families = list(text_string_to_metric_families(metrics))
    except ValueError:
        return []
    return [s.labels for f in families for s in f.samples if s.name == "vllm:cache_config_info"]


def told(metrics: str) -> Mapping[str, str]:
    """What vLLM was started with: share of the GPU, type and size of the KV cache, prefix caching, block size.

    The same after every start with the same flags. `--max-num-seqs` is not among them: vLLM tells it nowhere, so it is
    seen only where its process is (`records.Engine.started_with`).
    """
    cores = cache_configs(metrics)
    return {name: value for name, value in cores[0].items() if name not in FOUND_AT_START} if cores else {}
