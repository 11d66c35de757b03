"""Reads `gates.toml`: the margins and thresholds, each of which must come with its `why`."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from services.migration.errors import GateError
from services.migration.quality_names import QualityMetric

GATES_FILE = Path(__file__).with_name("gates.toml")
TIMES = ("q50", "paired", "q95", "mean", "spread")
OF_LOAD = (
    *(f"{name}_{stat}" for name in ("ttft", "e2e") for stat in TIMES),
    "throughput",
    "errors",
    "stalled",
    "contract",
)
"""What every run is judged by. A plan that is older than a quality metric has no margin for it, and needs none."""
METRICS = (*OF_LOAD, *(f"quality_{name}" for name in QualityMetric))


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A recipe's own margin in place of the one in `gates.toml`, with its reason."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    margin: float
    why: str = ""

    def laxer(self, name: str, general: float) -> bool:
        """Whether it lets more pass. Of throughput a higher margin is the stricter one, of all else a lower one."""
        return self.margin < general if name == "throughput" else self.margin > general


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How the gate measures and decides. Each field's reason stands beside it in `gates.toml`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    level: float
    looks: tuple[float, ...]
    spend: tuple[float, ...]
    resamples: int
    min_rounds: int
    min_tail: int
    wanted_tail: int
    min_items: int
    prompt_tolerance: float
    output_tolerance: float
    block_cap_s: float
    aa_every: int
    aa_min_rounds: int
    send_lag: float
    stall_times: float
    max_extra_rounds: int
    valid_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a canary advances. The demo's numbers are small because they prove nothing."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    steps: tuple[float, ...]
    min_requests: int
    error_limit: float
    level: float
    consecutive_errors: int
    poll_s: float = 2.0
    silence_s: float = 900.0
    e_limit: float = 100.0
    slow_margin: float = 1.2
    slow_limit: float = 0.05
    holdback: float = 0.02
    holdback_s: float = 86400.0
    demo_min_requests: int = 4
    demo_max_requests: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """All thresholds. `margins` by metric name, `whys` by `section.field` for people and reports."""

    method: Method
    margins: Mapping[str, float]
    policy: Policy
    whys: Mapping[str, str]


def load(path: Path = GATES_FILE) -> Gates:
    """Read the thresholds. Raises `GateError` that names the file and the field."""
    try:
        document = tomllib.loads(path.read_text())
        return _gates(document)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise GateError(f"cannot use the thresholds in {path}: {_first(exc)}; restore the file from git") from exc


def digest(method: Method, margins: Mapping[str, float]) -> str:
    """The rules as one hash: a verdict by other rules has expired."""
    rules = {"method": asdict(method), "margins": dict(margins)}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def _gates(document: Mapping[str, Any]) -> Gates:
    whys: dict[str, str] = {}
    method = _numbers("method", document["method"], whys)
    canary = _numbers("canary", document["canary"], whys)
    demo = _numbers("demo", document["demo"], whys)
    margins: dict[str, float] = {}
    for name in METRICS:
        margins[name] = float(document["metrics"][name]["margin"])
        whys[f"metrics.{name}"] = _why(f"metrics.{name}", document["metrics"][name].get("why"))
    policy = {**canary, **{f"demo_{key}": value for key, value in demo.items()}}
    return Gates(
        method=_spent(TypeAdapter(Method).validate_python(method)),
        margins=margins,
        policy=_ordered(TypeAdapter(Policy).validate_python(policy)),
        whys=whys,
    )


def _numbers(section: str, table: Mapping[str, Any], whys: dict[str, str]) -> dict[str, Any]:
    """The values of a table, its `<field>_why` lines split off. A value without a reason is refused."""
    values = {key: value for key, value in table.items() if not key.endswith("_why")}
    for key in values:
        whys[f"{section}.{key}"] = _why(f"{section}.{key}", table.get(f"{key}_why"))
    return values


def _why(name: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} has no why")
    return text


def _ordered(policy: Policy) -> Policy:
    steps = policy.steps
    if list(steps) != sorted(set(steps)) or not steps or steps[0] <= 0 or steps[-1] != 1.0:
        raise ValueError(f"canary.steps {steps} must rise and end at 1.0")
    if not 0.0 <= policy.holdback < 1.0 - max((0.5, *steps[:-1])):
        raise ValueError(f"canary.holdback {policy.holdback} must leave more than the step before full, and than half")
    return policy


def _spent(method: Method) -> Method:
    """Refuse looks that do not end with the run, and shares that spend more than there is."""
    rising = list(method.looks) == sorted(set(method.looks)) and method.looks[-1:] == (1.0,) and method.looks[0] > 0
    if not rising or len(method.spend) != len(method.looks) or min(method.spend) <= 0 or sum(method.spend) > 1 + 1e-9:
        raise ValueError(f"method.looks {method.looks} must rise to 1.0 and method.spend {method.spend} sum to 1")
    return method


def _first(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = exc.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{exc!r}" if isinstance(exc, KeyError) else str(exc)
