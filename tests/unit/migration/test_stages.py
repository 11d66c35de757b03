"""Where a service goes next: each row of the table, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.rollout import Stage, Standing
from services.migration import gates
from services.migration.evidence import Evidence, Seen
from services.migration.stages import Action, Facts, Tally, decide
from services.migration.verdict import Outcome

POLICY = gates.load().policy
GOOD = Facts(doctor_failed=False, verdict=Outcome.PASS, verdict_id="v1", fresh=True)
FOUNDED = Facts(verdict=Outcome.PASS, verdict_id="v1", fresh=True)
MANY = Tally(requests=350)


def seen(kind: str, vllm: tuple[int, int], ollama: tuple[int, int], limit: float = 0.05) -> Evidence:
    """One reading: bad of all requests, per arm."""
    arms = [Seen(n=n, bad=bad) for bad, n in (vllm, ollama)]
    return Evidence().after(kind, *arms, limit=limit)


QUICK = seen("slow", (0, 350), (0, 350))
WORSE = seen("errors", (40, 200), (2, 200), 0.01)
ILL = seen("errors", (60, 200), (60, 200), 0.01)


def canary(share: float, *, demo: bool = False) -> Standing:
    return Standing(stage=Stage.CANARY, share=share, verdict="v1", demo=demo)


FULL = Standing(stage=Stage.FULL, share=1.0, verdict="v1")
HELD = Standing(stage=Stage.FULL, share=0.98, verdict="v1")


def test_a_fresh_pass_and_a_healthy_doctor_begin_the_canary() -> None:
    decision = decide(Standing(), GOOD, POLICY)
    assert decision.action is Action.PROMOTE
    assert decision.standing == canary(0.05)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (Facts(), "doctor has not looked"),
        (Facts(doctor_failed=False), "no verdict"),
        (Facts(doctor_failed=True, verdict=Outcome.PASS, verdict_id="v1", fresh=True), "doctor found"),
        (Facts(doctor_failed=False, verdict=Outcome.INCONCLUSIVE, verdict_id="v1", fresh=True), "inconclusive"),
        (Facts(doctor_failed=False, verdict=Outcome.INVALID, verdict_id="v1", fresh=True), "invalid"),
        (Facts(doctor_failed=False, verdict=Outcome.FAIL, verdict_id="v1", fresh=True), "fail"),
        (Facts(doctor_failed=False, verdict=Outcome.PASS, verdict_id="v1", fresh=False), "expired"),
    ],
)
def test_anything_less_than_that_holds_and_says_what_is_missing(facts: Facts, word: str) -> None:
    decision = decide(Standing(), facts, POLICY)
    assert decision.action is Action.HOLD
    assert word in " ".join(decision.reasons)


@pytest.mark.parametrize(("share", "after"), [(0.05, 0.25), (0.25, 0.5), (0.5, 0.98)])
def test_each_step_goes_to_the_next_share_on_evidence(share: float, after: float) -> None:
    decision = decide(canary(share), replace(FOUNDED, candidate=MANY, evidence=QUICK), POLICY)
    assert (decision.action, decision.standing.share) == (Action.PROMOTE, after)
    assert decision.standing.stage is (Stage.FULL if after == 0.98 else Stage.CANARY)


DOUBTED = [
    (Facts(), "there is no verdict"),
    (replace(FOUNDED, fresh=False), "expired"),
    (replace(FOUNDED, verdict=Outcome.INCONCLUSIVE), "the verdict is inconclusive"),
    (replace(FOUNDED, verdict=Outcome.FAIL), "the verdict is fail"),
    (replace(FOUNDED, fresh=False, unasked="vLLM does not answer"), "vLLM does not answer"),
]


@pytest.mark.parametrize("standing", [canary(0.05), canary(0.25), canary(0.5), HELD])
@pytest.mark.parametrize(("facts", "word"), DOUBTED)
def test_a_verdict_that_holds_no_more_holds_the_service_where_it_is(
    standing: Standing, facts: Facts, word: str
) -> None:
    known = replace(facts, candidate=MANY, evidence=QUICK, age_s=POLICY.holdback_s)
    decision = decide(standing, known, POLICY)
    assert (decision.action, decision.standing) == (Action.HOLD, standing)
    assert word in decision.reasons[0]
    assert ("`cutover gate SERVICE`" in decision.reasons[0]) is not bool(facts.unasked)
    assert "`cutover migrate SERVICE` goes on from here" in decision.reasons[0]


def test_a_failing_doctor_holds_a_canary() -> None:
    decision = decide(canary(0.25), replace(FOUNDED, doctor_failed=True, candidate=MANY, evidence=QUICK), POLICY)
    assert decision.action is Action.HOLD
    assert "`cutover doctor SERVICE`" in decision.reasons[0]


def test_an_expired_verdict_keeps_no_worse_engine() -> None:
    decision = decide(canary(0.25), replace(FOUNDED, fresh=False, candidate=MANY, evidence=WORSE), POLICY)
    assert decision.action is Action.ROLLBACK


def test_a_step_is_written_with_the_verdict_that_carried_it() -> None:
    again = replace(FOUNDED, verdict_id="v2", candidate=MANY, evidence=QUICK)
    assert decide(canary(0.05), again, POLICY).standing.verdict == "v2"


def test_answers_that_nobody_timed_hold_a_canary() -> None:
    decision = decide(canary(0.05), replace(FOUNDED, candidate=MANY), POLICY)
    assert decision.action is Action.HOLD
    assert "0 slow answers of 0 timed" in decision.reasons[0]


@pytest.mark.parametrize(("bad", "action"), [(0, Action.PROMOTE), (18, Action.HOLD)])
def test_first_chunks_that_may_be_late_too_often_hold_a_stream(bad: int, action: Action) -> None:
    """Whole answers in time do not make up for it: 18 of 350 is neither surely worse nor surely good enough."""
    found = QUICK.after("slow first chunk", Seen(n=350, bad=bad), Seen(n=350), limit=0.05)
    decision = decide(canary(0.05), replace(FOUNDED, candidate=MANY, evidence=found), POLICY)
    assert decision.action is action
    assert ("18 slow first chunks of 350" in decision.reasons[0]) is (action is Action.HOLD)


def test_time_alone_promotes_nothing() -> None:
    facts = replace(FOUNDED, candidate=Tally(requests=299), evidence=QUICK, age_s=1e9)
    assert decide(canary(0.05), facts, POLICY).action is Action.HOLD
    assert decide(HELD, facts, POLICY).action is Action.HOLD


def test_too_few_requests_hold_a_canary() -> None:
    decision = decide(canary(0.05), replace(FOUNDED, candidate=Tally(requests=299)), POLICY)
    assert (decision.action, decision.standing) == (Action.HOLD, canary(0.05))
    assert "299 of 300" in decision.reasons[0]


def test_an_error_that_leaves_the_bound_above_the_limit_holds() -> None:
    decision = decide(canary(0.05), replace(FOUNDED, candidate=Tally(requests=300, errors=1)), POLICY)
    assert decision.action is Action.HOLD
    assert "could still be" in decision.reasons[0]


@pytest.mark.parametrize("standing", [canary(0.05), canary(0.5), FULL])
def test_five_errors_in_a_row_roll_back_at_once(standing: Standing) -> None:
    decision = decide(standing, Facts(candidate=Tally(requests=5, errors=5, in_a_row=5)), POLICY)
    assert (decision.action, decision.standing.stage) == (Action.ROLLBACK, Stage.ROLLED_BACK)


@pytest.mark.parametrize("standing", [canary(0.05), canary(0.5), HELD, FULL])
def test_an_e_value_of_a_hundred_rolls_back_and_is_told(standing: Standing) -> None:
    decision = decide(standing, Facts(candidate=MANY, evidence=WORSE), POLICY)
    assert decision.action is Action.ROLLBACK
    assert "e-value" in decision.reasons[0]
    assert "errors: 40 of 200 at vLLM, 2 of 200 at Ollama" in decision.reasons[0]


def test_a_machine_that_makes_both_engines_bad_holds() -> None:
    decision = decide(canary(0.25), Facts(candidate=MANY, evidence=ILL), POLICY)
    assert decision.action is Action.HOLD
    assert "the machine is ill" in decision.reasons[0]


def test_a_worse_engine_is_not_left_for_a_dead_one() -> None:
    dead = Tally(requests=50, errors=50, in_a_row=50)
    assert decide(canary(0.25), Facts(evidence=WORSE, control=dead), POLICY).action is Action.HOLD


def test_a_dead_engine_is_left_for_an_ailing_one_when_it_is_surely_worse() -> None:
    """Ollama loses a tenth; five in a row alone would only hold, the e-value says that going back helps."""
    facts = Facts(candidate=Tally(requests=60, errors=60, in_a_row=60), control=Tally(requests=60, errors=6))
    assert decide(canary(0.5), facts, POLICY).action is Action.HOLD
    found = seen("errors", (60, 60), (6, 60), 0.01)
    assert decide(canary(0.5), replace(facts, evidence=found), POLICY).action is Action.ROLLBACK


def test_without_a_control_the_limit_itself_rolls_back() -> None:
    """In full without holdback nobody asks Ollama first."""
    found = seen("errors", (40, 200), (0, 0), 0.01)
    assert decide(FULL, Facts(evidence=found), POLICY).action is Action.ROLLBACK


class TestHoldback:
    ENOUGH = replace(FOUNDED, candidate=MANY, evidence=QUICK)

    def test_full_keeps_a_few_on_ollama_until_the_time_is_over(self) -> None:
        decision = decide(HELD, replace(self.ENOUGH, age_s=POLICY.holdback_s - 3600), POLICY)
        assert decision.action is Action.HOLD
        assert "2% still ask Ollama first, as a control, for 1.0 h" in decision.reasons[0]

    def test_then_everybody_moves(self) -> None:
        decision = decide(HELD, replace(self.ENOUGH, age_s=POLICY.holdback_s), POLICY)
        assert (decision.action, decision.standing) == (Action.PROMOTE, FULL)
        assert "the holdback of 24 h is over" in decision.reasons[0]

    def test_a_clock_that_was_set_back_holds_and_is_named(self) -> None:
        decision = decide(HELD, replace(self.ENOUGH, age_s=-3600.0), POLICY)
        assert decision.action is Action.HOLD
        assert "the clock was set back" in decision.reasons[0]

    def test_a_clock_that_jumped_ahead_releases_nobody_without_traffic(self) -> None:
        assert decide(HELD, replace(FOUNDED, age_s=10 * POLICY.holdback_s), POLICY).action is Action.HOLD

    def test_a_demo_needs_no_holdback(self) -> None:
        decision = decide(canary(0.5, demo=True), Facts(candidate=MANY, demo=True, verdict_id="v1"), POLICY)
        assert decision.standing == Standing(stage=Stage.FULL, share=1.0, verdict="v1", demo=True)

    def test_the_margin_on_slow_answers_is_the_gates_own(self) -> None:
        margins = gates.load().margins
        assert POLICY.slow_margin == margins["e2e_q95"] == margins["ttft_q95"]


def test_both_engines_failing_hold_because_going_back_would_not_help() -> None:
    bad = Tally(requests=6, errors=6, in_a_row=6)
    decision = decide(canary(0.25), Facts(candidate=bad, control=bad), POLICY)
    assert decision.action is Action.HOLD
    assert "both engines fail" in decision.reasons[0]


def test_a_rolled_back_service_needs_a_new_verdict() -> None:
    standing = Standing(stage=Stage.ROLLED_BACK, verdict="v1")
    assert decide(standing, GOOD, POLICY).action is Action.HOLD
    again = Facts(doctor_failed=False, verdict=Outcome.PASS, verdict_id="v2", fresh=True)
    assert decide(standing, again, POLICY).standing.stage is Stage.CANARY


def test_a_demo_needs_no_verdict_and_is_marked() -> None:
    decision = decide(Standing(), Facts(demo=True), POLICY)
    assert decision.standing.demo
    assert decision.action is Action.PROMOTE
    assert "demo" in decision.reasons[0]


def test_a_demo_move_counts_for_nothing_afterwards() -> None:
    shown = Standing(stage=Stage.FULL, share=1.0, demo=True)
    assert decide(shown, Facts(candidate=MANY), POLICY).action is Action.HOLD
    assert decide(shown, GOOD, POLICY).standing == canary(0.05)


TALLIES = st.builds(
    lambda good, bad, row: Tally(requests=good + bad, errors=bad, in_a_row=min(row, bad)),
    st.integers(0, 2000), st.integers(0, 50), st.integers(0, 50),
)  # fmt: skip
STANDINGS = st.one_of(
    st.just(Standing()), st.just(FULL), st.just(HELD), st.just(Standing(stage=Stage.ROLLED_BACK, verdict="v1")),
    st.builds(canary, st.sampled_from([0.05, 0.25, 0.5]), demo=st.booleans()),
)  # fmt: skip
FACTS = st.builds(
    Facts, candidate=TALLIES, control=TALLIES, doctor_failed=st.sampled_from([None, True, False]),
    verdict=st.sampled_from([None, *Outcome]), verdict_id=st.sampled_from([None, "v1", "v2"]), fresh=st.booleans(),
    demo=st.booleans(), evidence=st.sampled_from([Evidence(), QUICK, WORSE, ILL]), age_s=st.sampled_from([0.0, 1e6]),
)  # fmt: skip


@given(standing=STANDINGS, facts=FACTS)
def test_nothing_is_promoted_without_data_or_a_pass(standing: Standing, facts: Facts) -> None:
    decision = decide(standing, facts, POLICY)
    if decision.action is not Action.PROMOTE or facts.demo:
        return
    begins = decision.standing.share == POLICY.steps[0]
    assert facts.verdict is Outcome.PASS
    assert facts.fresh
    assert begins or facts.candidate.requests >= 300


@given(standing=STANDINGS, facts=FACTS)
def test_failure_is_never_answered_with_promotion(standing: Standing, facts: Facts) -> None:
    bad = facts.candidate.in_a_row >= POLICY.consecutive_errors or facts.evidence in (WORSE, ILL)
    if standing.stage in (Stage.CANARY, Stage.FULL) and bad:
        assert decide(standing, facts, POLICY).action is not Action.PROMOTE


@given(standing=STANDINGS, facts=FACTS)
def test_a_hold_changes_nothing_and_every_decision_has_a_reason(standing: Standing, facts: Facts) -> None:
    decision = decide(standing, facts, POLICY)
    assert decision.reasons
    if decision.action is Action.HOLD:
        assert decision.standing == standing


@given(standing=STANDINGS, facts=FACTS)
def test_a_demo_mark_is_never_lost_by_a_demo_move(standing: Standing, facts: Facts) -> None:
    decision = decide(standing, facts, POLICY)
    if decision.action is Action.PROMOTE:
        assert decision.standing.demo is facts.demo
