"""Raw files of engines that do not exist: what they would have recorded, drawn from a seed. For calibration and tests.

Two models of one machine's noise. *Spells*: quiet, or 1.8 times slower, switching once in 50 requests, and a heavy
tail of 3 % (`reference/benchmarks.md` section 6). *Stalls*: a slow drift (an autoregression of first order on the log
scale, 0.98 from request to request, standard deviation 0.25) and halts of the whole machine, once in 60 requests,
exponential with a mean of four median answers: lumpier, as the real machine was in section 7.4.
"""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from services.migration import gates, records, schedule, seals
from services.migration.records import Engine, Plan, Record, Run, Side

Change = Callable[[Record], Record]


class Noise(enum.StrEnum):
    """How the machine under both engines misbehaves."""

    SPELLS = "spells"
    STALLS = "stalls"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A pair of engines on one machine.

    `slower` is candidate / baseline of every time; `scatter` multiplies the candidate's log variance; `rare` is the
    share of requests for which the candidate needs `rare_times` as long, `misshapen` the share of its answers that
    break the contract and `lost` the share that score nothing, each drawn anew for every answer. `spread` is the log
    standard deviation of a request on a quiet machine.
    """

    slower: float = 1.0
    scatter: float = 1.0
    rare: float = 0.0
    rare_times: float = 70.0
    misshapen: float = 0.0
    lost: float = 0.0
    noise: Noise = Noise.SPELLS
    seed: int = 1
    rounds: int = 20
    block: int = 10
    stream: bool = False
    spread: float = 0.25
    items: int = 60
    aa_every: int = 3


def plan(world: World) -> Plan:
    found = gates.load()
    return Plan(
        id="20261121T050000", created="2026-11-21T05:00:00+00:00", service="notes", seed=world.seed,
        quality=("keyword_recall",), stream=world.stream, concurrency=1, block=world.block, recipe_sha256="r" * 64,
        baseline=Engine(engine="ollama", version="0.9.3", model="m:latest", quantization="Q4_1", context=4096),
        candidate=Engine(engine="vllm", version="0.32.0", model="m", quantization="Q4_1 dequantised", context=4096),
        method=found.method, margins=found.margins, machine="simulated",
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
    return seals.sealed(map(records.dump, [made, *(map(change, found) if change else found)])).encode()


def simulated(world: World, *, change: Change | None = None) -> Run:
    """The run of a world without its way through a file: the same records, and so the same judgement, in less time."""
    made = plan(world)
    found = tuple(_records(made, world))
    return Run(
        plan=made, records=tuple(map(change, found)) if change else found, notes=(), sha256="0" * 64, name="simulated"
    )


def _records(made: Plan, world: World) -> list[Record]:
    generator = random.Random(world.seed * 7919 + 1)
    weather = machine(world.noise, generator)
    clock, found = 0.0, []
    for planned in made.schedule:
        for side in planned.order:
            for position, item in enumerate(planned.items):
                slowed, halted = next(weather)
                took = _work(generator, world, side) * slowed + halted
                made_at = _record(planned.number, side, position, item, clock, took, world)
                found.append(_spoilt(made_at, world, generator) if side is Side.CANDIDATE else made_at)
                clock += took
    return found


def _work(generator: random.Random, world: World, side: Side) -> float:
    """What one request takes on a quiet machine, in median answers of the baseline."""
    if side is not Side.CANDIDATE:
        return generator.lognormvariate(0, world.spread)
    took = generator.lognormvariate(0, world.spread * math.sqrt(world.scatter)) * world.slower
    return took * world.rare_times if world.rare and generator.random() < world.rare else took


def _spoilt(record: Record, world: World, generator: random.Random) -> Record:
    """The candidate's answer as a world spoils it. Draws only where it may: other worlds stay what they were."""
    if world.misshapen and generator.random() < world.misshapen:
        record = replace(record, contract_ok=False)
    if world.lost and generator.random() < world.lost:
        record = replace(record, quality=dict.fromkeys(record.quality, 0.0))
    return record


def machine(noise: Noise, generator: random.Random) -> Iterator[tuple[float, float]]:
    """Without end, for each request: a factor on its time, and a halt in median answers that adds to it."""
    return _spells(generator) if noise is Noise.SPELLS else _stalls(generator)


def _spells(generator: random.Random) -> Iterator[tuple[float, float]]:
    """Spells of slowness, and a heavy tail."""
    busy = False
    while True:
        busy = busy != (generator.random() < 1 / 50)
        yield (1.8 if busy else 1.0) * (3.0 if generator.random() < 0.03 else 1.0), 0.0


def _stalls(generator: random.Random) -> Iterator[tuple[float, float]]:
    """Slow drift, and halts of the whole machine."""
    drift, kept, deviation = generator.gauss(0, 0.25), 0.98, 0.25
    while True:
        drift = kept * drift + generator.gauss(0, deviation * math.sqrt(1 - kept**2))
        yield math.exp(drift), generator.expovariate(1 / 4) if generator.random() < 1 / 60 else 0.0


def _record(number: int, side: Side, position: int, item: str, at: float, took: float, world: World) -> Record:
    return Record(
        round=number, side=side, position=position, item=item, scheduled_s=round(at, 6), sent_s=round(at, 6),
        end_s=round(at + took, 6), first_token_s=round(at + took / 3, 6) if world.stream else None,
        served_by=side.provider, prompt_tokens=60, output_tokens=32, finish="stop", status=200, contract_ok=True,
        quality={"keyword_recall": 0.8}, load1=1.0,
    )  # fmt: skip


def candidate(change: Change) -> Change:
    """The change, on the candidate's records only."""
    return lambda record: change(record) if record.side is Side.CANDIDATE else record


def fallback(record: Record) -> Record:
    return replace(record, served_by="ollama")


def other_template(record: Record) -> Record:
    """57 prompt tokens became 78 under another chat template: section 7.2 of the reference."""
    return replace(record, prompt_tokens=78)


def dead(record: Record) -> Record:
    return replace(record, served_by="", status=503, error="http_503", contract_ok=False, quality={})
