"""The endings that several faults share."""

from __future__ import annotations

from services.faults.judge import Ended, Expect, Mode
from services.faults.script import Role

ANSWER = frozenset({Ended.ANSWER})
ERROR = frozenset({Ended.ERROR})

BY_PRIMARY = Expect(ended=ANSWER, by=frozenset({Role.PRIMARY}))
BY_FALLBACK = Expect(ended=ANSWER, by=frozenset({Role.FALLBACK}))
BY_ANYBODY = Expect(ended=ANSWER)

BROKEN = Expect(ended=frozenset({Ended.PARTIAL, Ended.ANSWER}))
"""After the first token and without the service's consent: told as broken, or whole; never cut short in silence."""

REFUSED = Expect(ended=ERROR, kinds=frozenset({"caller"}), most={Role.PRIMARY: 1, Role.FALLBACK: 0})
"""The caller's own mistake: answered at once, shown to nobody else."""

SERVED = {Mode.CHAT: BY_ANYBODY, Mode.STREAM: BY_ANYBODY}
FALLS_BACK = {Mode.CHAT: BY_FALLBACK, Mode.STREAM: BY_FALLBACK}
MIDWAY = {
    Mode.CHAT: BY_FALLBACK,
    Mode.STREAM: BROKEN,
    Mode.RESCUE: BY_FALLBACK,
    Mode.CONTINUE: BY_FALLBACK,
}

ANSWERS = {Mode.CHAT: BY_PRIMARY, Mode.STREAM: BY_PRIMARY}

LEFT = Expect(ended=frozenset({Ended.LEFT}), most={Role.PRIMARY: 1, Role.FALLBACK: 0})
"""The caller has gone: nothing new is started for nobody."""

DOWN = Expect(ended=ERROR, kinds=frozenset({"dead"}))
SERVED_OR_TOLD = Expect(ended=ANSWER | ERROR, by=frozenset({Role.FALLBACK}), kinds=frozenset({"busy"}))
"""Where there is not room for all."""

BUSY = Expect(ended=ERROR, kinds=frozenset({"busy"}))
