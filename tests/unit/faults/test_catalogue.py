"""The catalogue: complete, played against our client, and failed by a client that does everything wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from services.faults.app import Ours
from services.faults.catalogue import CATALOGUE
from services.faults.failoverbench import FAILOVERBENCH
from services.faults.judge import Ended, Flaw, Mode, Observed
from services.faults.plays import accounted, black_hole, open_breaker, stale
from services.faults.runner import HELD_UP_S, run, score
from services.faults.script import OK, WORDS, Role
from services.faults.stage import SHORTEST, Asked, Draw, Session, Stage, once, play

BY_ID = {fault.id: fault for fault in CATALOGUE}
QUICK = ("500-once", "context-length", "engine-core-killed-midway", "split-characters", "accounting", "both-busy")


def test_ids_are_unique_and_all_sixteen_are_there() -> None:
    assert len(BY_ID) == len(CATALOGUE) >= 30
    assert [fault.source for fault in FAILOVERBENCH] == [f"S{n:02}" for n in range(1, 17)]


def test_the_same_seed_draws_the_same() -> None:
    """Another seed or another fault draws something else."""
    assert Draw.of("1:silent:chat") == Draw.of("1:silent:chat")
    assert Draw.of("1:silent:chat") != Draw.of("2:silent:chat")
    assert min(map(len, WORDS.values())) == SHORTEST
    assert {Draw.of(str(n)).cut for n in range(200)} == set(range(1, SHORTEST - 1))


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda f: f.id)
def test_a_setup_departs_from_health(fault: object) -> None:
    """A fault that is none would be passed by everybody."""
    setup = fault.setup(Draw.of("1"))  # type: ignore[attr-defined]
    odd = (setup.primary, setup.fallback) != (OK, OK) or setup.first or not setup.listens or setup.drops_reused
    assert odd or fault.id == "killed-and-back"  # type: ignore[attr-defined]  # healthy until its play kills it


async def test_our_client_passes_the_quick_ones() -> None:
    """The whole catalogue is `cutover faults`; here those that take no time."""
    rows = await run([BY_ID[name] for name in QUICK], Ours(), seed=1)

    assert {row.fault: [str(x) for p in row.played for x in p.problems] for row in rows} == {n: [] for n in QUICK}


async def test_a_hold_up_in_the_first_step_is_seen() -> None:
    """What fails then tells of the machine and is played again; unseen, it would be laid to the subject."""

    async def held_up(_: Stage) -> None:
        time.sleep(2 * HELD_UP_S)  # noqa: ASYNC251 - it is the point: a step that lets nobody else run

    played = await play(replace(BY_ID["500-once"], play=held_up), Mode.CHAT, Ours(), seed=1)

    assert played.lag_s > HELD_UP_S


class Fool:
    """A subject that answers at once without asking anybody, always the same."""

    name = "fool"
    retries = 0
    modes = frozenset(Mode)

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    @contextlib.asynccontextmanager
    async def open(self, urls: Mapping[Role, str], draw: Draw) -> AsyncIterator[Session]:
        yield self

    async def ask(self, asked: Asked) -> Observed:
        return self._observed

    def counted(self) -> Mapping[str, int]:
        return Counter()


TRUNCATED = Observed(ended=Ended.ANSWER, took_s=0.0, text=WORDS[Role.PRIMARY][0])
ERROR = Observed(ended=Ended.ERROR, took_s=0.0, kind="other")


AT_ONCE = [fault for fault in CATALOGUE if fault.play in (once, accounted, stale, black_hole, open_breaker)]
"""The other plays wait, for an engine to come back or a caller to leave."""


@pytest.mark.parametrize("fault", AT_ONCE, ids=lambda f: f.id)
async def test_every_fault_fails_a_client_that_truncates(fault: object) -> None:
    """No fault is passed by a short answer shown as whole."""
    played = await play(fault, next(iter(fault.expects)), Fool(TRUNCATED), seed=1)  # type: ignore[attr-defined, arg-type]

    assert Flaw.WRONG_TEXT in {problem.flaw for problem in played.problems}


async def test_a_client_that_always_gives_up_is_safe_at_best() -> None:
    """Told in time, nothing wrong shown: failed, and said to be safe."""
    rows = await run([BY_ID["silent"], BY_ID["content-filter"]], Fool(ERROR), seed=1)

    assert score(rows) == {"passed": 0, "total": 2, "failed": ["silent", "content-filter"], "safe": ["silent"]}


async def test_a_client_that_does_not_hang_up_is_caught() -> None:
    """The caller leaves, the request goes on."""

    class Deaf(Fool):
        async def ask(self, asked: Asked) -> Observed:
            return self._observed

    played = await play(BY_ID["leaves-midway"], Mode.STREAM, Deaf(ERROR), seed=1)

    assert {Flaw.CONDUCT, Flaw.NOT_CLOSED} <= {problem.flaw for problem in played.problems}


async def test_a_failure_of_the_machine_is_played_again_alone() -> None:
    """Held up once: the second play counts. Held up always: it has failed, however often it is played."""

    class HeldUp(Fool):
        opened = 0

        def __init__(self, times: int) -> None:
            super().__init__(ERROR)
            self._times = times

        async def ask(self, asked: Asked) -> Observed:
            type(self).opened += 1
            await asyncio.sleep(0.05)
            if type(self).opened <= self._times:
                time.sleep(0.3)  # noqa: ASYNC251 - this is the machine that has no time
                await asyncio.sleep(0.05)
                return ERROR
            return Observed(ended=Ended.ERROR, took_s=0.0, kind="caller")

    class Once(HeldUp): ...

    class Always(HeldUp): ...

    fault = replace(BY_ID["bad-request"], expects={Mode.CHAT: BY_ID["bad-request"].expects[Mode.CHAT]})
    assert score(await run([fault], Once(1), seed=1))["failed"] == []
    assert score(await run([fault], Always(99), seed=1))["failed"] == ["bad-request"]
    assert (Once.opened, Always.opened) == (2, 3)
