"""Whether a model fits a card beside a resident Ollama, how many requests at a time, and with which vLLM arguments.

Pure, and of the standard library alone: it also runs inside the vLLM container.

    budget    = utilisation x card           utilisation = min(0.90, (card - Ollama - contexts) / card)
    KV cache  = budget - weights - activations and graphs        (of one card, where weights are split over several)
    sequences = blocks of the KV cache // blocks of one sequence as long as the context

Checked against the figure that a real vLLM logs (`tests/engines/test_plan.py`); docs/MODELS.md tells the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.llm.registry import Model
from services.llm.registry_gpus import Gpu, Price
from services.llm.registry_gpus import gpus as gpus
from services.llm.registry_weights import MIN_CAPABILITY, PRECISIONS, Geometry, Serving, Weights

GIB = 1024**3
MOST_UTILISATION = 0.90
"""Of a card that nobody else uses. vLLM's own default is 0.92, and leaves no room for a driver's surprise."""
CONTEXTS = 6 * GIB // 10
"""What the driver and the CUDA contexts of two engines take beside what they ask for: a planning value."""
ACTIVATIONS = 3 * GIB // 2
"""Peak of activations plus CUDA graphs with `BATCHED` tokens: a planning value, vLLM's start log has the true one."""
BATCHED = 2048
"""`--max-num-batched-tokens`, told explicitly because `ACTIVATIONS` is for it."""
IN_FLIGHT = 2 * BATCHED
"""Tokens scheduled and not yet settled: two batches overlap (vLLM 0.32 config/vllm.py, max_concurrent_batches)."""
BLOCK = 16
"""Tokens of one KV block on CUDA (vLLM 0.32 config/cache.py, DEFAULT_BLOCK_SIZE). 128 on CPU."""
CPU_BLOCK = 128
MOST_SEQUENCES = 256
"""vLLM's own default on cards below 70 GiB (engine/arg_utils.py)."""
OVERCOMMIT = 4
"""Requests let in per whole context that the cache holds: most fill a quarter of it or less; vLLM preempts the rest."""
CARDS = (2, 4, 8)


class PlanError(Exception):
    """The question is wrong: no such weights, a context beyond the model's, a negative amount. Says what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One card's memory in bytes, from all of it down to what is left for the KV cache; that may be below zero."""

    card: int
    ollama: int
    contexts: int
    utilisation: float
    budget: int
    weights: int
    activations: int
    kv: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What would do, or do better: other weights on the same card, or the same weights on several cards."""

    quantisation: str
    hugging_face: str
    cards: int
    kv_tokens: int
    sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer. `sequences` as long as `context` run at a time; `kv_tokens` is what vLLM will log as its cache.

    `weights_bytes` and `kv_bytes_per_token` are of one card. `flags` are vLLM arguments without model, revision,
    served names, host and port; empty where it does not fit. `price` is of one hour of all `cards`, None for one's own.
    """

    fits: bool
    why: str
    model: str
    gpu: str
    cards: int
    quantisation: str
    hugging_face: str
    context: int
    memory: Memory
    weights_bytes: int
    kv_bytes_per_token: int
    kv_tokens: int
    sequences: int
    flags: tuple[str, ...]
    alternative: Alternative | None
    price: Price | None


def plan(
    entry: Model,
    gpu: Gpu,
    *,
    context: int | None,
    ollama_resident: int,
    quantisation: str | None = None,
    cards: int = 1,
) -> Plan:
    """Plan `entry` on `gpu` beside an Ollama that keeps `ollama_resident` bytes of it.

    `context` in tokens, None for the entry's. Without a `quantisation` the entry's widest weights are meant; narrower
    ones come as `alternative`. `cards` split the weights (`--tensor-parallel-size`), each with Ollama on it.
    Raises `PlanError` for a question that has no answer.
    """
    served = _served(entry)
    weights = _weights(entry, served, quantisation)
    context = entry.context if context is None else context
    _check(entry, served, context, ollama_resident, cards)
    made = _plan(entry, served, gpu, weights, context, ollama_resident, cards)
    narrower = PRECISIONS[PRECISIONS.index(weights.precision) + 1 :]
    others = [(served.weights[name], cards) for name in narrower if name in served.weights]
    others += [(weights, n) for n in CARDS if n > cards and not served.geometry.kv_heads % n and not made.fits]
    for other, count in others:
        found = _plan(entry, served, gpu, other, context, ollama_resident, count)
        if found.fits and found.sequences > made.sequences:
            return _with(made, found)
    return made


def blocks(space: int, geometry: Geometry, *, element_bytes: int, block: int = BLOCK, cards: int = 1) -> int:
    """Whole blocks of KV cache in `space` bytes of one card. `element_bytes`: 2 for bf16, 4 for float32 (CPU)."""
    return max(0, space) // (block * geometry.bytes_per_token(element_bytes) // cards)


def blocks_of_sequence(context: int, geometry: Geometry, *, block: int = BLOCK) -> int:
    """Blocks that one sequence of `context` tokens holds at most, as vLLM counts them (v1/kv_cache_interface.py).

    Layers with a window keep the window and what is in flight, and one block more because a window starts anywhere.
    """
    windowed = 0
    if geometry.window:
        windowed = _ceil(min(geometry.window - 1 + IN_FLIGHT, context), block) + 1
    return _ceil(context, block) + windowed


def tokens(count: int, context: int, geometry: Geometry, *, block: int = BLOCK) -> int:
    """What vLLM logs as the size of a cache of `count` blocks: full sequences, in part too, times the context."""
    return count * context // blocks_of_sequence(context, geometry, block=block)


def _plan(entry: Model, served: Serving, gpu: Gpu, weights: Weights, context: int, ollama: int, cards: int) -> Plan:
    memory = _memory(gpu, ollama, _ceil(weights.bytes, cards))
    geometry = served.geometry
    count = blocks(memory.kv, geometry, element_bytes=2, cards=cards)
    sequences = count // blocks_of_sequence(context, geometry)
    able = gpu.compute_capability >= MIN_CAPABILITY[weights.precision]
    fits = able and sequences >= 1
    return Plan(
        fits=fits,
        why=_why(gpu, weights, memory, context, count, sequences, geometry) if able else _unable(gpu, weights),
        model=entry.alias,
        gpu=gpu.name,
        cards=cards,
        quantisation=weights.precision,
        hugging_face=weights.hugging_face,
        context=context,
        memory=memory,
        weights_bytes=memory.weights,
        kv_bytes_per_token=geometry.bytes_per_token(2) // cards,
        kv_tokens=tokens(count, context, geometry),
        sequences=sequences,
        flags=_flags(served, gpu, weights, context, memory, sequences, cards) if fits else (),
        alternative=None,
        price=_price(gpu, cards),
    )


def _memory(gpu: Gpu, ollama: int, weights: int) -> Memory:
    free = max(0, gpu.memory_bytes - ollama - CONTEXTS)
    utilisation = min(MOST_UTILISATION, free * 1000 // gpu.memory_bytes / 1000)  # down to what a flag can say
    budget = int(utilisation * gpu.memory_bytes)
    return Memory(
        card=gpu.memory_bytes,
        ollama=ollama,
        contexts=CONTEXTS,
        utilisation=utilisation,
        budget=budget,
        weights=weights,
        activations=ACTIVATIONS,
        kv=budget - weights - ACTIVATIONS,
    )


def _why(
    gpu: Gpu, weights: Weights, memory: Memory, context: int, count: int, sequences: int, geometry: Geometry
) -> str:
    if memory.kv <= 0:
        need = memory.weights + memory.activations
        return (
            f"{weights.precision} weights and activations need {gib(need)} of {gpu.name}, "
            f"and {gib(memory.budget)} is what vLLM may have"
        )
    if not sequences:
        most = count * BLOCK if not geometry.window else 0
        shorter = f"; a context of {most:,} tokens would fit" if most else ""
        return f"{gib(memory.kv)} of KV cache hold no sequence of {context:,} tokens{shorter}"
    many = "sequence" if sequences == 1 else "sequences"
    return f"{gib(memory.kv)} of KV cache hold {sequences} {many} of {context:,} tokens"


def _unable(gpu: Gpu, weights: Weights) -> str:
    least, has = MIN_CAPABILITY[weights.precision], gpu.compute_capability
    return (
        f"{weights.precision} weights need compute capability {least[0]}.{least[1]}, {gpu.name} has {has[0]}.{has[1]}"
    )


def _flags(
    served: Serving, gpu: Gpu, weights: Weights, context: int, memory: Memory, sequences: int, cards: int
) -> tuple[str, ...]:
    count = blocks(memory.kv, served.geometry, element_bytes=2, cards=cards)
    slice_ = count * (BLOCK * served.geometry.bytes_per_token(2) // cards)
    flags = ["--max-model-len", str(context)]
    flags += ["--gpu-memory-utilization", f"{memory.utilisation:.3f}", "--kv-cache-memory-bytes", str(slice_)]
    flags += ["--kv-cache-dtype", "auto", "--max-num-seqs", str(min(MOST_SEQUENCES, sequences * OVERCOMMIT))]
    flags += ["--max-num-batched-tokens", str(BATCHED), "--enable-prefix-caching", "--generation-config", "vllm"]
    if weights.precision == "bf16":
        flags += ["--dtype", "bfloat16" if gpu.compute_capability >= (8, 0) else "float16"]
    if cards > 1:
        flags += ["--tensor-parallel-size", str(cards)]
    if served.tool_parser:  # vLLM answers 400 to every request with tools unless both are there
        flags += ["--enable-auto-tool-choice", "--tool-call-parser", served.tool_parser]
    if served.reasoning_parser:
        flags += ["--reasoning-parser", served.reasoning_parser]
    return tuple(flags)


def _with(made: Plan, found: Plan) -> Plan:
    alternative = Alternative(
        quantisation=found.quantisation,
        hugging_face=found.hugging_face,
        cards=found.cards,
        kv_tokens=found.kv_tokens,
        sequences=found.sequences,
    )
    return replace(made, alternative=alternative)


def _price(gpu: Gpu, cards: int) -> Price | None:
    return replace(gpu.price, usd_per_hour=gpu.price.usd_per_hour * cards) if gpu.price else None


def _served(entry: Model) -> Serving:
    if entry.serving is None:
        raise PlanError(f"{entry.alias!r} has no [{entry.alias}.serving] table, so nothing is known of its size")
    return entry.serving


def _weights(entry: Model, served: Serving, quantisation: str | None) -> Weights:
    known = [name for name in PRECISIONS if name in served.weights]
    if quantisation is None:
        return served.weights[known[0]]
    if quantisation not in served.weights:
        raise PlanError(f"no {quantisation!r} weights of {entry.alias}; there are: {', '.join(known)}")
    return served.weights[quantisation]


def _check(entry: Model, served: Serving, context: int, ollama: int, cards: int) -> None:
    if not 1 <= context <= served.max_context:
        raise PlanError(
            f"a context of {context:,} tokens is not possible: {entry.alias} was made for 1 to {served.max_context:,}"
        )
    if ollama < 0:
        raise PlanError(f"Ollama cannot keep {ollama} bytes; give 0 or more")
    if cards < 1 or served.geometry.kv_heads % cards:
        raise PlanError(f"{cards} cards cannot share the {served.geometry.kv_heads} KV heads of {entry.alias} evenly")


def gib(amount: int) -> str:
    """Bytes for people, like `5.12 GiB`."""
    return f"{amount / GIB:.2f} GiB"


def _ceil(amount: int, by: int) -> int:
    return -(-amount // by)
