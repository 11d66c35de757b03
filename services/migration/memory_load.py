"""Measures memory alone: an idle look, then short turns of a service's own prompts on each engine; keeps a document."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.migration import capacity, engines, memory, memory_document, workload
from services.migration.asking import Asker, NotReached, Reply, refuse_unusable, unreachable
from services.migration.measure import MARGIN_S, WORLD, Seams, machine
from services.migration.memory import Sampler, Watch
from services.migration.memory_document import Load, Memory
from services.migration.records import Side
from services.migration.rollout import gate_lock
from services.migration.rounds import OnRound
from services.settings import Settings

ROUNDS = 3
PERIOD_S, THOROUGH_EVERY = 0.5, 4
"""Nothing is timed here, so a thorough look may come every two seconds."""

SIDES = (Side.BASELINE, Side.CANDIDATE)


@dataclass(slots=True, kw_only=True)
class Asked:
    """What came back, by engine."""

    requests: dict[str, int] = field(default_factory=lambda: {s.value: 0 for s in SIDES})
    errors: dict[str, int] = field(default_factory=lambda: {s.value: 0 for s in SIDES})
    lengths: list[int] = field(default_factory=list)

    def add(self, side: Side, reply: Reply) -> None:
        served = str(reply.llm.get("provider") or "")
        self.requests[side.value] += 1
        self.errors[side.value] += bool(reply.error) or served != side.provider
        prompt, answer = reply.tokens("prompt"), reply.tokens("completion")
        if prompt is not None and answer is not None:
            self.lengths.append(prompt + answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How much is asked: `rounds` of one turn for each engine, `seconds` in all, `in_flight` requests at once."""

    seconds: float
    in_flight: int
    rounds: int = ROUNDS


async def measured(
    settings: Settings, service: str, recipe: Path, token: str, sampler: Sampler, turns: Turns, *,
    on_progress: OnRound, seams: Seams = WORLD,
) -> Memory:  # fmt: skip
    """Load both engines in turn and keep what they took in `memory/SERVICE.json`.

    Raises `LockHeld` beside a gate, `EngineUnreachable`, `GateError`, `StateError`.
    """
    found = workload.load(recipe, service=service)
    async with seams.connect() as client:
        with gate_lock(settings.state_dir, service=service, verb=f"bench {service} --memory"):
            pair = engines.engines(settings, service, client)
            described = await engines.describe(pair)
            asker = Asker(
                client=client, url=settings.service_url(service), workload=found, keys=settings.api_keys, token=token,
                limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
            )  # fmt: skip
            before = seams.load()
            async with memory.watching(sampler, period_s=PERIOD_S, thorough_every=THOROUGH_EVERY) as watch:
                asked = await _turns(asker, watch, turns, on_progress)
            load = Load(
                what=f"{service}'s own prompts, {turns.rounds} rounds of a turn for each engine",
                in_flight=turns.in_flight, seconds=turns.seconds, requests=asked.requests, errors=asked.errors,
                tokens=memory_document.tokens_each(asked.lengths), load1=(round(before, 2), round(seams.load(), 2)),
            )  # fmt: skip
            document = memory_document.build(
                watch, await capacity.capacities(pair, watch.told), service=service, load=load, period_s=PERIOD_S,
                created=seams.now().isoformat(timespec="seconds"), context=pair.model.context, engines=described,
                machine=machine(),
            )  # fmt: skip
        memory_document.save(settings.state_dir, document)
    return document


async def _turns(asker: Asker, watch: Watch, turns: Turns, on_progress: OnRound) -> Asked:
    """Warm each engine up by one request, then turn about; only an engine's own turns count as its load."""
    asked, each = Asked(), turns.seconds / (turns.rounds * len(SIDES))
    items = itertools.cycle(item.id for item in asker.workload.items)
    watch.loaded = memory.NEITHER
    for side in SIDES:
        try:
            reply = await asker.ask(next(items), side, "0 ")
        except NotReached as exc:
            raise unreachable(asker.workload.service, asker.url) from exc
        refuse_unusable(reply, side, asker.workload.service, asker.url)
    for number in range(turns.rounds):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            watch.loaded = side.value
            await _turn(asker, items, side, asked, each, turns.in_flight)
        on_progress(number + 1, turns.rounds, ", ".join(f"{n} answers of {e}" for e, n in asked.requests.items()))
    watch.loaded = memory.NEITHER
    return asked


async def _turn(asker: Asker, items: Iterator[str], side: Side, asked: Asked, seconds: float, in_flight: int) -> None:
    """Requests until the time is over; what is under way then is waited for."""
    until = asker.clock() + seconds

    async def worker() -> None:
        while asker.clock() < until:
            count = sum(asked.requests.values()) + 1
            asked.add(side, await asker.ask(next(items), side, f"{count} "))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(worker())
    except* NotReached as exc:
        raise unreachable(asker.workload.service, asker.url) from exc.exceptions[0]
