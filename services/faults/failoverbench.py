"""FailoverBench's sixteen faults in our own words and code.

Numbers and faults: scenarios/catalogue.yaml of github.com/failoverbench/failoverbench, methodology v0.1. What must
come out is our own rule where the two differ; `docs/FAULTS.md` says where.
"""

from __future__ import annotations

from services.faults import plays
from services.faults.expectations import (
    BROKEN,
    BY_ANYBODY,
    BY_FALLBACK,
    BY_PRIMARY,
    FALLS_BACK,
    MIDWAY,
    REFUSED,
    SERVED,
)
from services.faults.judge import Mode
from services.faults.script import Begin, Close, End, Hang, Malformed, Refuse, Reset, Wait, Words
from services.faults.stage import Fault, Setup

FAILOVERBENCH: tuple[Fault, ...] = (
    Fault(
        id="429-retry-after",
        source="S01",
        title="one 429 with Retry-After 2, then healthy",
        right="answered in time: an idle fallback is there, so nobody has to wait",
        expects=SERVED,
        setup=lambda _: Setup(first=((Refuse(429, "rate limited", retry_after_s=2),),)),
    ),
    Fault(
        id="429-persistent",
        source="S02",
        title="429 without Retry-After, always",
        right="the fallback answers; the primary is not hammered",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(429, "rate limited"),)),
    ),
    Fault(
        id="500-once",
        source="S03",
        title="one 500, then healthy",
        right="answered in time",
        expects=SERVED,
        setup=lambda _: Setup(first=((Refuse(500, "internal error"),),)),
    ),
    Fault(
        id="503-persistent",
        source="S04",
        title="503, always",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(503, "overloaded"),)),
    ),
    Fault(
        id="reset-before-headers",
        source="S05",
        title="one connection reset before the first byte, then healthy",
        right="answered in time",
        expects=SERVED,
        setup=lambda d: Setup(first=((Wait(d.stall_s / 10), Reset()),)),
    ),
    Fault(
        id="silent",
        source="S06",
        title="request taken, never a byte",
        right="abandoned in time, asked once, the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Hang(),)),
    ),
    Fault(
        id="slow-first-token",
        source="S07",
        title="headers at once, the first token far too late",
        right="abandoned in time, the fallback answers",
        expects=FALLS_BACK,
        setup=lambda d: Setup(primary=(Begin(role=False), Wait(d.deadline_s * 1.5), Words(), End())),
    ),
    Fault(
        id="cut-midway",
        source="S08",
        title="the stream dies in the middle, by FIN or RST",
        right="told as broken, or restarted on the fallback; never a short answer shown as whole",
        expects=MIDWAY,
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Reset() if d.rude else Close())),
    ),
    Fault(
        id="stall-midway",
        source="S09",
        title="the stream falls silent in the middle",
        right="noticed; told as broken, or restarted on the fallback",
        expects=MIDWAY,
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Hang())),
    ),
    Fault(
        id="malformed-chunk",
        source="S10",
        title="one frame is no JSON, the rest is fine",
        right="the whole answer, or told as broken, or restarted",
        expects={Mode.CHAT: BY_FALLBACK, Mode.STREAM: BROKEN, Mode.RESCUE: BY_ANYBODY},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Malformed(), Words(), End())),
    ),
    Fault(
        id="no-done",
        source="S11",
        title="a whole stream without [DONE]",
        right="the primary's answer, without waiting for what never comes",
        expects={Mode.STREAM: BY_PRIMARY},
        setup=lambda _: Setup(primary=(Begin(), Words(), End(done=False))),
    ),
    Fault(
        id="context-length",
        source="S12",
        title="400, the prompt does not fit the window",
        right="the caller is told; never asked again, never truncated",
        expects={Mode.CHAT: REFUSED, Mode.STREAM: REFUSED},
        setup=lambda _: Setup(primary=(Refuse(400, "maximum context length is 4096", "input_tokens", 400),)),
    ),
    Fault(
        id="content-filter",
        source="S13",
        title="400, refused by the content policy",
        right="the caller is told; not taken around the refusal",
        expects={Mode.CHAT: REFUSED, Mode.STREAM: REFUSED},
        setup=lambda _: Setup(primary=(Refuse(400, "refused by policy", code="content_policy_violation"),)),
    ),
    Fault(
        id="no-prefill",
        source="S14",
        title="cut in the middle, and the fallback refuses any prefill",
        right="restarted cleanly; the fallback's 400 never hides what happened",
        expects={**MIDWAY, Mode.CONTINUE: BROKEN},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Close()), refuses_prefill=True),
        play=plays.unmasked,
    ),
    Fault(
        id="flap",
        source="S15",
        title="503 for a while, then healthy",
        right="everybody is answered, and traffic comes back within 3 s",
        expects=SERVED,
        setup=lambda _: Setup(primary=(Refuse(503, "overloaded"),)),
        play=plays.flap,
    ),
    Fault(
        id="accounting",
        source="S16",
        title="503, always: who is said to have answered?",
        right="the answer names the fallback",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(503, "overloaded"),)),
        play=plays.accounted,
    ),
)
