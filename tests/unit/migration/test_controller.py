"""A whole migration against the fake world: steps on evidence, going back, kills at every write, demo moves."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from services.llm.rollout import FILE_NAME, Stage
from services.migration import facts, ledger, rollout
from services.migration.controller import history, rollback
from services.migration.errors import EngineUnreachable, LockHeld, Superseded
from services.migration.stages import Action
from services.migration.verdict import Outcome
from tests.unit.migration.house import House
from tests.unit.migration.moving import ALL_STEPS, DEMO_STEPS, go, passed, steps, users


async def test_a_pass_moves_a_service_step_by_step_on_evidence(house: House) -> None:
    verdict = await passed(house)
    result = await go(house, traffic=users(house))
    assert steps(house) == ALL_STEPS
    assert (result.standing.stage, result.exit_code) == (Stage.FULL, 0)
    assert {e.verdict for e in history(house.settings)} == {verdict.id}
    assert rollout.stored(house.state)[0].standing("notes") == result.standing


async def test_each_step_counts_only_what_came_since_it_began(house: House) -> None:
    await passed(house)
    house.attempts["vllm", "none"] = 10_000
    result = await go(house, traffic=users(house, good=1, polls=20))
    assert (result.standing.share, result.action) == (0.05, Action.HOLD)


async def test_a_second_migrate_says_that_it_is_there_already(house: House) -> None:
    await passed(house)
    await go(house, traffic=users(house))
    again = await go(house)
    assert (again.moves, again.exit_code) == ((), 0)
    assert "2% still ask Ollama first" in again.reasons[0]


async def test_errors_in_a_row_take_the_service_back(house: House) -> None:
    await passed(house)
    result = await go(house, traffic=users(house, good=0, bad=3))
    assert steps(house) == [("canary", 0.05), ("rolled_back", 0.0)]
    assert (result.action, result.exit_code) == (Action.ROLLBACK, 1)
    held = await go(house)
    assert "rolled back" in held.reasons[0]


async def test_an_engine_three_times_slower_goes_back(house: House) -> None:
    """Slow is told by Ollama's own answers: beyond 1.2 times their 95 % quantile, at the next edge of the histogram."""
    await passed(house)
    house.speed["vllm"] = 3.0
    result = await go(house, traffic=users(house, good=20))
    assert steps(house) == [("canary", 0.05), ("rolled_back", 0.0)]
    assert "e-value" in result.reasons[0]
    assert "slow" in result.reasons[0]


async def test_answers_that_are_now_and_then_late_hold_the_service_where_it_is(house: House) -> None:
    """Six of a hundred late, where five may be: not surely worse, not surely good enough either."""
    await passed(house)
    result = await go(house, traffic=users(house, good=50, late=3, polls=8))
    assert (result.standing.share, result.action) == (0.05, Action.HOLD)
    assert "slow answers" in result.reasons[0]


async def test_answers_that_ollama_gave_for_a_dead_vllm_are_errors_of_vllm(house: House) -> None:
    """Behind an open breaker nobody tries vLLM any more, so only the fallbacks tell of it."""
    await passed(house)

    def dead() -> None:
        house.passed_over["vllm", "breaker_open"] += 3
        house.attempts["ollama", "none"] += 3

    result = await go(house, traffic=dead)
    assert result.standing.stage is Stage.ROLLED_BACK
    assert "6 errors in a row" in result.reasons[0]


async def test_what_a_last_resort_answers_counts_for_nobody(house: House) -> None:
    await passed(house)

    def outside() -> None:
        house.attempts["anthropic", "none"] += 500
        house.attempts["ollama", "none"] += 500

    result = await go(house, traffic=outside)
    assert "0 of 300" in result.reasons[0]


async def test_errors_that_are_more_than_ollamas_go_back_with_the_e_value(house: House) -> None:
    await passed(house)
    result = await go(house, traffic=users(house, good=16, bad=4))
    assert result.standing.stage is Stage.ROLLED_BACK
    assert "e-value" in result.reasons[0]
    assert history(house.settings, "notes")[-1].evidence["e_value"] >= 100


async def test_when_both_engines_fail_the_canary_is_held(house: House) -> None:
    await passed(house)

    left = [3]

    def storm() -> None:
        left[0] -= 1
        if left[0] < 0:
            return
        house.attempts["vllm", "connect"] += 3
        house.attempts["ollama", "connect"] += 3

    result = await go(house, traffic=storm)
    assert result.standing.share == 0.05
    assert "both engines fail" in result.reasons[0]


async def test_a_canary_without_traffic_is_left_standing(house: House) -> None:
    await passed(house)
    result = await go(house)
    assert (result.standing.share, result.exit_code) == (0.05, 2)
    assert "goes on from 5%" in result.reasons[-1]


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.FAIL, Outcome.INVALID])
async def test_any_verdict_but_a_pass_moves_nothing(house: House, outcome: Outcome) -> None:
    await passed(house, outcome=outcome)
    result = await go(house, traffic=users(house))
    assert (steps(house), result.action) == ([], Action.HOLD)
    assert str(outcome) in result.reasons[0]


async def test_without_a_verdict_the_gate_is_run_and_a_small_one_moves_nothing(house: House) -> None:
    result = await go(house)
    assert result.verdict is not None
    assert result.verdict.outcome is Outcome.INCONCLUSIVE
    assert steps(house) == []


async def test_a_verdict_of_another_engine_version_is_measured_anew(house: House) -> None:
    await passed(house)
    house.answers["vllm /version"] = lambda _: httpx2.Response(200, json={"version": "0.33.0"})
    result = await go(house, traffic=users(house))
    assert result.verdict is not None
    assert result.verdict.arms["candidate"].version == "0.33.0"
    assert steps(house) == []


async def test_a_failing_doctor_moves_nothing(house: House) -> None:
    await passed(house)
    house.answers["vllm /v1/models"] = lambda _: httpx2.Response(200, json={"data": []})
    result = await go(house, traffic=users(house))
    assert (steps(house), result.exit_code) == ([], 1)
    assert "doctor" in result.reasons[0]


class TestDemo:
    async def test_a_demo_shows_the_whole_move_and_marks_every_line(self, house: House) -> None:
        result = await go(house, demo=True)
        assert steps(house) == DEMO_STEPS
        assert result.standing.demo
        assert all(e.demo for e in history(house.settings))

    async def test_a_demo_drives_both_arms(self, house: House) -> None:
        await go(house, demo=True)
        assert min(house.attempts["vllm", "none"], house.attempts["ollama", "none"]) >= 12

    async def test_a_demo_with_a_failing_vllm_goes_back(self, house: House) -> None:
        def fail() -> None:
            house.vllm_fails = True

        result = await go(house, demo=True, traffic=fail)
        assert result.standing.stage is Stage.ROLLED_BACK

    async def test_a_demo_is_no_evidence_for_a_real_move(self, house: House) -> None:
        await go(house, demo=True)
        await passed(house)
        await go(house, traffic=users(house))
        assert steps(house) == DEMO_STEPS + ALL_STEPS
        assert [e.demo for e in history(house.settings)] == [True] * 4 + [False] * 4


class TestBadLuck:
    @pytest.mark.parametrize("act", ["append", "project"])
    @pytest.mark.parametrize("step", [1, 2, 3, 4])
    async def test_a_controller_killed_at_any_write_is_gone_on_with(
        self, house: House, monkeypatch: pytest.MonkeyPatch, step: int, act: str
    ) -> None:
        await passed(house)
        calls = [0]
        room = ledger if act == "append" else rollout
        real = getattr(room, act)

        def killed(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == step + (act == "project"):  # the first projection is the one before any step
                raise KeyboardInterrupt
            return real(*args, **options)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(room, act, killed)
            await go(house, traffic=users(house))
        result = await go(house, traffic=users(house))
        assert steps(house) == ALL_STEPS
        assert rollout.stored(house.state)[0].standing("notes") == result.standing

    async def test_a_controller_started_anew_goes_on_with_the_same_e_value(self, house: House) -> None:
        await passed(house)
        some = users(house, good=48, bad=2, polls=2)

        def kill() -> None:
            some()
            if polls and polls.pop():
                raise KeyboardInterrupt

        def weighed() -> float:
            found = facts.kept(house.state, "notes")
            return found.watch.evidence.e_value(looks=4) if found else 0.0

        polls = [True, False]
        with pytest.raises(KeyboardInterrupt):
            await go(house, traffic=kill)
        before = weighed()
        await go(house)
        again = weighed()
        await go(house)
        assert before > 0
        assert again == weighed()
        assert again > before  # the reading that the killed controller had not made

    async def test_evidence_counts_from_the_step_even_across_a_kill(self, house: House) -> None:
        await passed(house)
        polls = [0]

        def kill() -> None:
            polls[0] += 1
            house.attempts["vllm", "none"] += 200
            house.attempts["ollama", "none"] += 200
            if polls[0] == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await go(house, traffic=kill)
        result = await go(house)
        assert steps(house) == ALL_STEPS[:2]
        assert result.standing.share == 0.25

    async def test_a_restarted_service_does_not_confuse_the_counts(self, house: House) -> None:
        await passed(house)
        house.attempts["vllm", "none"] = 5_000
        polls = [0]

        def restart() -> None:
            polls[0] += 1
            house.attempts["vllm", "none"] = 40 if polls[0] == 1 else 60

        result = await go(house, traffic=restart)
        assert "60 of 300" in result.reasons[0]

    async def test_a_rollback_wins_over_a_controller_at_work(self, house: House) -> None:
        await passed(house)

        def take_back() -> None:
            rollback(house.settings, "notes", "it feels slow")

        with pytest.raises(Superseded, match="operator moved notes to rolled_back"):
            await go(house, traffic=take_back)
        assert rollout.stored(house.state)[0].standing("notes").stage is Stage.ROLLED_BACK

    async def test_two_controllers_cannot_both_act(self, house: House) -> None:
        with rollout.controller_lock(house.state, service="rag"), pytest.raises(LockHeld):
            await go(house)

    async def test_a_rollout_file_of_nonsense_is_mended_before_the_first_step(self, house: House) -> None:
        await passed(house)
        house.state.mkdir(parents=True, exist_ok=True)
        (house.state / FILE_NAME).write_text("stage: everything!")
        await go(house, traffic=users(house))
        assert rollout.stored(house.state)[1] is None

    async def test_a_dead_service_is_told_and_nothing_moves(self, house: House) -> None:
        await passed(house)
        house.service_down = True
        with pytest.raises(EngineUnreachable):
            await go(house)
        assert steps(house) == []

    async def test_a_rollback_works_with_everything_dead(self, house: House) -> None:
        await passed(house)
        await go(house, traffic=users(house))
        house.service_down, house.refused = True, frozenset({"ollama", "vllm"})
        assert rollback(house.settings, "notes").stage is Stage.ROLLED_BACK
