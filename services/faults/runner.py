"""Plays the catalogue against one subject, several faults at a time, and sums up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.faults.judge import Flaw, Mode
from services.faults.stage import Fault, Played, Subject, play

AT_A_TIME = 4
"""Faults that run side by side; each has its own upstreams, so only the machine is shared."""


HELD_UP_S = 0.1
"""A fault that failed while this process was held up for longer tells of the machine, not of the subject."""

AGAIN = 2
"""How often such a fault is played again, alone. What fails then has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault against one subject, in every mode that it is played in."""

    fault: str
    played: tuple[Played, ...]

    @property
    def passed(self) -> bool:
        return not any(p.problems for p in self.played)

    @property
    def safe(self) -> bool:
        """Failed, but only by not being rescued: the caller was told in time and nothing wrong was shown."""
        return not self.passed and all(x.flaw is Flaw.NOT_RESCUED for p in self.played for x in p.problems)


async def run(
    faults: Sequence[Fault],
    subject: Subject,
    *,
    seed: int,
    at_a_time: int = AT_A_TIME,
    on_row: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """Every fault in every mode, in an order drawn by `seed`; the rows come back in the catalogue's order."""
    jobs = [(fault, mode) for fault in faults for mode in fault.expects if mode in subject.modes]
    random.Random(seed).shuffle(jobs)
    slots = asyncio.Semaphore(at_a_time)
    done: dict[str, list[Played]] = {fault.id: [] for fault in faults}
    again: list[tuple[Fault, Mode]] = []
    modes = Counter(fault.id for fault, _ in jobs)

    async def one(fault: Fault, mode: Mode) -> None:
        async with slots:
            played = await play(fault, mode, subject, seed=seed)
        if _held_up(played):
            again.append((fault, mode))
        else:
            ended(fault, played)

    def ended(fault: Fault, played: Played) -> None:
        done[fault.id].append(played)
        if len(done[fault.id]) == modes[fault.id]:
            on_row(_row(fault.id, done[fault.id]))

    async with asyncio.TaskGroup() as group:
        for fault, mode in jobs:
            group.create_task(one(fault, mode))
    for fault, mode in again:
        ended(fault, await _alone(fault, mode, subject, seed))
    return [_row(fault.id, done[fault.id]) for fault in faults]


async def _alone(fault: Fault, mode: Mode, subject: Subject, seed: int) -> Played:
    played = await play(fault, mode, subject, seed=seed)
    for _ in range(AGAIN - 1):
        if _held_up(played):
            played = await play(fault, mode, subject, seed=seed)
    return played


def _held_up(played: Played) -> bool:
    return bool(played.problems) and played.lag_s > HELD_UP_S


def _row(fault: str, played: Sequence[Played]) -> Row:
    return Row(fault=fault, played=tuple(sorted(played, key=lambda p: list(Mode).index(p.mode))))


def score(rows: Sequence[Row]) -> dict[str, Any]:
    """`{passed, total, failed, safe}`; `safe` are those of `failed` that were told in time."""
    return {
        "passed": sum(row.passed for row in rows),
        "total": len(rows),
        "failed": [row.fault for row in rows if not row.passed],
        "safe": [row.fault for row in rows if row.safe],
    }


def detail(row: Row) -> Mapping[str, Any]:
    """One row as JSON: verdict, and for each mode its problems and time in seconds."""
    return {
        "verdict": verdict(row),
        "modes": {
            str(p.mode): {
                "problems": [str(x) for x in p.problems],
                "took_s": round(p.took_s, 3),
                "lag_s": round(p.lag_s, 3),
            }
            for p in row.played
        },
    }


def verdict(row: Row) -> str:
    """`pass`, `safe` or `fail`."""
    return "pass" if row.passed else "safe" if row.safe else "fail"
