"""The raw file: its plan, written before the first request, and one record per request. Values and parsing, no I/O."""

from __future__ import annotations

import enum
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from services.migration import seals
from services.migration.errors import GateError
from services.migration.gates import OF_LOAD, Method, Override

SCHEMA_VERSION = 3
"""3: a score by each of several quality metrics, a recipe's own margins, arrivals and SLOs; 2: looks and attempts."""
Entry = TypeVar("Entry")
STRICT = ConfigDict(extra="forbid")
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Side(enum.StrEnum):
    """Who is asked: Ollama (A), vLLM (B), or Ollama once more (A') to learn what the machine itself does."""

    BASELINE = "ollama"
    CANDIDATE = "vllm"
    AGAIN = "ollama_again"

    @property
    def provider(self) -> str:
        return Side.CANDIDATE.value if self is Side.CANDIDATE else Side.BASELINE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine as it described itself before the run. Any change makes an older verdict expire.

    `started_with` is a digest of its command line and settings, where they can be seen; empty where nobody can.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    engine: str
    version: str
    model: str
    model_digest: str = ""
    quantization: str = "unknown"
    context: int | None = None
    flags_sha256: str = ""
    started_with: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU of the machine that measured."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    driver: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round: its sides in the order they are asked, and the items of a block, the same for each side."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    number: int
    order: tuple[Side, ...]
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done and by which rules it will be judged, fixed before the first request.

    `attempt` counts the runs that could have decided about these very engines and this recipe, this one included.
    `quality` names the metrics that are judged, `shown` those that are told beside them; `slo` in seconds; `rate` in
    requests a second where they arrive at times of their own, None in a closed loop; `overrides` are the recipe's own
    margins, which stand in for `margins`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    id: str
    created: str
    service: str
    seed: int
    quality: tuple[str, ...]
    stream: bool
    concurrency: int
    block: int
    recipe_sha256: str
    baseline: Engine
    candidate: Engine
    schedule: tuple[Round, ...]
    method: Method
    margins: Mapping[str, float]
    shown: tuple[str, ...] = ()
    slo: Mapping[Literal["ttft", "e2e"], float] = field(default_factory=dict)
    rate: float | None = None
    overrides: Mapping[str, Override] = field(default_factory=dict)
    machine: str = ""
    gpus: tuple[Gpu, ...] = ()
    attempt: int = 1
    schema_version: int = SCHEMA_VERSION

    def margin(self, name: str) -> float:
        """The margin that counts: the recipe's own where it has one."""
        own = self.overrides.get(name)
        return self.margins[name] if own is None else own.margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request. Times in seconds since the run began; `take` counts how often its round was begun.

    `quality` holds the answer's score by each metric; none for a failed one and for an item without gold. `answer` is
    what came, shortened: to one of the recipe's own items, never to a user's request.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    round: int
    side: Side
    position: int
    item: str
    scheduled_s: float
    sent_s: float
    end_s: float
    first_token_s: float | None = None
    served_by: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish: str = ""
    status: int = 0
    error: str = ""
    contract_ok: bool = False
    quality: Mapping[str, Score] = field(default_factory=dict)
    load1: float = 0.0
    take: int = 1
    answer: str = ""

    @property
    def answered(self) -> bool:
        """Whether the side itself answered: somebody else's answer is not this engine's."""
        return not self.error and self.served_by == self.side.provider

    @property
    def fell_back(self) -> bool:
        return not self.error and self.served_by != self.side.provider

    @property
    def e2e_s(self) -> float:
        return self.end_s - self.scheduled_s

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_token_s is None else self.first_token_s - self.scheduled_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A raw file as read. `notes` tells what was odd about it, for example a torn last line."""

    plan: Plan
    records: tuple[Record, ...]
    notes: tuple[str, ...]
    sha256: str
    name: str

    def finished(self, number: int) -> bool:
        """Whether every planned block of a round is on disk."""
        planned = next(r for r in self.plan.schedule if r.number == number)
        return set(planned.order) <= {r.side for r in self.records if r.round == number and r.take == self.take(number)}

    def latest(self) -> tuple[Record, ...]:
        """The records of each round's last take: a round cut in half by a kill is no pair."""
        takes: dict[int, int] = {}
        for r in self.records:
            takes[r.round] = max(r.take, takes.get(r.round, 0))
        return tuple(r for r in self.records if r.take == takes[r.round])

    @property
    def done(self) -> int:
        """How many planned rounds are on disk as a whole."""
        takes: dict[int, int] = {}
        sides: dict[tuple[int, int], set[Side]] = {}
        for r in self.records:
            takes[r.round] = max(r.take, takes.get(r.round, 0))
            sides.setdefault((r.round, r.take), set()).add(r.side)
        return sum(set(p.order) <= sides.get((p.number, takes.get(p.number, 0)), set()) for p in self.plan.schedule)

    def take(self, number: int) -> int:
        return max((r.take for r in self.records if r.round == number), default=0)


@functools.cache
def _plans() -> TypeAdapter[Plan]:
    """Built once: building one costs more than reading a line."""
    return TypeAdapter(Plan)


@functools.cache
def _records() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def dump(entry: Plan | Record) -> str:
    """One line of the raw file, not sealed yet."""
    if isinstance(entry, Plan):
        body = {"kind": "plan", **_plans().dump_python(entry, mode="json")}
    else:
        body = {"kind": "record", **_records().dump_python(entry, mode="json")}
    return json.dumps(body, sort_keys=True) + "\n"


def parse(data: bytes, *, name: str) -> Run:
    """Read a raw file. Raises `GateError` that names the line; a torn last line is dropped and noted."""
    lines = data.split(b"\n")
    torn = lines.pop()
    notes = ("the last line of the raw file is torn (a killed run); it was dropped",) if torn else ()
    if not lines:
        raise GateError(f"{name} has no plan in its first line; measure anew with `cutover gate SERVICE`")
    _version(lines[0], name)
    lines = seals.opened(lines, name=name)
    plan = _line(lines[0], "plan", _plans(), f"{name} line 1")
    records = tuple(_line(line, "record", _records(), f"{name} line {i}") for i, line in enumerate(lines[1:], start=2))
    _consistent(plan, records, name)
    return Run(plan=plan, records=records, notes=notes, sha256=hashlib.sha256(data).hexdigest(), name=name)


def _version(line: bytes, name: str) -> None:
    """Refuse a plan of other rules by its version, before its fields are called wrong."""
    try:
        found = json.loads(line)["schema_version"]
    except (ValueError, KeyError, TypeError):
        return  # no plan at all; `_line` says so
    if found != SCHEMA_VERSION:
        raise GateError(
            f"{name}: schema_version {found}, this program reads {SCHEMA_VERSION}: its plan lacks rules that are asked "
            "for today; measure anew with `cutover gate SERVICE`, or judge it with the version that wrote it"
        )


def _line(line: bytes, kind: str, adapter: TypeAdapter[Entry], where: str) -> Entry:
    try:
        document: dict[str, Any] = json.loads(line)
        found = document.pop("kind")
        if found != kind:
            raise ValueError(f"kind {found!r}, expected {kind!r}")
        return adapter.validate_python(document)
    except (ValueError, KeyError, AttributeError, ValidationError) as exc:
        raise GateError(f"{where} is not a {kind}: {_why(exc)}; the raw file cannot be judged") from exc


def _why(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        first = exc.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(exc)


def _consistent(plan: Plan, records: tuple[Record, ...], name: str) -> None:
    """Refuse records that the plan did not foresee, which only an edited file holds, and a plan without its rules."""
    absent = [m for m in (*OF_LOAD, *(f"quality_{q}" for q in (*plan.quality, *plan.shown))) if m not in plan.margins]
    if absent:
        raise GateError(f"{name} line 1: margins: no {absent[0]}, which its records are judged by")
    unknown = plan.overrides.keys() - plan.margins.keys()
    if unknown:
        raise GateError(f"{name} line 1: overrides: {min(unknown)} is no margin; the raw file was changed")
    scored = {*plan.quality, *plan.shown}
    planned = {r.number: r for r in plan.schedule}
    seen: set[tuple[int, int, Side, int]] = set()
    for record in records:
        found = planned.get(record.round)
        if found is None or record.side not in found.order or record.position >= len(found.items):
            raise GateError(f"{name}: round {record.round}, {record.side}: not in its plan; the raw file was changed")
        if found.items[record.position] != record.item or record.end_s < record.sent_s:
            raise GateError(f"{name}: round {record.round}, item {record.item!r} contradicts the plan or its own times")
        if not scored >= record.quality.keys():
            raise GateError(f"{name}: round {record.round}, item {record.item!r}: a score that its plan does not name")
        key = (record.take, record.round, record.side, record.position)
        if key in seen:
            raise GateError(f"{name}: round {record.round}, {record.side}, position {record.position} is there twice")
        seen.add(key)
