"""What is kept of a memory measurement, `memory/SERVICE.json`: what each engine took, what that buys, the ratios."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from services.migration.capacity import Capacity
from services.migration.memory import Taken, Watch
from services.migration.records import Engine
from services.migration.rollout import write_aside

SCHEMA_VERSION = 1
STRICT = ConfigDict(extra="forbid")
TOTALS = ("gpu", "container", "pss", "rss")
"""What stands for an engine's memory, the first that both engines have; RSS counts shared pages twice."""

OF_LOAD = "request of this load"

PREALLOCATES = (
    "vLLM takes its whole KV cache before the first request: as much as gpu_memory_utilization or "
    "kv_cache_memory_bytes (on a CPU VLLM_CPU_KVCACHE_SPACE) allows. Ollama takes NUM_PARALLEL x num_ctx. So totals "
    "compare these settings, not how well either engine uses memory."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the engines were asked meanwhile. `tokens` is the mean of prompt and answer together of one request."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    what: str
    in_flight: int
    seconds: float
    requests: Mapping[str, int]
    errors: Mapping[str, int]
    tokens: int | None = None
    load1: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How it was sampled and what that cost: medians in milliseconds of a plain and a thorough look at both engines."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    period_s: float
    thorough_every: int
    looks: int
    plain_ms: float | None = None
    thorough_ms: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One thing of both engines, in bytes or counted, and vLLM's over Ollama's."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    what: str
    unit: str
    ollama: float | None = None
    vllm: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.vllm / self.ollama if self.ollama and self.vllm is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The whole document. `raw` names the gate's raw file; empty for a measurement of memory alone."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    service: str
    created: str
    context: int
    engines: tuple[Engine, Engine]
    load: Load
    sampling: Sampling
    taken: tuple[Taken, ...] = ()
    buys: tuple[Capacity, ...] = ()
    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ratios: tuple[Ratio, ...] = ()
    says: tuple[str, ...] = ()
    machine: str = ""
    raw: str = ""
    schema_version: int = SCHEMA_VERSION


def build(
    watch: Watch, buys: Sequence[Capacity], *, service: str, created: str, context: int, engines: tuple[Engine, Engine],
    load: Load, period_s: float, machine: str, raw: str = "",
) -> Memory:  # fmt: skip
    """The document from what was sampled; pure."""
    found = watch.taken()
    ratios = compared(found, buys, context=context, tokens=load.tokens)
    return Memory(
        service=service, created=created, context=context, engines=engines, load=load, taken=found, buys=tuple(buys),
        told=watch.told, ratios=ratios, says=says(ratios, engines), machine=machine, raw=raw,
        sampling=Sampling(
            period_s=period_s, thorough_every=watch.thorough_every, looks=sum(map(len, watch.cost_s.values())),
            plain_ms=_ms(watch.cost_s[False]), thorough_ms=_ms(watch.cost_s[True]), problem=watch.problem,
        ),
    )  # fmt: skip


def _ms(seconds: Sequence[float]) -> float | None:
    return round(1000 * median(seconds), 2) if seconds else None


def compared(
    found: Sequence[Taken], buys: Sequence[Capacity], *, context: int, tokens: int | None
) -> tuple[Ratio, ...]:
    """Side by side: weights, KV cache for one and for all, totals, and a total's share of one sequence. Pure."""
    by = {c.engine: c for c in buys}
    a, b = by.get("ollama", Capacity(engine="ollama")), by.get("vllm", Capacity(engine="vllm"))
    rows = [
        _bytes("weights on disk", a.weights_bytes, b.weights_bytes),
        _bytes("KV cache, all", a.kv_bytes, b.kv_bytes),
        Ratio(what="KV cache, tokens", unit="tokens", ollama=a.kv_tokens, vllm=b.kv_tokens),
        _bytes("KV cache, one token", a.token_bytes, b.token_bytes),
        *_sequences(f"sequence of {context} tokens", a, b, context),
        *(_sequences(f"{OF_LOAD} ({tokens} tokens)", a, b, tokens) if tokens else ()),
    ]
    quantity, ollama, vllm = total(found)
    if quantity:
        rows.append(_bytes(f"total under load ({quantity})", ollama, vllm))
        each = [_each(t, c.at_once(context)) for t, c in ((ollama, a), (vllm, b))]
        rows.append(_bytes(f"total / sequences of {context} tokens at once", *each))
    return tuple(rows)


def _sequences(name: str, ollama: Capacity, vllm: Capacity, tokens: int) -> tuple[Ratio, Ratio]:
    """What one holds, and how many there can be."""
    return (
        _bytes(f"KV cache, one {name}", ollama.held(tokens), vllm.held(tokens)),
        Ratio(what=f"at once, {name}", unit="", ollama=ollama.at_once(tokens), vllm=vllm.at_once(tokens)),
    )


def _bytes(what: str, ollama: int | None, vllm: int | None) -> Ratio:
    return Ratio(what=what, unit="bytes", ollama=ollama, vllm=vllm)


def _each(amount: int | None, count: int | None) -> int | None:
    return round(amount / count) if amount is not None and count else None


def total(found: Sequence[Taken]) -> tuple[str, int | None, int | None]:
    """The quantity that stands for both engines' memory under load, and each one's; empty where none is known."""
    steady = {(t.engine, t.quantity): t.steady for t in found}
    for quantity in TOTALS:
        ollama, vllm = steady.get(("ollama", quantity)), steady.get(("vllm", quantity))
        if ollama is not None and vllm is not None:
            return quantity, ollama, vllm
    return "", None, None


def says(ratios: Sequence[Ratio], engines: tuple[Engine, Engine]) -> tuple[str, ...]:
    """What the numbers mean for the claim of 30 to 40 % less memory, in sentences."""
    told = []
    ollama, vllm = engines
    for ratio in ratios:
        if ratio.ratio is None:
            continue
        if ratio.what.startswith("total under load"):
            told.append(
                f"The claim `30-40 % less memory`, measured here: vLLM takes {ratio.ratio:.2f} times what Ollama takes "
                f"({ratio.what}), which is {abs(ratio.ratio - 1):.0%} {'more' if ratio.ratio > 1 else 'less'}."
            )
        if ratio.what == "weights on disk":
            told.append(
                f"Weights are {ratio.ratio:.2f} times Ollama's: {vllm.quantization} against {ollama.quantization}. "
                "That is the choice of a format, not of an engine."
            )
        if ratio.what.startswith(f"KV cache, one {OF_LOAD}"):
            told.append(
                f"One request of this load holds {ratio.ratio:.2f} times the KV cache that it holds in Ollama: vLLM "
                "takes blocks as the request grows, Ollama a whole slot."
            )
    return (*told, PREALLOCATES)


def tokens_each(lengths: Sequence[int]) -> int | None:
    """The mean length of a request, rounded; None of none."""
    return round(mean(lengths)) if lengths else None


def path(state_dir: Path, service: str) -> Path:
    return state_dir / "memory" / f"{service}.json"


def save(state_dir: Path, found: Memory) -> None:
    """Raises `StateError`."""
    write_aside(path(state_dir, found.service), json.dumps(document(found), indent=2) + "\n")


def document(found: Memory) -> dict[str, object]:
    return asdict(found)


def saved(state_dir: Path, service: str) -> Memory | None:
    """The service's latest measurement; None where there is none or it cannot be read."""
    try:
        return TypeAdapter(Memory).validate_json(path(state_dir, service).read_bytes())
    except (OSError, ValidationError):
        return None
