"""How scores become a verdict: several metrics, a recipe's own margins, promises kept, and files that were changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.migration import gates, records
from services.migration.errors import GateError
from services.migration.gates import Override
from services.migration.judge import judge
from services.migration.records import Record, Run, Side
from services.migration.simulated import World, candidate, dead, raw, simulated
from services.migration.verdict import Kind, Metric, Outcome, Result, Verdict
from tests.unit.migration.forged import resealed

BOTH = {"answer_match": 0.8, "retrieval_ndcg": 1.0, "answer_f1": 0.4}


def scored(record: Record) -> Record:
    return replace(record, quality=BOTH if record.answered else {})


def rag(change=None, **plan: object) -> Verdict:  # type: ignore[no-untyped-def]
    """The verdict of an engine twice as fast whose recipe judges two metrics and shows a third."""
    run = simulated(World(slower=0.5, rounds=40))
    found = [scored(r) for r in run.records]
    plan = {"quality": ("answer_match", "retrieval_ndcg"), "shown": ("answer_f1",), **plan}
    changed = tuple(map(change, found)) if change else tuple(found)
    return judge(replace(run, plan=replace(run.plan, **plan), records=changed))


def worse(**scores: float) -> object:
    return candidate(lambda r: replace(r, quality={**r.quality, **scores} if r.quality else {}))


def metric(verdict: Verdict, name: str, stat: str = "") -> Metric:
    found = verdict.metric(name, stat)
    assert found is not None
    return found


class TestSeveralMetrics:
    def test_each_is_told_by_its_name_and_the_shown_one_gates_nothing(self) -> None:
        verdict = rag()
        results = {m.stat: (m.result, m.required) for m in verdict.metrics if m.name == "quality"}
        assert results == {
            "answer_match": (Result.PASS, True),
            "retrieval_ndcg": (Result.PASS, True),
            "answer_f1": (Result.INFO, False),
        }
        assert verdict.outcome is Outcome.PASS

    def test_one_that_is_worse_is_enough_to_fail(self) -> None:
        verdict = rag(worse(retrieval_ndcg=0.9))
        assert metric(verdict, "quality", "retrieval_ndcg").result is Result.FAIL
        assert metric(verdict, "quality", "answer_match").result is Result.PASS
        assert verdict.outcome is Outcome.FAIL
        assert any(reason.startswith("quality retrieval_ndcg: -10.0 points") for reason in verdict.reasons)

    def test_a_shown_one_that_is_worse_is_seen_and_does_not_fail(self) -> None:
        verdict = rag(worse(answer_f1=0.1))
        assert metric(verdict, "quality", "answer_f1").effect == pytest.approx(-0.3)
        assert verdict.outcome is Outcome.PASS

    def test_a_metric_that_nobody_scored_leaves_it_open(self) -> None:
        verdict = rag(lambda r: replace(r, quality={"answer_match": 0.8}))
        assert metric(verdict, "quality", "retrieval_ndcg").result is Result.INCONCLUSIVE
        assert verdict.outcome is Outcome.INCONCLUSIVE

    def test_items_without_gold_count_for_time_only(self) -> None:
        """Of 60 items three are without gold: times rest on all, quality on the others."""
        bare = {f"i{n:02d}" for n in range(3)}
        verdict = rag(lambda r: replace(r, quality={}) if r.item in bare else r)
        assert metric(verdict, "e2e", "q50").n_candidate == 400
        assert metric(verdict, "quality", "answer_match").result is Result.PASS
        assert verdict.outcome is Outcome.PASS


class TestOwnMargins:
    def test_a_stricter_one_is_held_to(self) -> None:
        changed = worse(answer_match=0.795)
        assert rag(changed).outcome is Outcome.PASS
        strict = rag(changed, overrides={"quality_answer_match": Override(margin=0.001)})
        assert metric(strict, "quality", "answer_match").margin == 0.001
        assert strict.outcome is Outcome.FAIL
        assert not any("laxer" in reason for reason in strict.reasons)

    def test_a_laxer_one_is_said_with_its_reason(self) -> None:
        own = {"quality_answer_match": Override(margin=0.2, why="the new model answers shorter")}
        verdict = rag(worse(answer_match=0.7), overrides=own)
        assert verdict.outcome is Outcome.PASS
        told = "margin of quality_answer_match: 0.2 by the recipe, laxer than 0.05: the new model answers shorter"
        assert told in verdict.reasons
        assert verdict.plan["margins_of_the_recipe"]["quality_answer_match"]["margin"] == 0.2

    def test_the_rules_of_the_house_stay_the_ones_that_a_verdict_is_held_to(self) -> None:
        """A recipe's own margins are in its hash; `gates.toml` is in the rules' hash."""
        own = rag(overrides={"errors": Override(margin=0.005)})
        rules = gates.load()
        assert own.plan["rules_sha256"] == gates.digest(rules.method, rules.margins)


class TestPromises:
    def test_the_share_in_time_is_shown_and_never_gates(self) -> None:
        verdict = rag(slo={"e2e": 0.01})
        found = metric(verdict, "goodput")
        assert (found.kind, found.result, found.required) == (Kind.DIFFERENCE, Result.INFO, False)
        assert (found.baseline, found.candidate) == (0.0, 0.0)
        assert verdict.outcome is Outcome.PASS

    def test_an_engine_twice_as_fast_keeps_more_of_them(self) -> None:
        found = metric(rag(slo={"e2e": 1.0}), "goodput")
        assert found.effect is not None and found.low is not None
        assert found.effect > found.low > 0.2
        assert found.definition == "share of requests answered within e2e 1 s"

    def test_a_failed_request_was_not_in_time(self) -> None:
        verdict = rag(candidate(dead), slo={"e2e": 3600.0})
        assert (metric(verdict, "goodput").baseline, metric(verdict, "goodput").candidate) == (1.0, 0.0)

    def test_an_answer_without_a_first_word_was_not_in_time(self) -> None:
        assert metric(rag(slo={"ttft": 3600.0}), "goodput").candidate == 0.0

    def test_without_a_promise_there_is_no_such_share(self) -> None:
        assert rag().metric("goodput") is None


def parsed(old: str, new: str) -> Run:
    data = raw(World(rounds=2)).decode()
    assert old in data
    return records.parse(resealed(data.replace(old, new).encode()), name="a.jsonl")


class TestChangedFiles:
    @pytest.mark.parametrize("score", ["NaN", "Infinity", "-0.1", "1.5", '"much"'])
    def test_a_score_that_is_none_is_refused(self, score: str) -> None:
        with pytest.raises(GateError, match=r"a\.jsonl line 2 is not a record: quality\.keyword_recall"):
            parsed('"keyword_recall": 0.8', f'"keyword_recall": {score}')

    def test_a_score_that_the_plan_does_not_name_is_refused(self) -> None:
        with pytest.raises(GateError, match="a score that its plan does not name"):
            parsed('"keyword_recall": 0.8', '"answer_f1": 0.8')

    @pytest.mark.parametrize("name", ["quality_keyword_recall", "errors", "e2e_q95"])
    def test_a_plan_without_one_of_its_margins_is_refused(self, name: str) -> None:
        with pytest.raises(GateError, match=rf"a\.jsonl line 1: margins: no {name}"):
            parsed(f'"{name}": ', f'"un{name}": ')

    def test_a_verdict_needs_nothing_but_its_file(self) -> None:
        """The scores are in it, by name, for each answer; so no library takes part in judging."""
        line = json.loads(raw(World(rounds=2)).splitlines()[1])
        assert line["quality"] == {"keyword_recall": 0.8}


def test_open_loop_arrivals_are_told_in_the_plan() -> None:
    load = rag(rate=0.5).plan["load"]
    assert (load["kind"], load["rate"]) == ("poisson", 0.5)
    assert rag().plan["load"]["kind"] == "closed"


def test_both_sides_of_a_pair_must_be_scored() -> None:
    verdict = rag(lambda r: replace(r, quality={}) if r.side is Side.BASELINE else r)
    assert metric(verdict, "quality", "answer_match").baseline is None
    assert verdict.outcome is Outcome.INCONCLUSIVE
