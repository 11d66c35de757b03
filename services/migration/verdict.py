"""The verdict document: the four outcomes, what they rest on, and the JSON that other rooms read.

The schema is version 1 of `reference/benchmarks.md` section 5.7, with additions: `preflight[].fatal`, `metrics[].note`,
a list of noise floors, and in `plan` the look it was judged at, the attempt and the hash of its rules. Values only, no
I/O.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

SCHEMA_VERSION = 1


class VerdictError(Exception):
    """A text is not a verdict of this schema. The message names the file and the field."""


class Outcome(enum.StrEnum):
    """`invalid` means that the experiment itself was broken; `inconclusive` that it was too small or too noisy."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class Result(enum.StrEnum):
    """What one metric says. `info` is shown and never gates."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INFO = "info"


class Kind(enum.StrEnum):
    """What `effect` is: candidate / baseline, candidate - baseline, or the candidate's own rate."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    BOUND = "bound"


class Direction(enum.StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One comparison. `low` and `high` bound `effect` at `level` on each side; None where there was no data."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    stat: str
    definition: str
    kind: Kind
    direction: Direction
    baseline: float | None
    candidate: float | None
    effect: float | None
    low: float | None
    high: float | None
    level: float
    margin: float
    required: bool
    result: Result
    n_baseline: int
    n_candidate: int
    note: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.stat}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One preflight rule. A `fatal` one that is not `ok` makes the verdict `invalid`; the others are only said."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    check: str
    ok: bool
    observed: str
    limit: str
    fatal: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The baseline against itself: what this machine can tell apart. `enough` says whether it may be relied on."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    metric: str
    ratio: float | None
    low: float | None
    high: float | None
    rounds: int
    enough: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One engine as it was when measured, and what it did."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    engine: str
    version: str
    model: str
    model_digest: str
    quantization: str
    context: int | None
    flags_sha256: str
    n: int
    errors: int
    fallbacks: int
    prompt_tokens: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to do: `promote`, `hold`, `rollback` or `rerun`, and about how many more rounds would settle it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    action: str
    rounds_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The records that the verdict can be recomputed from, byte for byte."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    records: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole decision about one service."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    id: str
    service: str
    outcome: Outcome
    created: str
    expires: str
    plan: Mapping[str, Any]
    arms: Mapping[str, Arm]
    environment: Mapping[str, Any]
    preflight: tuple[Check, ...]
    noise_floor: tuple[Floor, ...]
    metrics: tuple[Metric, ...]
    next: Next
    reasons: tuple[str, ...]
    raw: Raw
    schema_version: int = SCHEMA_VERSION

    @property
    def may_promote(self) -> bool:
        """Only a pass moves a service. No data, noise and a broken experiment never do."""
        return self.outcome is Outcome.PASS

    def metric(self, name: str, stat: str = "") -> Metric | None:
        """The metric of that name, or None where the run had none."""
        found = (m for m in self.metrics if m.name == name and m.stat == stat)
        return next(found, None)


def to_json(verdict: Verdict) -> str:
    """The document; equal verdicts give equal bytes."""
    return json.dumps(TypeAdapter(Verdict).dump_python(verdict, mode="json"), indent=2, sort_keys=True) + "\n"


def from_json(text: str, *, where: str = "verdict") -> Verdict:
    """Read a document of `to_json`. Raises `VerdictError`."""
    try:
        verdict = TypeAdapter(Verdict).validate_json(text)
    except ValidationError as exc:
        first = exc.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"]) or "document"
        raise VerdictError(f"{where} is not a verdict: {field_name}: {first['msg']}") from exc
    if verdict.schema_version != SCHEMA_VERSION:
        raise VerdictError(f"{where}: schema_version {verdict.schema_version}, this program reads {SCHEMA_VERSION}")
    return verdict
