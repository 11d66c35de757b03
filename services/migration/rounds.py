"""Drives the rounds of a plan against a service and keeps every request in the raw file, on disk block by block."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.migration import quality, seals
from services.migration.asking import Asker, NotReached, Reply, refuse_unusable, unreachable
from services.migration.errors import StateError
from services.migration.records import Plan, Record, Round, Run, Side, dump
from services.migration.schedule import arrivals, nonce

OnRound = Callable[[int, int, str], None]
"""Told after each round: rounds done, rounds in all, a note."""

RESUMED = (
    "free space and run the same `cutover gate` again to go on, or judge them with `cutover gate SERVICE --from` it"
)
"""What to do when a raw file of the gate cannot be written."""


class RawFile:
    """Append-only. What `append` has returned from is on disk; a failed one leaves no trace. `again` is for errors."""

    def __init__(self, path: Path, *, again: str = RESUMED) -> None:
        self.path = path
        self._again = again
        self._seal: str | None = None  # of the last line; None until the file is looked at

    def append(self, entries: Iterable[Plan | Record]) -> None:
        """Write lines and wait until they are on disk. Raises `StateError`, for example on a full disk."""
        self.write("".join(map(dump, entries)))

    def write(self, lines: str) -> None:
        """The same for lines that are text already. Each is sealed onto the one before."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                sound = file.tell()
                data = seals.sealed(lines.splitlines(), after=self._last_seal()).encode()
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, sound)
                    raise
            self._seal = seals.last(data)
        except OSError as exc:
            raise StateError(
                f"cannot write {self.path}: {exc.strerror}; the records before this block are valid: {self._again}"
            ) from exc

    def _last_seal(self) -> str:
        return seals.last(self.path.read_bytes()) if self._seal is None else self._seal

    def cut_torn_line(self) -> None:
        """Drop what a killed run left unfinished, so that the next line starts on its own."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Runs a plan. `clock` in seconds, monotonic; `load` gives the machine's load average; `sleep` is the clock's."""

    asker: Asker
    plan: Plan
    raw: RawFile
    clock: Callable[[], float]
    load: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def warm_up(self) -> None:
        """One discarded block per engine. Raises where measuring could not count: token, arm, pin, dead service."""
        first = self.plan.schedule[0]
        for side in (Side.BASELINE, Side.CANDIDATE):
            warm = Round(number=-1, order=(side,), items=first.items)
            for reply in await self._replies(warm, side, take=0):
                if reply is not None:
                    refuse_unusable(reply[1], side, self.plan.service, self.asker.url)

    async def run(self, done: Run | None, on_round: OnRound, *, until: int | None = None) -> None:
        """Every round that is not on disk yet, or those of the first `until`.

        A round begun by a killed run is begun anew, as its next take.
        """
        total = len(self.plan.schedule)
        for index, planned in enumerate(self.plan.schedule[:until], start=1):
            if done is not None and done.finished(planned.number):
                continue
            take = 1 + (done.take(planned.number) if done else 0)
            began = self.clock()
            for side in planned.order:
                self.raw.append(await self._block(planned, side, take))
            on_round(index, total, f"round {index} of {total}, {self.clock() - began:.0f} s")

    async def _block(self, planned: Round, side: Side, take: int) -> list[Record]:
        load = self.load()
        replies = await self._replies(planned, side, take)
        return [
            self._record(planned, side, take, position, found, load)
            for position, found in enumerate(replies)
            if found is not None
        ]

    async def _replies(self, planned: Round, side: Side, take: int) -> list[tuple[float, Reply] | None]:
        """The block's requests, `concurrency` in flight or as they arrive; none is begun after the block's time cap."""
        replies: list[tuple[float, Reply] | None] = [None] * len(planned.items)
        waiting = iter(enumerate(planned.items))
        began = self.clock()

        async def ask(position: int, item: str, scheduled: float) -> None:
            word = nonce(self.plan.id, planned.number, take, side, position)
            replies[position] = (scheduled, await self.asker.ask(item, side, word))

        async def worker() -> None:
            for position, item in waiting:
                if self.clock() - began > self.plan.method.block_cap_s:
                    return
                await ask(position, item, self.clock())

        try:
            async with asyncio.TaskGroup() as group:
                if self.plan.rate is None:
                    for _ in range(min(self.plan.concurrency, len(planned.items))):
                        group.create_task(worker())
                for at, (position, item) in zip(self._arrivals(planned), waiting, strict=False):
                    await self.sleep(max(0.0, began + at - self.clock()))
                    group.create_task(ask(position, item, began + at))
        except* NotReached as exc:
            raise unreachable(self.plan.service, self.asker.url) from exc.exceptions[0]
        return replies

    def _arrivals(self, planned: Round) -> Sequence[float]:
        """When requests arrive in an open loop, in seconds from the block's begin: the same for each side."""
        if self.plan.rate is None:
            return ()
        times = arrivals(self.plan.seed, planned.number, rate=self.plan.rate, count=len(planned.items))
        return [at for at in times if at <= self.plan.method.block_cap_s]

    def _record(
        self, planned: Round, side: Side, take: int, position: int, found: tuple[float, Reply], load: float
    ) -> Record:
        scheduled, reply = found
        item = self.asker.workload.item(planned.items[position])
        good = not reply.error
        recipe, word = self.asker.workload, nonce(self.plan.id, planned.number, take, side, position)
        names = recipe.metrics_of(item)
        return Record(
            round=planned.number, side=side, position=position, item=item.id, take=take,
            scheduled_s=round(scheduled, 6), sent_s=round(reply.sent_s, 6), end_s=round(reply.end_s, 6),
            load1=round(load, 2),
            first_token_s=None if reply.first_token_s is None else round(reply.first_token_s, 6),
            served_by=str(reply.llm.get("provider") or ""), prompt_tokens=reply.tokens("prompt"),
            output_tokens=reply.tokens("completion"), finish=str(reply.llm.get("finish") or ""), status=reply.status,
            error=reply.error, contract_ok=good and quality.contract_ok(names, reply.body),
            quality=quality.scores(names, reply.body, item.gold, shift=len(word)) if good else {},
            answer=quality.shown(names, reply.body) if good else "",
        )  # fmt: skip
