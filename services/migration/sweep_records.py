"""The raw file of a sweep: its plan, written before the first request, then one line per block. Values, no I/O."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from services.migration import seals
from services.migration.errors import GateError
from services.migration.records import STRICT, Engine

SCHEMA_VERSION = 1
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One engine in one setting, as it described itself. `parallel` is OLLAMA_NUM_PARALLEL, None for vLLM."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    described: Engine
    parallel: int | None = None

    @property
    def engine(self) -> str:
        return self.described.engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One block of the schedule: who is asked, by how many users at a time."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    round: int
    contender: str
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, fixed before the first request.

    A block begins at most `waves` requests per user and none after `block_s` seconds. `lost_s` is what a request
    without an answer counts as having waited: as long as its caller would have.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    id: str
    created: str
    service: str
    seed: int
    rounds: int
    users: tuple[int, ...]
    block_s: float
    waves: int
    lost_s: float
    stream: bool
    recipe_sha256: str
    contenders: tuple[Contender, ...]
    schedule: tuple[Turn, ...]
    machine: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Times in seconds of the run's clock; `first_token_s` only where the service streams."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    item: str
    sent_s: float
    end_s: float
    first_token_s: float | None = None
    served_by: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one turn brought: the machine's load when it began, the engine's memory before and at most during it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    turn: Turn
    load1: float
    requests: tuple[Request, ...]
    idle_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A raw file, parsed. `notes` says what was odd about it without making it worthless."""

    plan: Plan
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    sha256: str
    name: str


def schedule(*, seed: int, rounds: int, contenders: Sequence[str], users: Sequence[int]) -> tuple[Turn, ...]:
    """Every contender at every level once a round, in an order drawn anew each round."""
    generator = random.Random(seed)
    turns = []
    for number in range(rounds):
        fresh = [Turn(round=number, contender=c, users=u) for c in contenders for u in users]
        generator.shuffle(fresh)
        turns += fresh
    return tuple(turns)


def items(plan: Plan, turn: Turn, known: Sequence[str]) -> tuple[str, ...]:
    """The items of a block in their order: the same for each contender at this level in this round."""
    generator = random.Random(f"{plan.seed}/{turn.round}/{turn.users}")
    drawn: list[str] = []
    while len(drawn) < plan.waves * turn.users:
        fresh = list(known)
        generator.shuffle(fresh)
        drawn += fresh
    return tuple(drawn[: plan.waves * turn.users])


def nonce(plan: Plan, turn: Turn, position: int) -> str:
    """A short text before a prompt that makes it new to every prefix cache; all contenders read the same one."""
    word = f"{plan.id}/{turn.round}/{turn.users}/{position}"
    return f"[{hashlib.sha256(word.encode()).hexdigest()[:4]}] "


@functools.cache
def _plans() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


@functools.cache
def _blocks() -> TypeAdapter[Block]:
    return TypeAdapter(Block)


def dump(entry: Plan | Block) -> str:
    """One line of the raw file, not sealed yet."""
    if isinstance(entry, Plan):
        body = {"kind": "sweep", **_plans().dump_python(entry, mode="json")}
    else:
        body = {"kind": "block", **_blocks().dump_python(entry, mode="json")}
    return json.dumps(body, sort_keys=True) + "\n"


def parse(data: bytes, *, name: str) -> Raw:
    """Read a raw file. Raises `GateError` that names the line; a torn last line is dropped and noted."""
    lines = data.split(b"\n")
    notes = ("the last line of the raw file is torn (a killed run); it was dropped",) if lines.pop() else ()
    if not lines:
        raise GateError(f"{name} has no plan in its first line; measure anew with `cutover bench SERVICE --sweep`")
    lines = seals.opened(lines, name=name)
    plan = _line(lines[0], "sweep", _plans(), f"{name} line 1")
    if plan.schema_version != SCHEMA_VERSION:
        raise GateError(f"{name}: schema_version {plan.schema_version}, this program reads {SCHEMA_VERSION}")
    blocks = tuple(_line(line, "block", _blocks(), f"{name} line {i}") for i, line in enumerate(lines[1:], start=2))
    _consistent(plan, blocks, name)
    return Raw(plan=plan, blocks=blocks, notes=notes, sha256=hashlib.sha256(data).hexdigest(), name=name)


def _line(line: bytes, kind: str, adapter: TypeAdapter[Entry], where: str) -> Entry:
    try:
        document: dict[str, Any] = json.loads(line)
        found = document.pop("kind")
        if found != kind:
            raise ValueError(f"kind {found!r}, expected {kind!r}")
        return adapter.validate_python(document)
    except ValidationError as exc:
        first = exc.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise GateError(f"{where} is not a {kind}: {why}; the raw file cannot be computed") from exc
    except (ValueError, KeyError, AttributeError) as exc:
        raise GateError(f"{where} is not a {kind}: {exc}; the raw file cannot be computed") from exc


def _consistent(plan: Plan, blocks: Sequence[Block], name: str) -> None:
    """Refuse blocks that the plan did not foresee, which only an edited file holds."""
    expected = plan.schedule[: len(blocks)]
    if len(blocks) > len(plan.schedule) or any(b.turn != t for b, t in zip(blocks, expected, strict=True)):
        raise GateError(f"{name}: its blocks are not those of its plan; the raw file was changed")
    for number, block in enumerate(blocks, start=2):
        if any(r.end_s < r.sent_s for r in block.requests):
            raise GateError(f"{name} line {number}: a request ended before it was sent; the raw file was changed")
