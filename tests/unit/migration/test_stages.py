"""Where a service goes next: each row of the table, and what must hold for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.rollout import Stage, Standing
from services.migration import gates
from services.migration.stages import Action, Facts, Tally, decide
from services.migration.verdict import Outcome

POLICY = gates.load().policy
GOOD = Facts(doctor_failed=False, verdict=Outcome.PASS, verdict_id="v1", fresh=True)
MANY = Tally(requests=300)


def canary(share: float, *, demo: bool = False) -> Standing:
    return Standing(stage=Stage.CANARY, share=share, verdict="v1", demo=demo)


FULL = Standing(stage=Stage.FULL, share=1.0, verdict="v1")


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


@pytest.mark.parametrize(("share", "after"), [(0.05, 0.25), (0.25, 0.5), (0.5, 1.0)])
def test_each_step_goes_to_the_next_share_on_evidence(share: float, after: float) -> None:
    decision = decide(canary(share), Facts(candidate=MANY, verdict_id="v1"), POLICY)
    assert (decision.action, decision.standing.share) == (Action.PROMOTE, after)
    assert decision.standing.stage is (Stage.FULL if after == 1.0 else Stage.CANARY)


def test_too_few_requests_hold_a_canary() -> None:
    decision = decide(canary(0.05), Facts(candidate=Tally(requests=299)), POLICY)
    assert (decision.action, decision.standing) == (Action.HOLD, canary(0.05))
    assert "299 of 300" in decision.reasons[0]


def test_an_error_that_leaves_the_bound_above_the_limit_holds() -> None:
    decision = decide(canary(0.05), Facts(candidate=Tally(requests=300, errors=1)), POLICY)
    assert decision.action is Action.HOLD


@pytest.mark.parametrize("standing", [canary(0.05), canary(0.5), FULL])
def test_five_errors_in_a_row_roll_back_at_once(standing: Standing) -> None:
    decision = decide(standing, Facts(candidate=Tally(requests=5, errors=5, in_a_row=5)), POLICY)
    assert (decision.action, decision.standing.stage) == (Action.ROLLBACK, Stage.ROLLED_BACK)


def test_a_rate_that_is_surely_above_the_limit_rolls_back() -> None:
    decision = decide(canary(0.25), Facts(candidate=Tally(requests=100, errors=10, in_a_row=1)), POLICY)
    assert decision.action is Action.ROLLBACK


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
    st.just(Standing()), st.just(FULL), st.just(Standing(stage=Stage.ROLLED_BACK, verdict="v1")),
    st.builds(canary, st.sampled_from([0.05, 0.25, 0.5]), demo=st.booleans()),
)  # fmt: skip
FACTS = st.builds(
    Facts, candidate=TALLIES, control=TALLIES, doctor_failed=st.sampled_from([None, True, False]),
    verdict=st.sampled_from([None, *Outcome]), verdict_id=st.sampled_from([None, "v1", "v2"]), fresh=st.booleans(),
    demo=st.booleans(),
)  # fmt: skip


@given(standing=STANDINGS, facts=FACTS)
def test_nothing_is_promoted_without_data_or_a_pass(standing: Standing, facts: Facts) -> None:
    decision = decide(standing, facts, POLICY)
    if decision.action is not Action.PROMOTE or facts.demo:
        return
    begins = decision.standing.share == POLICY.steps[0]
    evidence = facts.verdict is Outcome.PASS and facts.fresh if begins else facts.candidate.requests >= 300
    assert evidence


@given(standing=STANDINGS, facts=FACTS)
def test_failure_is_never_answered_with_promotion(standing: Standing, facts: Facts) -> None:
    if standing.stage in (Stage.CANARY, Stage.FULL) and facts.candidate.in_a_row >= POLICY.consecutive_errors:
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
