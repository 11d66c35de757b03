"""Decides where a service goes next, from its standing and the facts. Pure; failure comes before promotion."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from services.llm.rollout import Stage, Standing
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
    """How one engine did since the step began. `in_a_row` counts its latest errors with no success between."""

    requests: int = 0
    errors: int = 0
    in_a_row: int = 0


NOTHING = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision may rest on.

    `doctor_failed` and `verdict` are None where nobody looked; `fresh` says that the verdict is of these very engines,
    flags and recipe. `demo` asks for a shown move: it needs no verdict, and nothing later may rest on it.
    """

    candidate: Tally = NOTHING
    control: Tally = NOTHING
    doctor_failed: bool | None = None
    verdict: Outcome | None = None
    verdict_id: str | None = None
    fresh: bool = False
    demo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where to stand next, and why, in sentences."""

    standing: Standing
    action: Action
    reasons: tuple[str, ...]


def decide(standing: Standing, facts: Facts, policy: Policy) -> Decision:
    """The next step of one service."""
    if standing.stage in (Stage.CANARY, Stage.FULL):
        failing = _failing(facts, policy)
        if failing:
            return failing if _both_bad(facts, policy) is None else _hold(standing, _sick(facts, policy))
    if standing.demo and not facts.demo and standing.stage in (Stage.CANARY, Stage.FULL):
        return _enter(standing, facts, policy, because="the demo move so far is no evidence; the canary begins anew")
    match standing.stage:
        case Stage.OLLAMA | Stage.ROLLED_BACK:
            return _enter(standing, facts, policy)
        case Stage.CANARY:
            return _advance(standing, facts, policy)
        case Stage.FULL:
            return _hold(standing, "vLLM already serves every request first")


def _failing(facts: Facts, policy: Policy) -> Decision | None:
    """The rollback that the candidate's own errors ask for, if any."""
    reason = _bad(facts.candidate, policy)
    if reason is None:
        return None
    return Decision(
        standing=Standing(stage=Stage.ROLLED_BACK, verdict=facts.verdict_id, demo=facts.demo),
        action=Action.ROLLBACK,
        reasons=(f"vLLM: {reason}",),
    )


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


def _both_bad(facts: Facts, policy: Policy) -> str | None:
    return _bad(facts.control, policy)


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
        target = Standing(stage=Stage.FULL, share=1.0, verdict=facts.verdict_id, demo=facts.demo)
    if facts.demo:
        return Decision(standing=target, action=Action.PROMOTE, reasons=("demo: shown without evidence",))
    missing = _unfit(standing, facts)
    if missing:
        return _hold(standing, *((because,) if because else ()), *missing)
    reasons = (
        (because, f"verdict {facts.verdict_id} is a pass") if because else (f"verdict {facts.verdict_id} is a pass",)
    )
    return Decision(standing=target, action=Action.PROMOTE, reasons=reasons)


def _unfit(standing: Standing, facts: Facts) -> tuple[str, ...]:
    missing = []
    if facts.doctor_failed is None:
        missing.append("the doctor has not looked")
    elif facts.doctor_failed:
        missing.append("the doctor found a failure")
    if facts.verdict is None or facts.verdict_id is None:
        missing.append("there is no verdict")
    elif facts.verdict is not Outcome.PASS:
        missing.append(f"the verdict is {facts.verdict}, only a pass moves a service")
    elif not facts.fresh:
        missing.append("the verdict has expired: engines, flags or recipe changed since")
    elif standing.stage is Stage.ROLLED_BACK and not standing.demo and standing.verdict == facts.verdict_id:
        missing.append(f"it was rolled back on verdict {facts.verdict_id}; only a new one may move it again")
    return tuple(missing)


def _advance(standing: Standing, facts: Facts, policy: Policy) -> Decision:
    """From one share to the next, on evidence. A demo asks for a handful of answers and no bound."""
    tally = facts.candidate
    least = policy.demo_min_requests if facts.demo else policy.min_requests
    if tally.requests < least:
        return _hold(standing, f"{tally.requests} of {least} requests seen at vLLM in this step")
    most = clopper_pearson(tally.errors, tally.requests, level=policy.level).high
    if not facts.demo and most > policy.error_limit:
        return _hold(
            standing,
            f"{tally.errors} errors in {tally.requests} requests could still be {most:.1%}, "
            f"limit {policy.error_limit:.0%}",
        )
    share = next((s for s in policy.steps if s > standing.share), 1.0)
    target = Standing(
        stage=Stage.FULL if share == 1.0 else Stage.CANARY, share=share, verdict=standing.verdict, demo=facts.demo
    )
    said = f"{tally.errors} errors in {tally.requests} requests"
    reason = f"demo: {said}, which is no evidence" if facts.demo else f"{said}: at most {most:.2%}"
    return Decision(standing=target, action=Action.PROMOTE, reasons=(reason,))


def _hold(standing: Standing, *reasons: str) -> Decision:
    return Decision(standing=standing, action=Action.HOLD, reasons=reasons)
