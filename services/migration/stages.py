"""Decides where a service goes next, from its standing and the facts. Pure; failure comes before promotion."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from services.llm.rollout import Stage, Standing
from services.migration.evidence import Evidence, Seen, surely_below
from services.migration.gates import Policy
from services.migration.stats import clopper_pearson
from services.migration.verdict import Outcome


class Action(enum.StrEnum):
    """What a decision does. `hold` changes nothing and says what is missing."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How one engine did since the step began.

    `requests` and `errors` are of those who were to ask it first: an answer by the other engine is its error.
    `in_a_row` counts its latest errors with no success between.
    """

    requests: int = 0
    errors: int = 0
    in_a_row: int = 0


ANSWERING = "once they answer `cutover migrate SERVICE` goes on from here"
AGAIN = "measure again with `cutover gate SERVICE`; after a pass `cutover migrate SERVICE` goes on from here"
LOOK = "`cutover doctor SERVICE` looks and tells which; then `cutover migrate SERVICE` goes on from here"
NOTHING = Tally()
NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision may rest on.

    `doctor_failed` and `verdict` are None where nobody looked; `fresh` says that the verdict is of these very engines,
    flags and recipe, and `unasked` why nobody could tell. Unless said, it is not fresh: nothing is promoted.
    `doctor_doubt` says why a canary may not go on upon what the doctor found before.
    `demo` asks for a shown move: it needs no verdict, and nothing later may rest on it.
    `evidence` weighs both engines since the step began, which was `age_s` seconds ago.
    """

    candidate: Tally = NOTHING
    control: Tally = NOTHING
    doctor_failed: bool | None = None
    doctor_doubt: str = ""
    verdict: Outcome | None = None
    verdict_id: str | None = None
    fresh: bool = False
    unasked: str = ""
    demo: bool = False
    evidence: Evidence = NO_EVIDENCE
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where to stand next, and why, in sentences."""

    standing: Standing
    action: Action
    reasons: tuple[str, ...]


def decide(standing: Standing, facts: Facts, policy: Policy) -> Decision:
    """The next step of one service."""
    if standing.stage in (Stage.CANARY, Stage.FULL):
        failing = _failing(standing, facts, policy)
        if failing:
            return failing
    if standing.demo and not facts.demo and standing.stage in (Stage.CANARY, Stage.FULL):
        return _enter(standing, facts, policy, because="the demo move so far is no evidence; the canary begins anew")
    match standing.stage:
        case Stage.OLLAMA | Stage.ROLLED_BACK:
            return _enter(standing, facts, policy)
        case Stage.CANARY:
            return _advance(standing, facts, policy)
        case Stage.FULL if standing.share < 1.0:
            return _release(standing, facts, policy)
        case Stage.FULL:
            return _hold(standing, "vLLM already serves every request first")


def _failing(standing: Standing, facts: Facts, policy: Policy) -> Decision | None:
    """Back to Ollama, if vLLM is dead or surely worse than its control; staying, if both are bad. None if neither."""
    dead = facts.candidate.in_a_row >= policy.consecutive_errors
    worse = _against(facts, policy, alone=standing.share == 1.0)
    if worse and facts.control.in_a_row < policy.consecutive_errors:
        return _back(facts, f"vLLM: {worse}")
    if dead and _bad(facts.control, policy) is None:
        return _back(facts, f"vLLM: {_bad(facts.candidate, policy)}")
    if dead:
        return _hold(standing, _sick(facts, policy))
    beyond = _against(facts, policy, alone=True)
    if beyond is None:
        return None
    whose = "and Ollama answers nothing" if worse else "but not worse than Ollama in the same moments"
    return _hold(standing, f"vLLM is beyond its margin, {whose} ({beyond}): the machine is ill")


def _against(facts: Facts, policy: Policy, *, alone: bool) -> str | None:
    """The e-value that vLLM has against it, if that is enough. `alone`: whatever the control did."""
    e_value = facts.evidence.e_value(looks=len(policy.steps), alone=alone)
    kind, process = facts.evidence.strongest(alone=alone)
    if e_value < policy.e_limit or process.candidate.bad < policy.consecutive_errors:
        return None
    return f"e-value {e_value:.3g}, limit {policy.e_limit:g} ({kind}: {process.said()})"


def _back(facts: Facts, reason: str) -> Decision:
    target = Standing(stage=Stage.ROLLED_BACK, verdict=facts.verdict_id, demo=facts.demo)
    return Decision(standing=target, action=Action.ROLLBACK, reasons=(reason,))


def _bad(tally: Tally, policy: Policy) -> str | None:
    if tally.in_a_row >= policy.consecutive_errors:
        return f"{tally.in_a_row} errors in a row, limit {policy.consecutive_errors}"
    if not tally.errors:
        return None
    least = clopper_pearson(tally.errors, tally.requests, level=policy.level).low
    if least > policy.error_limit:
        return (
            f"{tally.errors} errors in {tally.requests} requests: at least {least:.1%}, limit {policy.error_limit:.0%}"
        )
    return None


def _sick(facts: Facts, policy: Policy) -> str:
    """Why going back would not help."""
    return (
        f"both engines fail (vLLM: {_bad(facts.candidate, policy)}; Ollama: {_bad(facts.control, policy)}): "
        "the machine is ill, going back would not help"
    )


def _enter(standing: Standing, facts: Facts, policy: Policy, *, because: str = "") -> Decision:
    """From Ollama to the first canary share: only on a healthy doctor and a fresh pass, or as a demo."""
    target = Standing(stage=Stage.CANARY, share=policy.steps[0], verdict=facts.verdict_id, demo=facts.demo)
    if policy.steps[0] == 1.0:
        target = _full(facts.verdict_id, facts, policy)
    if facts.demo:
        return Decision(standing=target, action=Action.PROMOTE, reasons=("demo: shown without evidence",))
    missing = _unfit(standing, facts)
    if missing:
        return _hold(standing, *((because,) if because else ()), *missing)
    reasons = (
        (because, f"verdict {facts.verdict_id} is a pass") if because else (f"verdict {facts.verdict_id} is a pass",)
    )
    return Decision(standing=target, action=Action.PROMOTE, reasons=reasons)


def held_back(standing: Standing) -> bool:
    """Whether a few still ask Ollama first, as the control of a full move."""
    return standing.stage is Stage.FULL and standing.share < 1.0


def _unfit(standing: Standing, facts: Facts) -> tuple[str, ...]:
    missing = []
    if facts.doctor_failed is None:
        missing.append("the doctor has not looked")
    elif facts.doctor_failed:
        missing.append("the doctor found a failure")
    if doubt := _doubt(facts):
        missing.append(doubt)
    elif standing.stage is Stage.ROLLED_BACK and not standing.demo and standing.verdict == facts.verdict_id:
        missing.append(f"it was rolled back on verdict {facts.verdict_id}; only a new one may move it again")
    return tuple(missing)


def _doubt(facts: Facts) -> str | None:
    """Why the verdict carries no move. None where it does."""
    if facts.verdict is None or facts.verdict_id is None:
        return "there is no verdict"
    if facts.verdict is not Outcome.PASS:
        return f"the verdict is {facts.verdict}, only a pass moves a service"
    if facts.unasked:
        return f"whether the verdict is still of these engines cannot be told: {facts.unasked}"
    return None if facts.fresh else "the verdict has expired: it is too old, or engines, flags or recipe changed since"


def _unfounded(standing: Standing, facts: Facts) -> Decision | None:
    """Staying, where what the canary began on does not hold any more. None where it does; a demo rests on nothing."""
    if facts.demo:
        return None
    doubt, seen = _doubt(facts), "the doctor found a failure" if facts.doctor_failed else facts.doctor_doubt
    onward = ANSWERING if facts.unasked and facts.verdict is Outcome.PASS else AGAIN
    reasons = [f"{why}; {then}" for why, then in ((doubt, onward), (seen, LOOK)) if why]
    return _hold(standing, *reasons) if reasons else None


def _advance(standing: Standing, facts: Facts, policy: Policy) -> Decision:
    """From one share to the next, on a verdict that still holds and on evidence.

    A demo asks for a handful of answers and no bound.
    """
    unfounded = _unfounded(standing, facts)
    if unfounded:
        return unfounded
    missing = _unproved(facts, policy)
    if missing:
        return _hold(standing, missing)
    share = next((s for s in policy.steps if s > standing.share), 1.0)
    if share == 1.0:
        target = _full(facts.verdict_id, facts, policy)
    else:
        target = Standing(stage=Stage.CANARY, share=share, verdict=facts.verdict_id, demo=facts.demo)
    return Decision(standing=target, action=Action.PROMOTE, reasons=(_proved(facts, policy),))


def _full(verdict: str | None, facts: Facts, policy: Policy) -> Standing:
    """All but the holdback; a demo, which nothing rests on, needs no control."""
    share = 1.0 if facts.demo else round(1.0 - policy.holdback, 6)
    return Standing(stage=Stage.FULL, share=share, verdict=verdict, demo=facts.demo)


def _release(standing: Standing, facts: Facts, policy: Policy) -> Decision:
    """The end of the holdback: its time is over, the verdict still holds, and there was traffic to judge by.

    A clock that jumped ahead ends it early, but never without that traffic.
    """
    if facts.age_s < 0:
        return _hold(
            standing, "the clock was set back since the holdback began; it goes on until the clock is past its end"
        )
    left_s = policy.holdback_s - facts.age_s
    if left_s > 0 or facts.demo:
        return _hold(
            standing,
            f"vLLM serves; {1 - standing.share:.0%} still ask Ollama first, as a control, for {left_s / 3600:.1f} h; "
            "`cutover migrate SERVICE --watch` guards it meanwhile",
        )
    unfounded = _unfounded(standing, facts)
    if unfounded:
        return unfounded
    missing = _unproved(facts, policy)
    if missing:
        return _hold(standing, f"the holdback's time is over, but {missing}")
    target = Standing(stage=Stage.FULL, share=1.0, verdict=facts.verdict_id)
    ended = f"the holdback of {policy.holdback_s / 3600:g} h is over; {_proved(facts, policy)}"
    return Decision(standing=target, action=Action.PROMOTE, reasons=(ended,))


def _unproved(facts: Facts, policy: Policy) -> str | None:
    """What the evidence for vLLM still lacks. None where nothing does."""
    tally = facts.candidate
    least = policy.demo_min_requests if facts.demo else policy.min_requests
    if tally.requests < least:
        return f"{tally.requests} of {least} requests seen at vLLM in this step"
    if facts.demo:
        return _bad(tally, policy)
    most = _at_most(tally, policy)
    if most > policy.error_limit:
        return (
            f"{tally.errors} errors in {tally.requests} requests could still be {most:.1%}, "
            f"limit {policy.error_limit:.0%}"
        )
    whole, chunk = (facts.evidence.processes[kind].candidate for kind in ("slow", "slow first chunk"))
    streams = _slow("first chunks", chunk, policy) if chunk.n else None  # who does not stream has none
    return _slow("answers", whole, policy) or streams


def _slow(what: str, seen: Seen, policy: Policy) -> str | None:
    """How many of vLLM's could still be slow, if that is too many."""
    most = surely_below(seen, level=policy.level)
    if most <= policy.slow_limit:
        return None
    return (
        f"{seen.bad} slow {what} of {seen.n} timed at vLLM could still be {most:.1%}, limit "
        f"{policy.slow_limit:.0%} (slow: beyond {policy.slow_margin:g} x the 95 % quantile of Ollama's)"
    )


def _at_most(tally: Tally, policy: Policy) -> float:
    """The bound on the share of errors, good for every look of the step."""
    return surely_below(Seen(n=tally.requests, bad=tally.errors), level=policy.level)


def _proved(facts: Facts, policy: Policy) -> str:
    tally = facts.candidate
    said = f"{tally.errors} errors in {tally.requests} requests"
    if facts.demo:
        return f"demo: {said}, which is no evidence"
    most = _at_most(tally, policy)
    return f"{said}: at most {most:.2%}; e-value {facts.evidence.e_value(looks=len(policy.steps)):.2g} against vLLM"


def _hold(standing: Standing, *reasons: str) -> Decision:
    return Decision(standing=standing, action=Action.HOLD, reasons=reasons)
