"""The judge on simulated engines: what must pass, what never may, and what it says about it."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from services.migration import records
from services.migration.errors import GateError
from services.migration.judge import judge
from services.migration.records import Record, Side
from services.migration.simulated import Change, World, candidate, dead, fallback, raw, run, simulated
from services.migration.verdict import Outcome, Result, Verdict

SEEDS = (1, 2)


@functools.cache
def judged(world: World) -> Verdict:
    """The verdict of a world as it is, judged once for all tests."""
    return judge(run(world))


def outcome(world: World, change: Change | None = None) -> Outcome:
    return judge(run(world, change=change)).outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_twice_as_fast_passes_with_enough_rounds(seed: int) -> None:
    verdict = judged(World(slower=0.5, rounds=40, seed=seed))
    assert verdict.outcome is Outcome.PASS
    assert verdict.may_promote
    assert verdict.next.action == "promote"


@pytest.mark.parametrize("seed", SEEDS)
def test_identical_engines_do_not_fail(seed: int) -> None:
    assert outcome(World(seed=seed)) is not Outcome.FAIL


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_30_percent_worse_never_passes(seed: int) -> None:
    assert outcome(World(slower=1.3, seed=seed)) is not Outcome.PASS


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_twice_as_slow_fails(seed: int) -> None:
    assert outcome(World(slower=2.0, seed=seed)) is Outcome.FAIL


def test_answers_of_the_fallback_are_errors_of_the_candidate() -> None:
    verdict = judge(run(World(slower=0.5, rounds=12), change=candidate(fallback)))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.arms["candidate"].fallbacks == 120


def test_a_candidate_that_now_and_then_falls_back_never_passes() -> None:
    def sometimes(record: Record) -> Record:
        return fallback(record) if record.position == 0 else record

    assert outcome(World(slower=0.5, rounds=40), candidate(sometimes)) is not Outcome.PASS


def test_a_dead_candidate_fails_even_in_few_rounds() -> None:
    assert outcome(World(rounds=4, block=4), candidate(dead)) is Outcome.FAIL


def test_both_engines_dead_is_no_comparison() -> None:
    assert outcome(World(rounds=4), dead) is Outcome.INVALID


def test_different_prompt_tokens_make_the_experiment_invalid() -> None:
    verdict = judge(run(World(slower=0.5, rounds=12), change=candidate(lambda r: replace(r, prompt_tokens=80))))
    assert verdict.outcome is Outcome.INVALID
    assert any(reason.startswith("same work in") for reason in verdict.reasons)


def test_one_item_with_another_prompt_is_enough() -> None:
    def one(record: Record) -> Record:
        return replace(record, prompt_tokens=80) if record.item == "i07" else record

    assert outcome(World(slower=0.5, rounds=12), candidate(one)) is Outcome.INVALID


def test_uncounted_prompts_make_the_experiment_invalid() -> None:
    assert outcome(World(rounds=12), candidate(lambda r: replace(r, prompt_tokens=None))) is Outcome.INVALID


def test_an_ollama_arm_answered_by_vllm_is_invalid() -> None:
    def swapped(record: Record) -> Record:
        return replace(record, served_by="vllm")

    assert outcome(World(rounds=12), swapped) is Outcome.INVALID


def test_a_throttled_load_generator_is_invalid() -> None:
    def late(record: Record) -> Record:
        return replace(record, scheduled_s=record.scheduled_s - 0.5)

    assert outcome(World(rounds=12), late) is Outcome.INVALID


def test_ollama_unlike_itself_is_invalid() -> None:
    def drift(record: Record) -> Record:
        return replace(record, end_s=record.end_s + 2.0) if record.side is Side.AGAIN else record

    verdict = judge(run(World(slower=0.5, rounds=18), change=drift))
    assert verdict.outcome is Outcome.INVALID
    assert any("noise floor" in reason for reason in verdict.reasons)


def test_speed_with_worse_answers_fails() -> None:
    worse = candidate(lambda r: replace(r, quality={"keyword_recall": 0.5}))
    assert outcome(World(slower=0.5, rounds=12), worse) is Outcome.FAIL


def test_speed_with_misshapen_answers_fails() -> None:
    broken = candidate(lambda r: replace(r, contract_ok=r.position % 2 == 0))
    assert outcome(World(slower=0.5, rounds=12), broken) is Outcome.FAIL


def test_rare_requests_seventy_times_slower_never_pass() -> None:
    def rare(record: Record) -> Record:
        slow = record.position == 3 and record.round % 4 == 0
        return replace(record, end_s=record.end_s + 70) if slow else record

    assert outcome(World(rounds=40), candidate(rare)) is not Outcome.PASS


def test_doubled_variance_never_passes() -> None:
    def wild(record: Record) -> Record:
        return replace(record, end_s=record.sent_s + record.e2e_s * (3.0 if record.position % 2 else 0.4))

    assert outcome(World(rounds=40), candidate(wild)) is not Outcome.PASS


def test_a_few_very_slow_requests_show_in_the_mean_and_as_stalled() -> None:
    verdict = judge(simulated(World(slower=0.5, rounds=40, rare=0.02)))
    results = {m.title: m.result for m in verdict.metrics}
    assert (results["e2e q50"], results["e2e q95"], results["e2e paired"]) == (Result.PASS,) * 3
    assert Result.PASS not in (results["e2e mean"], results["stalled"])
    assert verdict.outcome is not Outcome.PASS


def test_doubled_variance_shows_in_the_spread() -> None:
    worlds = [World(rounds=60, scatter=scatter, seed=3) for scatter in (1.0, 2.0)]
    spreads = [judge(simulated(world)).metric("e2e", "spread") for world in worlds]
    effects = [s.effect for s in spreads if s is not None and s.effect is not None]
    assert effects[0] == pytest.approx(1.0, abs=0.15)
    assert effects[1] == pytest.approx(2**0.5, abs=0.2)


def test_ollama_apart_from_itself_weakens_what_is_said_of_vllm() -> None:
    def uneven(record: Record) -> Record:
        slow = record.side is Side.AGAIN and record.round % 6 == 0
        return replace(record, end_s=record.end_s + 0.8) if slow else record

    found = [judge(simulated(World(rounds=60, spread=0.05), change=c)).metric("e2e", "paired") for c in (None, uneven)]
    assert [m.result for m in found if m] == [Result.PASS, Result.INCONCLUSIVE]
    assert found[1] is not None
    assert found[1].note.startswith("this machine is too noisy: ollama differs from itself by")


def test_a_file_of_older_rules_is_refused_by_its_version() -> None:
    old = raw(World(rounds=2)).replace(b'"schema_version": 3', b'"schema_version": 2')
    with pytest.raises(GateError, match=r"schema_version 2, this program reads 3.*measure anew"):
        records.parse(old, name="a.jsonl")


def test_too_few_rounds_are_inconclusive_and_say_how_many_are_missing() -> None:
    verdict = judge(run(World(slower=0.5, rounds=4)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    errors = next(reason for reason in verdict.reasons if reason.startswith("errors"))
    assert errors == "errors: 0 of 40; could still be 8.8%, limit 1%; about 35 more rounds settle it"
    assert verdict.next.rounds_needed is not None
    assert verdict.next.rounds_needed >= 35


def test_too_few_items_leave_quality_open() -> None:
    verdict = judged(World(slower=0.5, rounds=12, items=12))
    quality = verdict.metric("quality", "keyword_recall")
    assert quality is not None
    assert (quality.result, quality.note) == (Result.INCONCLUSIVE, "12 items; 20 are the least")


def test_a_result_that_hangs_on_one_round_is_none() -> None:
    def one_bad_round(record: Record) -> Record:
        return replace(record, end_s=record.end_s + 400) if record.round == 5 else record

    verdict = judge(run(World(slower=0.9, rounds=12), change=candidate(one_bad_round)))
    throughput = verdict.metric("throughput")
    assert throughput is not None
    assert throughput.result is Result.INCONCLUSIVE


def test_a_streamed_run_also_compares_the_first_token() -> None:
    verdict = judge(run(World(slower=0.5, rounds=12, stream=True)))
    assert verdict.metric("ttft", "q50") is not None
    assert judged(World(rounds=12)).metric("ttft", "q50") is None


def test_a_plan_without_records_is_inconclusive() -> None:
    plan_only = raw(World()).split(b"\n")[0] + b"\n"
    verdict = judge(records.parse(plan_only, name="x"))
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_an_improvement_is_claimed_only_by_its_lower_bound() -> None:
    verdict = judged(World(slower=0.5, rounds=40))
    metric = verdict.metric("e2e", "q50")
    assert metric is not None
    assert metric.high is not None
    claim = next(reason for reason in verdict.reasons if reason.startswith("e2e q50"))
    assert f"at least {int(10 / metric.high) / 10:.1f}x better" in claim
