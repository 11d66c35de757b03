"""Faults of the caller: who asks for what no engine can give, or goes away."""

from __future__ import annotations

from services.faults import plays
from services.faults.expectations import LEFT, REFUSED
from services.faults.judge import Mode
from services.faults.script import Begin, Hang, Refuse, Words
from services.faults.stage import Fault, Setup

LEAVES = {Mode.CHAT: LEFT, Mode.STREAM: LEFT}

CALLER_FAULTS: tuple[Fault, ...] = (
    Fault(
        id="bad-request",
        title="400, a parameter is wrong",
        right="the caller is told; nobody else is asked",
        expects={Mode.CHAT: REFUSED, Mode.STREAM: REFUSED},
        setup=lambda _: Setup(primary=(Refuse(400, "temperature must be non-negative", "temperature", 400),)),
    ),
    Fault(
        id="leaves-before-headers",
        title="the caller leaves before the headers",
        right="the upstream is told at once, nothing new is started",
        expects=LEAVES,
        setup=lambda _: Setup(primary=(Hang(),)),
        play=plays.leave,
    ),
    Fault(
        id="leaves-before-first-token",
        title="the caller leaves between headers and first token",
        right="the upstream is told at once, nothing new is started",
        expects=LEAVES,
        setup=lambda _: Setup(primary=(Begin(), Hang())),
        play=plays.leave,
    ),
    Fault(
        id="leaves-midway",
        title="the caller leaves in the middle of the answer",
        right="the upstream is told at once, nothing new is started",
        expects=LEAVES,
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Hang())),
        play=plays.leave,
    ),
)
