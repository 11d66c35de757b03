"""One fault on its stage: two upstreams of its own, one subject before them, times and cut points drawn by seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.faults.judge import Ended, Expect, Flaw, Mode, Observed, Problem, judge, judge_counts
from services.faults.script import OK, Role, Script
from services.faults.upstream import Upstream

PROMPT = "What does the first coffee cost?"
STEP_S = 0.02
SHORTEST = 12
"""Words of the shorter of the two answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What chance decides about one fault: times in seconds, `cut` in words (at least one, never all)."""

    seed: str
    deadline_s: float
    first_token_s: float
    stall_s: float
    cut: int
    rude: bool

    @classmethod
    def of(cls, seed: str) -> Draw:
        """The same draw for the same seed, whoever the subject is."""
        rng = random.Random(seed)
        return cls(
            seed=seed,
            deadline_s=rng.uniform(1.8, 2.6),
            first_token_s=rng.uniform(0.6, 0.8),
            stall_s=rng.uniform(0.4, 0.55),
            cut=rng.randint(1, SHORTEST - 2),
            rude=rng.random() < 0.5,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the two upstreams behave. `first` are the primary's first answers, `primary` all later ones.

    `fallback_slots` is how many requests the fallback works on at a time; the others wait inside, as in Ollama.
    """

    primary: Script = OK
    first: tuple[Script, ...] = ()
    fallback: Script = OK
    listens: bool = True
    fallback_listens: bool = True
    drops_reused: bool = False
    refuses_prefill: bool = False
    fallback_slots: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to a subject. `deadline_s` in seconds."""

    mode: Mode
    deadline_s: float
    prompt: str
    schema: bool


class Session(Protocol):
    """A subject in front of one pair of upstreams. Cancelling `ask` is the caller leaving."""

    async def ask(self, asked: Asked) -> Observed: ...
    def counted(self) -> Mapping[str, int] | None:
        """Attempts by provider that found a listener, over the whole session; None where it does not count."""


class Subject(Protocol):
    """Who is judged. `retries` is how often it is set up to ask the same provider again, `modes` what it offers."""

    name: str
    retries: int
    modes: frozenset[Mode]

    def open(self, urls: Mapping[Role, str], draw: Draw) -> contextlib.AbstractAsyncContextManager[Session]: ...


@dataclass(slots=True)
class Stage:
    """What a play works with. `problems` is what it has found so far."""

    fault: Fault
    mode: Mode
    draw: Draw
    primary: Upstream
    fallback: Upstream
    session: Session
    problems: list[Problem] = field(default_factory=list)
    expects: list[Expect] = field(default_factory=list)

    async def ask(self, expect: Expect | None = None) -> Observed:
        """One request, judged against `expect` or what the fault expects of this mode."""
        expect = expect or self.fault.expects[self.mode]
        self.expects.append(expect)
        deadline_s = self.draw.deadline_s
        asked = Asked(mode=self.mode, deadline_s=deadline_s, prompt=self.fault.prompt, schema=self.fault.schema)
        try:
            observed = await self.session.ask(asked)
        except asyncio.CancelledError:
            self.problems += judge(expect, Observed(ended=Ended.LEFT, took_s=0.0), deadline_s=deadline_s)
            raise
        self.problems += judge(expect, observed, deadline_s=deadline_s)
        return observed

    def require(self, holds: bool, flaw: Flaw, detail: str) -> None:
        """Note a problem where something does not hold."""
        if not holds:
            self.problems.append(Problem(flaw, detail))

    async def until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait until something holds; False where it does not within `limit_s` seconds."""
        try:
            async with asyncio.timeout(limit_s):
                while not holds():  # noqa: ASYNC110 - it looks at an upstream's counts
                    await asyncio.sleep(STEP_S)
        except TimeoutError:
            return False
        return True


async def once(stage: Stage) -> None:
    """A single request."""
    await stage.ask()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the catalogue. `source` is FailoverBench's number, "" for a fault of our own.

    `expects` says what a request must end with, for each mode that the fault is played in.
    """

    id: str
    title: str
    right: str
    expects: Mapping[Mode, Expect]
    setup: Callable[[Draw], Setup]
    play: Callable[[Stage], Awaitable[None]] = once
    source: str = ""
    prompt: str = PROMPT
    schema: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One fault in one mode against one subject. `took_s` is the whole play, `lag_s` the longest time for which this
    process itself was held up meanwhile; seconds."""

    fault: str
    mode: Mode
    problems: tuple[Problem, ...]
    took_s: float
    lag_s: float


async def play(fault: Fault, mode: Mode, subject: Subject, *, seed: int, draw: Draw | None = None) -> Played:
    """Fresh upstreams, a fresh session, the fault's play, then the counts. `draw` takes the place of one by `seed`."""
    began = asyncio.get_running_loop().time()
    draw = draw or Draw.of(f"{seed}:{fault.id}:{mode}")
    async with _staged(fault, mode, draw, subject) as stage, _lag() as lags:
        await fault.play(stage)
        seen = {Role.PRIMARY: stage.primary.seen, Role.FALLBACK: stage.fallback.seen}
        counted = stage.session.counted()
        stage.problems += judge_counts(stage.expects, seen, counted, retries=subject.retries)
    took_s = asyncio.get_running_loop().time() - began
    return Played(fault=fault.id, mode=mode, problems=tuple(stage.problems), took_s=took_s, lag_s=max(lags))


@contextlib.asynccontextmanager
async def _lag() -> AsyncIterator[list[float]]:
    """How much later than asked for the loop wakes us, in seconds: what a machine without time does to every limit.

    It watches from before the block's first step until after its last: either may be the one that holds the loop up.
    """
    loop, lags = asyncio.get_running_loop(), [0.0]
    due = loop.time() + STEP_S

    async def tick() -> None:
        nonlocal due
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            lags.append(loop.time() - due)
            due = loop.time() + STEP_S

    ticking = asyncio.ensure_future(tick())
    try:
        yield lags
    finally:
        ticking.cancel()
        lags.append(loop.time() - due)


@contextlib.asynccontextmanager
async def _staged(fault: Fault, mode: Mode, draw: Draw, subject: Subject) -> AsyncIterator[Stage]:
    setup = fault.setup(draw)
    primary = Upstream(
        Role.PRIMARY,
        setup.primary,
        first=setup.first,
        listens=setup.listens,
        drops_reused=setup.drops_reused,
        seed=draw.seed,
    )
    fallback = Upstream(
        Role.FALLBACK,
        setup.fallback,
        listens=setup.fallback_listens,
        refuses_prefill=setup.refuses_prefill,
        slots=setup.fallback_slots,
        seed=draw.seed,
    )
    async with primary.running(), fallback.running():
        urls = {Role.PRIMARY: primary.url, Role.FALLBACK: fallback.url}
        async with subject.open(urls, draw) as session:
            yield Stage(fault, mode, draw, primary, fallback, session)
