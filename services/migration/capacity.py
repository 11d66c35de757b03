"""What an engine's memory buys: tokens of KV cache and sequences at once, by the engine's own words and the formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.migration import pages
from services.migration.cache_config import cache_configs
from services.migration.engines import Engines

ELEMENT_BYTES: Mapping[str, float] = {
    "float32": 4, "f32": 4, "float16": 2, "f16": 2, "bfloat16": 2, "bf16": 2, "half": 2, "float": 4,
    "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "q8_0": 34 / 32, "q4_0": 18 / 32,
}  # fmt: skip
"""Bytes of a cached number. llama.cpp's q8_0 and q4_0 hold 32 numbers and a 2-byte scale (ggml-common.h)."""

OTHERWISE = ("kv_lora_rank", "mamba_d_state", "ssm_state_size", "full_attention_interval")
"""Fields of a config.json whose models keep something else than a key and a value of every token in every layer."""

AGREES_WITHIN = 0.02
NO_SLOTS = (
    "max_num_seqs: it is not on its command line, and vLLM does not tell its default; how many fit at once is what the "
    "KV cache allows, and max_num_seqs may allow fewer"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What one token leaves in the cache: `heads` is the sum of KV heads over all layers."""

    heads: int
    key: int
    value: int

    def token_bytes(self, element_bytes: float) -> int:
        """Sum over layers of KV heads x (key + value dimension) x bytes of a number.

        As vLLM sizes its pages (vllm/v1/kv_cache_interface.py, AttentionSpec: `(head_size + head_size_v) *
        get_dtype_size(dtype)` a head and token) and llama.cpp its cache (n_embd_k_gqa + n_embd_v_gqa in each layer).
        """
        return round(self.heads * (self.key + self.value) * element_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one engine can hold. None is unknown; `notes` says why, or where a number comes from.

    `unit_tokens` is the least that a request takes: a block of vLLM's, a whole slot of Ollama's. `longest` is what one
    request may have at most, `slots` how many requests may run at once whatever their length.
    """

    engine: str
    weights_bytes: int | None = None
    kv_dtype: str = ""
    token_bytes: int | None = None
    kv_tokens: int | None = None
    kv_bytes: int | None = None
    unit_tokens: int | None = None
    longest: int | None = None
    slots: int | None = None
    says_bytes: int | None = None
    notes: tuple[str, ...] = ()

    def held(self, tokens: int) -> int | None:
        """Bytes of KV cache that one request of so many tokens holds."""
        if not self.unit_tokens or self.token_bytes is None:
            return None
        return -(-tokens // self.unit_tokens) * self.unit_tokens * self.token_bytes

    def at_once(self, tokens: int) -> int | None:
        """How many requests of so many tokens fit at the same time; 0 where not even one does."""
        if self.longest is not None and tokens > self.longest:
            return 0
        if not self.unit_tokens or self.kv_tokens is None:
            return None
        fit = self.kv_tokens // (-(-tokens // self.unit_tokens) * self.unit_tokens)
        return fit if self.slots is None else min(fit, self.slots)


async def capacities(found: Engines, told: Mapping[str, Mapping[str, str]]) -> tuple[Capacity, Capacity]:
    """Ollama's, then vLLM's. `told` is what a sampler saw of their settings. Raises `EngineUnreachable`."""
    return await _ollama(found, told.get("ollama", {})), await _vllm(found, told.get("vllm", {}))


async def _ollama(found: Engines, told: Mapping[str, str]) -> Capacity:
    name = found.model.names["ollama"]
    shown = (await found.ollama("/api/show", {"model": name})).body
    loaded, tags = (await found.ollama("/api/ps")).body, (await found.ollama("/api/tags")).body
    return ollama(told, shown, _named(loaded, name), _named(tags, name))


def _named(listed: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((m for m in pages.objects(listed, "models") if m.get("name") == name), {})


def ollama(
    told: Mapping[str, str], shown: Mapping[str, Any], loaded: Mapping[str, Any], tag: Mapping[str, Any]
) -> Capacity:
    """From /api/show, the model's entries of /api/ps and /api/tags, and its processes' settings. Pure."""
    notes = [] if loaded else ["/api/ps does not list the model: it is not in memory"]
    slots = _whole(told.get("parallel") or told.get("OLLAMA_NUM_PARALLEL"))
    if slots is None:
        notes.append("OLLAMA_NUM_PARALLEL cannot be seen; its default differs between versions")
    ctx_size = _whole(told.get("ctx-size"))
    window = _whole(loaded.get("context_length")) or (ctx_size // slots if ctx_size and slots else _num_ctx(shown))
    if window is None:
        notes.append("the window of a slot cannot be seen: neither /api/ps nor the runner nor the Modelfile names it")
    dtype = _cache_type(told)
    if not dtype:
        notes.append("the type of its KV cache cannot be seen")
    geometry, element = gguf(shown.get("model_info")), ELEMENT_BYTES.get(dtype)
    if geometry is None:
        notes.append("the formula does not fit: /api/show lacks layers, KV heads or head size")
    token_bytes = geometry.token_bytes(element) if geometry and element else None
    tokens = window * slots if window and slots else None
    return Capacity(
        engine="ollama", weights_bytes=_whole(tag.get("size")), kv_dtype=dtype, token_bytes=token_bytes,
        kv_tokens=tokens, kv_bytes=tokens * token_bytes if tokens and token_bytes else None, unit_tokens=window,
        longest=window, slots=slots, says_bytes=_whole(loaded.get("size")), notes=tuple(notes),
    )  # fmt: skip


def _cache_type(told: Mapping[str, str]) -> str:
    """The runner's own word, else f16 unless another was asked for, which Ollama grants with flash attention only."""
    if not told:
        return ""
    return told.get("kv-cache-type") or ("" if told.get("OLLAMA_KV_CACHE_TYPE", "f16") != "f16" else "f16")


def _num_ctx(shown: Mapping[str, Any]) -> int | None:
    for line in str(shown.get("parameters") or "").splitlines():
        if line.split()[:1] == ["num_ctx"]:
            return _whole(line.split()[-1])
    return None


def gguf(info: object) -> Geometry | None:
    """Of the metadata that Ollama shows. None for what is not plain attention."""
    if not isinstance(info, Mapping):
        return None
    arch = str(info.get("general.architecture") or "")
    found = {k.removeprefix(f"{arch}."): v for k, v in info.items()}
    heads, layers = found.get("attention.head_count_kv"), _whole(found.get("block_count"))
    wide, count = _whole(found.get("embedding_length")), _whole(found.get("attention.head_count"))
    key = _whole(found.get("attention.key_length")) or (wide // count if wide and count else None)
    value = _whole(found.get("attention.value_length")) or key
    each = heads if isinstance(heads, list) else [heads] * (layers or 0)
    summed = sum(each) if all(type(n) is int for n in each) else None
    plain = not any(key in found for key in ("attention.sliding_window", "attention.kv_lora_rank", "ssm.state_size"))
    return Geometry(heads=summed, key=key, value=value) if plain and summed and key and value else None


async def _vllm(found: Engines, told: Mapping[str, str]) -> Capacity:
    listed = (await found.vllm("/v1/models")).body
    served: Mapping[str, Any] = next(
        (m for m in pages.objects(listed, "data") if m.get("id") == found.model.names["vllm"]), {}
    )
    folder = Path(str(served.get("root") or ""))
    return vllm(told, cache_configs(await found.vllm_metrics()), _config(folder),
                weights=_weights(folder), window=_whole(served.get("max_model_len")))  # fmt: skip


def vllm(
    told: Mapping[str, str], cores: list[Mapping[str, str]], config: Mapping[str, Any], *, weights: int | None,
    window: int | None,
) -> Capacity:  # fmt: skip
    """From /metrics, the model's config.json, and the settings of its processes. Pure."""
    notes = [] if cores else ["/metrics has no vllm:cache_config_info"]
    tokens, asked = _sum(map(_tokens, cores)), _sum(_whole(c.get("kv_cache_memory_bytes")) for c in cores)
    dtype = _dtype(told, cores[0] if cores else {}, config)
    geometry, element = transformer(config), ELEMENT_BYTES.get(dtype)
    computed = geometry.token_bytes(element) if geometry and element else None
    said = round(asked / tokens) if asked and tokens else None
    if computed is None:
        notes.append("bytes of a token by the formula: the model's config.json is not here or not of plain attention")
    elif said and abs(said / computed - 1) > AGREES_WITHIN:
        notes.append(f"its own figures give {said} bytes a token, the formula {computed}: its own are used")
        computed = said
    per_token = computed or said
    slots = _whole(told.get("max-num-seqs"))
    if slots is None:
        notes.append(NO_SLOTS)
    return Capacity(
        engine="vllm", weights_bytes=weights, kv_dtype=dtype, token_bytes=per_token, kv_tokens=tokens,
        kv_bytes=asked or (tokens * per_token if tokens and per_token else None),
        unit_tokens=_whole(cores[0].get("block_size")) if cores else None, longest=window,
        slots=slots * len(cores) if slots and cores else slots, notes=tuple(notes),
    )  # fmt: skip


def _tokens(core: Mapping[str, str]) -> int | None:
    """vLLM's own count, which knows of layers with different blocks (vllm#42206), else blocks x their size."""
    blocks, size = _whole(core.get("num_gpu_blocks")), _whole(core.get("block_size"))
    return _whole(core.get("kv_cache_size_tokens")) or (blocks * size if blocks and size else None)


def _dtype(told: Mapping[str, str], core: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """`auto` is the model's own type: what the command line says, else its config."""
    wanted = [core.get("cache_dtype"), told.get("dtype"), config.get("dtype") or config.get("torch_dtype")]
    return next((str(w) for w in wanted if w and w != "auto"), "")


def transformer(config: Mapping[str, Any]) -> Geometry | None:
    """Of a config.json. None for what is not plain attention."""
    layers, count = _whole(config.get("num_hidden_layers")), _whole(config.get("num_attention_heads"))
    wide, heads = _whole(config.get("hidden_size")), _whole(config.get("num_key_value_heads")) or count
    size = _whole(config.get("head_dim")) or (wide // count if wide and count else None)
    if not _is_plain(config) or not (layers and heads and size):
        return None
    return Geometry(heads=layers * heads, key=size, value=size)


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Whether every layer keeps every token; a sliding window that is configured may be switched off."""
    if any(config.get(key) for key in OTHERWISE):
        return False
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and kinds:
        return set(kinds) == {"full_attention"}
    return not config.get("sliding_window") or config.get("use_sliding_window") is False


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        return pages.table(pages.parsed((folder / "config.json").read_text())) if folder.is_absolute() else {}
    except (OSError, ValueError):
        return {}


def _weights(folder: Path) -> int | None:
    """The safetensors files of a local folder."""
    files = list(folder.glob("*.safetensors")) if folder.is_absolute() else []
    return sum(f.stat().st_size for f in files) or None


def _sum(values: Any) -> int | None:
    found = list(values)
    return sum(found) if found and None not in found else None


def _whole(value: object) -> int | None:
    """A whole number above zero, also as text; None for whatever else engines say (`None`, `auto`)."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
