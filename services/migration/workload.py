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

from services.migration.errors import WorkloadError

STRICT = ConfigDict(extra="forbid", strict=False)
GOLD = {"keyword_recall": "keywords", "entity_f1": "entities", "phrase_match": "phrases"}
"""The gold field that each quality metric needs."""


class QualityMetric(enum.StrEnum):
    """How the answers of a service are scored. `quality` holds the formulas."""

    KEYWORD_RECALL = "keyword_recall"
    ENTITY_F1 = "entity_f1"
    PHRASE_MATCH = "phrase_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One request body and what a good answer holds."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    id: Annotated[str, Field(min_length=1)]
    body: Mapping[str, Any]
    gold: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A parsed recipe. `sha256` is of the file: a verdict expires when it changes."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    schema_version: Literal[1]
    service: str
    why: str
    path: Annotated[str, Field(pattern="^/")]
    stream: bool
    concurrency: Annotated[int, Field(ge=1, le=256)]
    block: Annotated[int, Field(ge=1, le=1000)]
    nonce_field: str
    metric: QualityMetric
    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    sha256: str = field(default="")

    def item(self, item_id: str) -> Item:
        return next(i for i in self.items if i.id == item_id)


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
    document["sha256"] = hashlib.sha256(data).hexdigest()
    try:
        workload = TypeAdapter(Workload).validate_python(document)
    except ValidationError as exc:
        raise WorkloadError(f"{path}: {_problems(exc)}") from exc
    _check(workload, path, service)
    return workload


def _problems(exc: ValidationError) -> str:
    told = []
    for error in exc.errors():
        where = ".".join(str(part) for part in error["loc"])
        what = "unknown field" if error["type"] in ("unexpected_keyword_argument", "extra_forbidden") else error["msg"]
        told.append(f"{where}: {what}")
    return "; ".join(told)


def _check(workload: Workload, path: Path, service: str) -> None:
    if workload.service != service:
        raise WorkloadError(f"{path}: service: is {workload.service!r}, asked for {service!r}")
    ids = [item.id for item in workload.items]
    doubled = sorted({i for i in ids if ids.count(i) > 1})
    if doubled:
        raise WorkloadError(f"{path}: items: the id {doubled[0]!r} is there twice")
    needed = GOLD[workload.metric]
    for item in workload.items:
        if not item.gold.get(needed):
            raise WorkloadError(f"{path}: items.{item.id}.gold.{needed}: {workload.metric} needs it")
        if not isinstance(item.body.get(workload.nonce_field), str):
            raise WorkloadError(f"{path}: items.{item.id}.body.{workload.nonce_field}: the nonce field must be a text")
