"""Reads a recipe (`bench/workloads/<service>.toml`): what a service is asked, and how its answers are scored."""

from __future__ import annotations

import enum
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from services.migration import gates, workload_checks
from services.migration.errors import WorkloadError
from services.migration.gates import Override
from services.migration.quality_names import GOLD, QualityMetric

STRICT = ConfigDict(extra="forbid", strict=False)
VERSION = 2
"""2: `metrics` and `shown` in place of the one `metric`, `[arrivals]`, `[slo]` and `[margins]`."""
Why = Annotated[str, Field(pattern=r"\S")]
Route = Annotated[str, Field(pattern="^/")]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Mode(enum.StrEnum):
    """When requests are sent: as answers come back, or at times of their own."""

    CLOSED = "closed"
    POISSON = "poisson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How requests arrive. `rate` in requests a second, for `poisson` only; a closed loop has `concurrency` instead."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    mode: Mode
    why: Why
    rate: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What a user is promised, in seconds: the whole answer, and its first word where it streams."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    why: Why
    ttft: Seconds | None = None
    e2e: Seconds | None = None

    @property
    def limits(self) -> dict[Literal["ttft", "e2e"], float]:
        found: dict[Literal["ttft", "e2e"], float | None] = {"ttft": self.ttft, "e2e": self.e2e}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One request body and what a good answer holds. Without `gold` it counts for time, not for quality.

    `path` where it is not asked at the recipe's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    id: Annotated[str, Field(min_length=1, max_length=80)]
    body: Mapping[str, Any]
    gold: Mapping[str, Any] = field(default_factory=dict)
    path: Route | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A parsed recipe. `sha256` is of the file: a verdict expires when it changes.

    `metrics` are judged, `shown` are told beside them. `licence` says whose the items are and how they may be used.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    schema_version: Literal[2]
    service: str
    why: Why
    licence: Why
    path: Route
    stream: bool
    concurrency: Annotated[int, Field(ge=1, le=256)]
    block: Annotated[int, Field(ge=1, le=1000)]
    nonce_field: str
    metrics: Annotated[tuple[QualityMetric, ...], Field(min_length=1)]
    metrics_why: Why
    arrivals: Arrivals
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=10_000)]
    shown: tuple[QualityMetric, ...] = ()
    slo: Slo | None = None
    margins: Mapping[str, Override] = field(default_factory=dict)
    sha256: str = field(default="")

    def item(self, item_id: str) -> Item:
        return next(i for i in self.items if i.id == item_id)

    def path_of(self, item: Item) -> str:
        return item.path or self.path

    def metrics_of(self, item: Item) -> tuple[QualityMetric, ...]:
        """By what answers at the item's path are scored: the metrics that any item there has gold for."""
        held = {key for i in self.items if self.path_of(i) == self.path_of(item) for key in i.gold}
        return tuple(name for name in (*self.metrics, *self.shown) if GOLD[name] in held)


def load(path: Path, *, service: str) -> Workload:
    """Read a recipe. Raises `WorkloadError` that names the file and the field."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise WorkloadError(
            f"cannot read the workload {path}: {exc.strerror}; is it bench/workloads/{service}.toml?"
        ) from exc
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise WorkloadError(f"{path} is not TOML: {exc}") from exc
    _version(document, path)
    document["sha256"] = hashlib.sha256(data).hexdigest()
    try:
        workload = TypeAdapter(Workload).validate_python(document)
    except ValidationError as exc:
        raise WorkloadError(f"{path}: {_problems(exc)}") from exc
    problem = _problem(workload, service)
    if problem:
        raise WorkloadError(f"{path}: {problem}")
    return workload


def _version(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a recipe of another version by its version, before its fields are called wrong."""
    found = document.get("schema_version")
    if found != VERSION:
        raise WorkloadError(
            f"{path}: schema_version: is {found!r}, this program reads {VERSION}; docs/QUALITY.md says what it holds"
        )


def _problems(exc: ValidationError) -> str:
    told = []
    for error in exc.errors():
        where = ".".join(str(part) for part in error["loc"])
        what = "unknown field" if error["type"] in ("unexpected_keyword_argument", "extra_forbidden") else error["msg"]
        told.append(f"{where}: {what}")
    return "; ".join(told)


def _problem(workload: Workload, service: str) -> str:
    """What the types cannot see; an empty text where all is well."""
    if workload.service != service:
        return f"service: is {workload.service!r}, asked for {service!r}"
    names = [*workload.metrics, *workload.shown]
    arrivals, found = workload.arrivals, gates.load()
    if (arrivals.mode is Mode.POISSON) != (arrivals.rate is not None):
        return "arrivals.rate: is needed for mode poisson, and for no other"
    if workload.slo and workload.slo.ttft is not None and not workload.stream:
        return "slo.ttft: only a streamed answer has a first word to wait for; set stream = true or leave it out"
    items = [workload_checks.Asked(id=i.id, path=workload.path_of(i), body=i.body, gold=i.gold) for i in workload.items]
    return (
        workload_checks.of_margins(workload.margins, found.margins)
        or workload_checks.of_metrics(names, stream=workload.stream)
        or workload_checks.of_items(items, names, nonce_field=workload.nonce_field, least=found.method.min_items)
    )
