"""What a model weighs and what its KV cache costs, by kind of weights: the numbers that a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

PRECISIONS = ("bf16", "fp8", "mxfp4", "w4")
"""Kinds of weights, widest first. `w4`: four-bit integers with scales (AWQ, GPTQ); `mxfp4`: gpt-oss's own."""

MIN_CAPABILITY: Mapping[str, tuple[int, int]] = {"bf16": (7, 0), "fp8": (7, 5), "mxfp4": (8, 0), "w4": (7, 5)}
"""Least compute capability that vLLM 0.32 takes (quantization/fp8.py:146, mxfp4.py:71, auto_awq.py:233).

bf16 weights run as float16 below 8.0, and FP8 ones as weight-only kernels below 8.9.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The shape of the KV cache. `windowed_layers` of all `layers` only see the last `window` tokens (gpt-oss)."""

    layers: int
    kv_heads: int
    head_dim: int
    windowed_layers: int = 0
    window: int = 0

    @property
    def growing_layers(self) -> int:
        """The layers that keep every token of the context."""
        return self.layers - self.windowed_layers

    def bytes_per_token(self, element_bytes: int) -> int:
        """Keys and values of one token in the layers that keep it. `element_bytes`: 2 bf16, 1 fp8, 4 float32 on CPU."""
        return 2 * self.growing_layers * self.kv_heads * self.head_dim * element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One set of weights: the Hugging Face repository that vLLM loads, and its bytes in memory.

    `revision` is the commit to pin, empty where nobody has looked it up yet. `seen` says where the repository was seen.
    """

    precision: str
    hugging_face: str
    bytes: int
    seen: str
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What vLLM needs to know to serve a model. `max_context` in tokens is the most that the model was made for.

    `source` says where the geometry is from, `checked` when a person last looked (ISO 8601).
    """

    parameters: int
    max_context: int
    license: str
    gated: bool
    geometry: Geometry
    weights: Mapping[str, Weights]
    source: str
    checked: str
    tool_parser: str = ""
    reasoning_parser: str = ""


def serving(table: Mapping[str, Any]) -> Serving:
    """Read the `serving` and `weights` tables of an entry. Raises `KeyError`, `TypeError`, `ValueError`."""
    told = dict(table["serving"])
    shape = {name: _count(told.pop(name), name) for name in Geometry.__slots__ if name in told}
    weights = {name: _weights(name, each) for name, each in table["weights"].items()}
    if not weights:
        raise ValueError("weights has no table; give at least one of " + ", ".join(PRECISIONS))
    if not isinstance(told["gated"], bool):
        raise ValueError(f"gated={told['gated']!r} is not true or false")
    if not isinstance(told["checked"], date):
        raise ValueError(f"checked={told['checked']!r} is not a date, like 2026-11-21")
    told["checked"] = told["checked"].isoformat()
    for name in ("parameters", "max_context"):
        told[name] = _count(told[name], name)
    for name in ("license", "source", "tool_parser", "reasoning_parser"):
        told[name] = _text(told.get(name, ""), name, may_lack=name.endswith("parser"))
    return Serving(geometry=_geometry(shape), weights=weights, **told)


def _geometry(shape: Mapping[str, int]) -> Geometry:
    made = Geometry(**shape)
    if bool(made.windowed_layers) != bool(made.window) or made.windowed_layers >= made.layers:
        raise ValueError("windowed_layers and window go together, and some layer keeps every token")
    return made


def _weights(precision: str, table: Mapping[str, Any]) -> Weights:
    if precision not in PRECISIONS:
        raise ValueError(f"weights.{precision} is none of {', '.join(PRECISIONS)}")
    made = Weights(precision=precision, **table)
    _count(made.bytes, "bytes")
    repository = _text(made.hugging_face, "hugging_face")
    if repository.count("/") != 1 or ":" in repository:
        raise ValueError(f"hugging_face={repository!r} is not OWNER/NAME; an Ollama tag is none")
    _text(made.seen, "seen")
    if made.revision and (len(made.revision) != 40 or set(made.revision) - set("0123456789abcdef")):
        raise ValueError(f"revision={made.revision!r} is not a commit of 40 hex digits")
    return made


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} is not a positive whole number")
    return value


def _text(value: object, name: str, *, may_lack: bool = False) -> str:
    if not isinstance(value, str) or not (value.strip() or may_lack):
        raise ValueError(f"{name}={value!r} is not a text")
    return value
