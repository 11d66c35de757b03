"""Raw files of engines that do not exist: what they would have recorded, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.migration import gates, records, schedule
from services.migration.records import Engine, Plan, Record, Run, Side

OLLAMA = Engine(engine="ollama", version="0.9.3", model="m:latest", quantization="Q4_1", context=4096)
VLLM = Engine(engine="vllm", version="0.32.0", model="m", quantization="Q4_1 dequantised", context=4096)
Change = Callable[[Record], Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A pair of engines: how much slower the candidate is, and how the machine's noise comes and goes."""

    slower: float = 1.0
    seed: int = 1
    rounds: int = 20
    block: int = 10
    stream: bool = False
    spread: float = 0.25
    items: int = 30
    aa_every: int = 3


def plan(world: World) -> Plan:
    found = gates.load()
    return Plan(
        id="20261121T050000", created="2026-11-21T05:00:00+00:00", service="notes", seed=world.seed,
        metric="keyword_recall", stream=world.stream, concurrency=1, block=world.block, recipe_sha256="r" * 64,
        baseline=OLLAMA, candidate=VLLM, method=found.method, margins=found.margins, machine="simulated",
        schedule=schedule.draw(
            seed=world.seed, rounds=world.rounds, items=[f"i{n:02d}" for n in range(world.items)], block=world.block,
            aa_every=world.aa_every,
        ),
    )  # fmt: skip


def run(world: World, *, change: Change | None = None) -> Run:
    """The raw file of a world, read back; `change` alters records before they are written."""
    return records.parse(raw(world, change=change), name="notes-sim.jsonl")


def raw(world: World, *, change: Change | None = None) -> bytes:
    made = plan(world)
    found = list(_records(made, world))
    return "".join(map(records.dump, [made, *(map(change, found) if change else found)])).encode()


def _records(made: Plan, world: World) -> list[Record]:
    """Machine spells (quiet, or 1.8 times slower), lognormal requests, a heavy tail: section 6 of the reference."""
    generator = random.Random(world.seed * 7919 + 1)
    clock, busy, found = 0.0, False, []
    for planned in made.schedule:
        for side in planned.order:
            for position, item in enumerate(planned.items):
                busy = busy != (generator.random() < 1 / 50)
                took = generator.lognormvariate(0, world.spread) * (1.8 if busy else 1.0)
                took *= 3.0 if generator.random() < 0.03 else 1.0
                took *= world.slower if side is Side.CANDIDATE else 1.0
                found.append(_record(planned.number, side, position, item, clock, took, world))
                clock += took
    return found


def _record(number: int, side: Side, position: int, item: str, at: float, took: float, world: World) -> Record:
    return Record(
        round=number, side=side, position=position, item=item, scheduled_s=round(at, 6), sent_s=round(at, 6),
        end_s=round(at + took, 6), first_token_s=round(at + took / 3, 6) if world.stream else None,
        served_by=side.provider, prompt_tokens=60, output_tokens=32, finish="stop", status=200, contract_ok=True,
        quality=0.8, load1=1.0,
    )  # fmt: skip


def candidate(change: Change) -> Change:
    """The change, on the candidate's records only."""
    return lambda record: change(record) if record.side is Side.CANDIDATE else record


def fallback(record: Record) -> Record:
    return replace(record, served_by="ollama")


def dead(record: Record) -> Record:
    return replace(record, served_by="", status=503, error="http_503", contract_ok=False, quality=None)
