"""Engines that die, load, come back, or look idle because they refuse fast: faults that take several requests."""

from __future__ import annotations

from services.faults import plays
from services.faults.expectations import FALLS_BACK, SERVED
from services.faults.script import OK, Begin, Hang, Refuse, Reset, Wait
from services.faults.stage import Fault, Setup

RECOVERY_FAULTS: tuple[Fault, ...] = (
    Fault(
        id="loading",
        title="vLLM loads: the port is refused, then it comes",
        right="the fallback answers; back on the primary within 3 s",
        expects=SERVED,
        setup=lambda _: Setup(listens=False),
        play=plays.loading,
    ),
    Fault(
        id="killed-and-back",
        title="it answers, is killed with its kept connections, is started again",
        right="nobody notices; back on the primary within 3 s",
        expects=SERVED,
        setup=lambda _: Setup(),
        play=plays.killed,
    ),
    Fault(
        id="killed-under-load",
        title="it is killed with twelve requests in flight",
        right="the fallback answers all of them",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Begin(), Hang())),
        play=plays.killed_under_load,
    ),
    Fault(
        id="stale-keep-alive",
        title="the idle connection is closed just when the next request arrives on it",
        right="answered all the same",
        expects=SERVED,
        setup=lambda _: Setup(drops_reused=True),
        play=plays.stale,
    ),
    Fault(
        id="black-hole",
        title="503 within a millisecond, to a crowd",
        right="the fallback answers all of them; each asks the primary once at most",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(503, "server busy"),)),
        play=plays.black_hole,
    ),
    Fault(
        id="open-breaker",
        title="ill for long: every request is reset",
        right="after five requests no other one pays for it",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Reset(),)),
        play=plays.open_breaker,
    ),
    Fault(
        id="overload",
        title="vLLM is dead and ten times what Ollama can carry is asked of it",
        right="Ollama stays useful; half of the others know within 50 ms, all of them when to come back",
        expects=FALLS_BACK,
        setup=lambda _: Setup(listens=False, fallback=(Wait(0.05), *OK), fallback_slots=2),
        play=plays.overload,
    ),
    Fault(
        id="stampede",
        title="it listens again but does not generate yet, and a crowd waits",
        right="only one probe at a time reaches it; then back within 3 s",
        expects=SERVED,
        setup=lambda _: Setup(listens=False),
        play=plays.stampede,
    ),
)
