"""Runs a sweep: plan to disk, warm-up, then every block in its turn, each on disk before the next begins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import httpx2

from services.migration import engines, sweep_records, workload
from services.migration.asking import Asker, NotReached, Reply, refuse_unusable
from services.migration.errors import EngineUnreachable, GateError
from services.migration.measure import MARGIN_S, WORLD, Seams, machine
from services.migration.records import Side
from services.migration.rounds import OnRound, RawFile
from services.migration.sweep_records import Block, Contender, Plan, Request, Turn
from services.migration.workload import Workload
from services.settings import Settings

WATCH_S = 0.5
WARM_USERS = 2
WAVES = 4
"""Requests a user makes at most in a block. A block ends with a wave that drains; four keep that a small part."""

AGAIN = "free space and begin anew, or compute what is there with `cutover bench SERVICE --from` it"


class Memory(Protocol):
    """What a contender's engine takes now, in bytes; None where nobody can see it."""

    def __call__(self, contender: str) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a contender is: its engine, and the instance of the service that can reach this engine only."""

    name: str
    engine: str
    engine_url: str
    service_url: str
    parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to measure: numbers of users, rounds, the seed of every order, and seconds after which no request begins."""

    users: tuple[int, ...]
    rounds: int
    seed: int
    block_s: float


async def sweep(
    settings: Settings, service: str, recipe: Path, token: str, places: Sequence[Place], wish: Wish, *,
    on_progress: OnRound, memory: Memory | None = None, seams: Seams = WORLD,
) -> Path:  # fmt: skip
    """Measure every place at every level. Gives the raw file. Raises `MigrationError`; blocks done stay on disk."""
    found = workload.load(recipe, service=service)
    async with seams.connect() as client:
        contenders = await _described(settings, service, client, places)
        plan = _plan(settings, found, contenders, wish, seams)
        askers = {p.name: _asker(settings, found, p, token, client, seams) for p in places}
        driver = Driver(plan=plan, askers=askers, clock=seams.clock, load=seams.load, memory=memory)
        on_progress(0, len(plan.schedule), "warming up")
        await driver.warm_up()
        raw = RawFile(raw_path(settings.state_dir, plan), again=AGAIN)
        raw.write(sweep_records.dump(plan))
        for done, turn in enumerate(plan.schedule, start=1):
            raw.write(sweep_records.dump(await driver.block(turn)))
            on_progress(done, len(plan.schedule), f"{turn.contender}, {turn.users} users")
    return raw.path


def raw_path(state_dir: Path, plan: Plan) -> Path:
    """Beside the gates' raw files, which are looked for by another name."""
    return state_dir / "raw" / f"sweep-{plan.service}-{plan.id}.jsonl"


async def _described(
    settings: Settings, service: str, client: httpx2.AsyncClient, places: Sequence[Place]
) -> tuple[Contender, ...]:
    pair = engines.engines(settings, service, client)
    found = []
    first = next(p for p in places if p.engine == "ollama")
    for place in places:
        url = place.engine_url if place.engine == "ollama" else first.engine_url
        ollama, vllm = await engines.describe(replace(pair, ollama_url=url))
        described = ollama if place.engine == "ollama" else vllm
        found.append(Contender(name=place.name, described=described, parallel=place.parallel))
    return tuple(found)


def _plan(settings: Settings, found: Workload, contenders: tuple[Contender, ...], wish: Wish, seams: Seams) -> Plan:
    now = seams.now()
    return Plan(
        id=now.strftime("%Y%m%dT%H%M%S"), created=now.isoformat(timespec="seconds"), service=found.service,
        seed=wish.seed, rounds=wish.rounds, users=wish.users, block_s=wish.block_s, waves=WAVES,
        lost_s=settings.limits.deadline_s + MARGIN_S, stream=found.stream, recipe_sha256=found.sha256,
        contenders=contenders,
        schedule=sweep_records.schedule(
            seed=wish.seed, rounds=wish.rounds, contenders=[c.name for c in contenders], users=wish.users
        ),
        machine=machine(),
    )  # fmt: skip


def _asker(
    settings: Settings, found: Workload, place: Place, token: str, client: httpx2.AsyncClient, seams: Seams
) -> Asker:
    return Asker(
        client=client, url=place.service_url, workload=found, keys=settings.api_keys, token=token,
        limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Runs blocks. `clock` in seconds, monotonic; `load` gives the machine's load average."""

    plan: Plan
    askers: Mapping[str, Asker]
    clock: Callable[[], float]
    load: Callable[[], float]
    memory: Memory | None = None

    async def warm_up(self) -> None:
        """A discarded block per contender. Raises where nothing would be measured: token, wrong path, no answer."""
        for contender in self.plan.contenders:
            turn, asker = Turn(round=-1, contender=contender.name, users=WARM_USERS), self.askers[contender.name]
            replies = [reply for _, reply in await self._replies(turn, most=WARM_USERS)]
            for reply in replies:
                refuse_unusable(reply, _side(contender), self.plan.service, asker.url)
            if all(reply.error for reply in replies):
                raise GateError(
                    f"{contender.name} answered nothing in the warm-up ({replies[0].error}), so there is nothing to "
                    f"measure; try `cutover doctor {self.plan.service}`. RAG needs documents: without any it asks no "
                    "model (`cutover sample` loads the documents of the shipped questions)"
                )

    async def block(self, turn: Turn) -> Block:
        """One turn, with everything that came back from it."""
        load, idle = self.load(), self._bytes(turn)
        peak = [idle]
        watching = asyncio.create_task(self._watch(turn, peak)) if self.memory else None
        try:
            replies = await self._replies(turn, most=self.plan.waves * turn.users)
        finally:
            if watching:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
        seen = [b for b in (*peak, self._bytes(turn)) if b is not None]
        return Block(
            turn=turn, load1=round(load, 2), requests=tuple(_request(item, reply) for item, reply in replies),
            idle_bytes=idle, peak_bytes=max(seen, default=None),
        )  # fmt: skip

    def _bytes(self, turn: Turn) -> int | None:
        return self.memory(turn.contender) if self.memory else None

    async def _watch(self, turn: Turn, peak: list[int | None]) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            peak.append(self._bytes(turn))

    async def _replies(self, turn: Turn, *, most: int) -> list[tuple[str, Reply]]:
        """A closed loop: each user asks again as soon as it has its answer; none begins after the block's time."""
        asker, contender = self.askers[turn.contender], self._contender(turn)
        known = [item.id for item in asker.workload.items]
        waiting = iter(enumerate(sweep_records.items(self.plan, turn, known)[:most]))
        found: dict[int, tuple[str, Reply]] = {}
        began = self.clock()

        async def user() -> None:
            for position, item in waiting:
                if self.clock() - began > self.plan.block_s:
                    return
                word = sweep_records.nonce(self.plan, turn, position)
                found[position] = (item, await asker.ask(item, _side(contender), word))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(turn.users):
                    group.create_task(user())
        except* NotReached as exc:
            raise self._gone(turn, asker) from exc.exceptions[0]
        return [found[position] for position in sorted(found)]

    def _contender(self, turn: Turn) -> Contender:
        return next(c for c in self.plan.contenders if c.name == turn.contender)

    def _gone(self, turn: Turn, asker: Asker) -> EngineUnreachable:
        service = self.plan.service
        return EngineUnreachable(
            f"the trial instance of {service} for {turn.contender} went away ({asker.url}); see its log "
            f"trial-{service}-{turn.contender}.log in the logs folder; blocks measured before are on disk: "
            f"`cutover bench {service} --from` the raw file"
        )


def _side(contender: Contender) -> Side:
    return Side.CANDIDATE if contender.engine == Side.CANDIDATE else Side.BASELINE


def _request(item: str, reply: Reply) -> Request:
    return Request(
        item=item, sent_s=round(reply.sent_s, 6), end_s=round(reply.end_s, 6),
        first_token_s=None if reply.first_token_s is None else round(reply.first_token_s, 6),
        served_by=str(reply.llm.get("provider") or ""), prompt_tokens=reply.tokens("prompt"),
        output_tokens=reply.tokens("completion"), status=reply.status, error=reply.error,
    )  # fmt: skip
