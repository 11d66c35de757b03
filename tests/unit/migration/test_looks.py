"""When a run may be judged and how surely: looks, attempts, and results that one round decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.migration import gates, looks, measure
from services.migration.judge import judge
from services.migration.records import Record
from services.migration.rounds import RawFile
from services.migration.simulated import Change, World, candidate, dead, run, simulated
from services.migration.verdict import Outcome, Result, Verdict
from tests.unit.migration.house import TOKEN, House

METHOD = gates.load().method


def judged(world: World, change: Change | None = None, *, attempt: int = 1, until: int | None = None) -> Verdict:
    run = simulated(world, change=change)
    records = tuple(r for r in run.records if until is None or r.round < until)
    return judge(replace(run, plan=replace(run.plan, attempt=attempt), records=records))


class TestLooks:
    def test_a_short_run_is_looked_at_once_with_all_there_is_to_spend(self) -> None:
        assert looks.looks(METHOD, rounds=10) == (looks.Look(rounds=10, level=0.975),)

    def test_a_longer_run_shares_it_between_half_time_and_the_end(self) -> None:
        assert [(found.rounds, found.level) for found in looks.looks(METHOD, rounds=21)] == [(11, 0.995), (21, 0.98)]

    @pytest.mark.parametrize("rounds", [1, 10, 20, 35, 400])
    @pytest.mark.parametrize("attempt", [1, 2, 5])
    def test_all_looks_together_spend_no_more_than_one_would(self, rounds: int, attempt: int) -> None:
        spent = sum(1 - look.level for look in looks.looks(METHOD, rounds=rounds, attempt=attempt))
        assert spent == pytest.approx((1 - METHOD.level) / 2 ** (attempt - 1))

    def test_all_attempts_for_ever_spend_at_most_twice_the_first(self) -> None:
        assert sum(looks.alpha(METHOD, k) for k in range(1, 60)) == pytest.approx(2 * looks.alpha(METHOD, 1))

    def test_between_looks_nothing_is_decided(self) -> None:
        world = World(slower=3.0, rounds=40)
        assert judged(world, until=20).outcome is Outcome.FAIL
        verdict = judged(world, until=27)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "judged before its look at 40 rounds, so nothing is decided yet" in verdict.reasons
        assert verdict.next.rounds_needed == 13
        assert (verdict.plan["look"], verdict.plan["looks"]) == (None, 2)

    def test_the_first_look_is_held_to_a_stricter_level(self) -> None:
        verdicts = [judged(World(slower=0.5, rounds=40), until=rounds) for rounds in (20, 40)]
        assert [v.metrics[0].level for v in verdicts] == [0.995, 0.98]

    def test_a_further_attempt_is_held_to_a_stricter_level_and_says_so(self) -> None:
        verdict = judged(World(slower=0.5, rounds=40), attempt=3)
        assert verdict.metrics[0].level == 0.995
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert any(reason.startswith("attempt 3 at the same engines and recipe") for reason in verdict.reasons)

    @pytest.mark.parametrize(("looked", "spend"), [((0.5, 0.9), (0.5, 0.5)), ((0.5, 1.0), (0.5, 0.6)), ((1.0,), ())])
    def test_thresholds_that_spend_too_much_or_never_end_are_refused(
        self, looked: tuple[float, ...], spend: tuple[float, ...]
    ) -> None:
        with pytest.raises(ValueError, match="must rise"):
            gates._spent(replace(METHOD, looks=looked, spend=spend))


class TestOneRound:
    def test_errors_in_one_round_alone_do_not_fail_an_engine(self) -> None:
        def hiccup(record: Record) -> Record:
            return dead(record) if record.round == 7 else record

        errors = judged(World(slower=0.5, rounds=20), candidate(hiccup)).metric("errors")
        assert errors is not None
        assert errors.result is Result.INCONCLUSIVE
        assert errors.note == "fail hangs on round 7 alone"

    def test_errors_in_two_rounds_do(self) -> None:
        def ill(record: Record) -> Record:
            return dead(record) if record.round in (7, 12) else record

        assert judged(World(slower=0.5, rounds=20), candidate(ill)).outcome is Outcome.FAIL

    def test_quality_lost_in_one_round_alone_does_not_fail_an_engine(self) -> None:
        def dull(record: Record) -> Record:
            return replace(record, quality={"keyword_recall": 0.0 if record.round < 2 else 0.79})

        verdict = judged(World(slower=0.5, rounds=20, items=20), candidate(dull))
        quality = verdict.metric("quality", "keyword_recall")
        assert quality is not None
        assert (quality.result, quality.note[:4]) == (Result.INCONCLUSIVE, "fail")


class TestGate:
    async def test_a_clear_case_ends_at_half_time_and_is_not_gone_on_with(self, house: House) -> None:
        house.vllm_fails = True
        verdicts = [
            await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=20, seams=house.seams)
            for _ in range(2)
        ]
        assert [v.outcome for v in verdicts] == [Outcome.FAIL] * 2
        assert [v.plan["rounds_measured"] for v in verdicts] == [10, 10]
        assert verdicts[0].raw.records != verdicts[1].raw.records

    async def test_runs_too_short_to_pass_are_no_attempts_and_others_are(self, house: House) -> None:
        house.items, attempts = 60, []
        for rounds in (10, 200, 201):
            verdict = await measure.gate(
                house.settings, house.service, house.recipe, TOKEN, rounds=rounds, seams=house.seams
            )
            attempts.append(verdict.plan["attempt"])
        assert attempts == [1, 1, 2]

    @pytest.mark.parametrize(
        ("before", "now", "number"), [("", "", 2), ("a", "a", 2), ("a", "", 2), ("", "a", 2), ("a", "b", 1)]
    )
    def test_looking_from_elsewhere_makes_no_attempt_cheaper_and_another_flag_is_another_engine(
        self, tmp_path: Path, before: str, now: str, number: int
    ) -> None:
        done = run(World(rounds=100))
        seen = (replace(done.plan.candidate, started_with=start) for start in (before, now))
        earlier, later = (replace(done.plan, candidate=engine) for engine in seen)
        RawFile(tmp_path / "raw" / f"{later.service}-earlier.jsonl").append([earlier, *done.records])
        assert measure.attempt(tmp_path, later) == number

    async def test_a_verdict_by_other_rules_has_expired(self, house: House) -> None:
        verdict = await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)
        run = measure.read(house.state / "raw" / verdict.raw.records)
        described, recipe, now = (run.plan.baseline, run.plan.candidate), run.plan.recipe_sha256, house.seams.now()
        assert measure.fresh(verdict, described, recipe, now=now)
        other = replace(verdict, plan={**verdict.plan, "rules_sha256": "other"})
        assert not measure.fresh(other, described, recipe, now=now)

    async def test_a_verdict_from_the_future_has_no_age_and_is_not_fresh(self, house: House) -> None:
        verdict = await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)
        run = measure.read(house.state / "raw" / verdict.raw.records)
        described, recipe, now = (run.plan.baseline, run.plan.candidate), run.plan.recipe_sha256, house.seams.now()
        assert measure.fresh(verdict, described, recipe, now=now - timedelta(minutes=1))
        assert not measure.fresh(verdict, described, recipe, now=now - timedelta(hours=1))
