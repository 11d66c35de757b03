"""Whatever both providers do: a typed end, the right text or none, one attempt each, and counters that tell the truth.

Lateness is told by `cutover faults`, not asserted here; that a request ends at all is, under a generous guard.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import Phase, given, settings

from services.faults import stage
from services.faults.app import Ours
from services.faults.judge import Ended, Expect, Flaw, Mode
from services.faults.runner import HELD_UP_S
from services.faults.script import (
    OK,
    Begin,
    Broken,
    Close,
    End,
    Hang,
    Malformed,
    Page,
    Pieces,
    Ping,
    Refuse,
    Reset,
    Script,
    Step,
    Wait,
    Words,
)
from services.faults.stage import SHORTEST, Draw, Fault, Setup

SIDE_BY_SIDE = 6
TYPED = Expect(ended=frozenset({Ended.ANSWER, Ended.PARTIAL, Ended.ERROR}))

pauses = st.floats(0, 0.3).map(Wait)
refusals = st.builds(
    Refuse,
    status=st.sampled_from([400, 401, 404, 408, 422, 429, 500, 502, 503]),
    param=st.sampled_from([None, "input_tokens", "temperature"]),
    retry_after_s=st.sampled_from([None, 0, 1, 30]),
)
endings: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [
        (Close(),),
        (Reset(),),
        (Hang(),),
        (Broken(),),
        (End(finish=None),),
        (Malformed(), Words(), End()),
        (Words(), End()),
        (Words(), End(done=False)),
        (Words(gap_s=0.1), End()),
        (Ping(0.02),),
    ]
)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """One answer: refused, torn, silent, or begun and then anything."""
    shape = draw(st.sampled_from(["ok", "refuse", "reset", "hang", "page", "begun", "begun", "begun"]))
    before = draw(st.sampled_from([(), (draw(pauses),)]))
    match shape:
        case "ok":
            return (*before, *OK)
        case "refuse":
            return (*before, draw(refusals))
        case "reset":
            return (*before, Reset())
        case "hang":
            return (*before, Hang())
        case "page":
            return (*before, Page())
        case _:
            split = draw(st.sampled_from([(), (Pieces(draw(st.integers(3, 40))),)]))
            words = draw(st.sampled_from([(), (Words(draw(st.integers(1, SHORTEST - 1))),)]))
            return (*before, Begin(role=draw(st.booleans())), *split, *words, *draw(endings))


setups = st.builds(
    Setup,
    primary=scripts(),
    first=st.lists(scripts(), max_size=1).map(tuple),
    fallback=scripts(),
    listens=st.sampled_from([True, True, True, False]),
    fallback_listens=st.sampled_from([True, True, True, False]),
    drops_reused=st.booleans(),
    refuses_prefill=st.booleans(),
)


async def asked_twice(on: stage.Stage) -> None:
    """The second request meets what the first has left: kept connections, an open breaker."""
    await on.ask()
    await on.ask()


def fault_of(number: int, setup: Setup, mode: Mode) -> Fault:
    return Fault(id=str(number), title="", right="", expects={mode: TYPED}, setup=lambda _: setup, play=asked_twice)


ALONE = 2
"""Times that a case is played again before it has failed."""

HASTY = replace(Draw.of("1"), deadline_s=1.0, first_token_s=0.4, stall_s=0.3)
"""Little time, so that a silent engine costs a test little."""


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])  # shrinking takes minutes
@given(st.lists(st.tuples(setups, st.sampled_from(Mode)), min_size=SIDE_BY_SIDE, max_size=SIDE_BY_SIDE))
def test_any_two_providers(cases: list[tuple[Setup, Mode]]) -> None:
    """Several pairs side by side, two requests each."""

    faults = [(fault_of(n, setup, mode), mode) for n, (setup, mode) in enumerate(cases)]
    for first, (fault, mode), (setup, _) in zip(asyncio.run(played(faults)), faults, cases, strict=True):
        once = first
        for _ in range(ALONE):  # beside seven others a limit may come before its request has gone out
            if not flaws(once):
                break
            (once,) = asyncio.run(played([(fault, mode)]))
        assert flaws(once) == [], f"{mode}: {setup}"


async def played(faults: list[tuple[Fault, Mode]]) -> list[stage.Played]:
    """All of them side by side."""
    return await asyncio.gather(*(stage.play(fault, mode, Ours(), seed=1, draw=HASTY) for fault, mode in faults))


def flaws(once: stage.Played) -> list[str]:
    """What was wrong. A machine without time makes limits come early, which tells nothing of the client."""
    if once.lag_s > HELD_UP_S:
        return []
    return [str(problem) for problem in once.problems if problem.flaw is not Flaw.LATE]
