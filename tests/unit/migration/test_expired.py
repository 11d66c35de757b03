"""What a canary began on must still hold at each step: a fresh pass about the engines as they are then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest

from services.llm.rollout import Stage
from services.migration import kept_findings
from services.migration.controller import history
from services.migration.doctor import doctor
from services.migration.findings import compared
from services.migration.stages import Action
from services.migration.verdict import Outcome
from tests.unit.migration.house import TOKEN, House
from tests.unit.migration.moving import ALL_STEPS, DEMO_STEPS, POLICY, go, passed, steps, users

DAY_S = 86400.0
BAD = compared("prompt tokens, several turns", "16", "17", fail="the templates differ")


def some(house: House, polls: int = 4) -> Callable[[], None]:
    """Users who come for so many looks of the controller and then stay away, which ends its waiting."""
    traffic, left = users(house), [polls]

    def arrive() -> None:
        left[0] -= 1
        if left[0] >= 0:
            traffic()

    return arrive


def upgraded(house: House) -> None:
    house.answers["vllm /version"] = lambda _: httpx2.Response(200, json={"version": "0.33.0"})


@pytest.fixture
async def begun(house: House) -> House:
    """At 5 %, left there for want of traffic, with enough of it now to go on."""
    await passed(house)
    await go(house)
    assert steps(house) == ALL_STEPS[:1]
    users(house, good=40)()
    return house


async def test_a_canary_on_a_fresh_pass_goes_on(begun: House) -> None:
    await go(begun, traffic=users(begun))
    assert steps(begun) == ALL_STEPS


async def test_a_verdict_of_another_engine_version_moves_it_no_further(begun: House) -> None:
    upgraded(begun)
    result = await go(begun, traffic=some(begun))
    assert (steps(begun), result.action, result.exit_code) == (ALL_STEPS[:1], Action.HOLD, 2)
    assert "expired" in result.reasons[0]
    assert "`cutover gate SERVICE`" in result.reasons[0]


async def test_a_verdict_that_is_too_old_moves_it_no_further(begun: House) -> None:
    begun.now_s += 30 * DAY_S
    result = await go(begun, traffic=some(begun))
    assert steps(begun) == ALL_STEPS[:1]
    assert "too old" in result.reasons[0]


async def test_a_new_pass_of_engines_that_the_doctor_saw_carries_it_on_and_is_written_down(begun: House) -> None:
    upgraded(begun)
    await passed(begun, id="anew")
    await doctor(begun.settings, "notes", begun.recipe, TOKEN, seams=begun.seams)
    await go(begun, traffic=users(begun))
    assert steps(begun) == ALL_STEPS
    assert [e.verdict for e in history(begun.settings)][1:] == ["anew"] * 3


async def test_a_new_pass_moves_it_no_further_before_the_doctor_saw_those_engines(begun: House) -> None:
    """Faster and no worse on the recipe says nothing of a template or a parser that came with the upgrade."""
    upgraded(begun)
    await passed(begun, id="anew")
    result = await go(begun, traffic=some(begun))
    assert (steps(begun), result.action, result.exit_code) == (ALL_STEPS[:1], Action.HOLD, 2)
    assert "changed since the doctor looked" in result.reasons[0]
    assert "`cutover doctor SERVICE`" in result.reasons[0]


async def test_a_failure_that_the_doctor_finds_meanwhile_moves_it_no_further_until_it_is_gone(begun: House) -> None:
    found = kept_findings.saved(begun.state, "notes")
    kept_findings.keep(begun.state, "notes", replace(found, findings=(*found.findings, BAD)))
    traffic, polls = users(begun), [0]

    def arrive() -> None:
        polls[0] += 1
        traffic()
        if polls[0] == 3:
            assert steps(begun) == ALL_STEPS[:1]
            kept_findings.keep(begun.state, "notes", found)

    await go(begun, traffic=arrive)
    assert steps(begun) == ALL_STEPS


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.INVALID, Outcome.FAIL])
async def test_a_later_gate_without_a_pass_moves_it_no_further(begun: House, outcome: Outcome) -> None:
    await passed(begun, id="later", outcome=outcome)
    result = await go(begun, traffic=some(begun))
    assert steps(begun) == ALL_STEPS[:1]
    assert f"the verdict is {outcome}, only a pass" in result.reasons[0]
    assert result.exit_code == (1 if outcome is Outcome.FAIL else 2)


async def test_engines_that_change_while_it_waits_stop_it_there_and_it_is_guarded_on(house: House) -> None:
    await passed(house)
    traffic, polls = users(house, good=100), [0]

    def arrive() -> None:
        polls[0] += 1
        if polls[0] < 6:
            traffic()
        if polls[0] == 2:
            upgraded(house)

    result = await go(house, traffic=arrive)
    assert steps(house) == ALL_STEPS[:1]
    assert "expired" in result.reasons[0]
    assert polls[0] >= 6


async def test_an_expired_canary_that_gets_worse_goes_back(begun: House) -> None:
    upgraded(begun)
    left = await go(begun, traffic=users(begun, good=0, bad=5))
    assert left.standing.stage is Stage.ROLLED_BACK


async def test_a_pass_that_is_made_while_it_waits_carries_it_on(begun: House) -> None:
    upgraded(begun)
    traffic, polls = users(begun), [0]

    def arrive() -> None:
        polls[0] += 1
        traffic()
        if polls[0] == 3:
            begun.answers.pop("vllm /version")  # as it was when the pass was made

    await go(begun, traffic=arrive)
    assert steps(begun) == ALL_STEPS


async def test_engines_that_do_not_answer_leave_it_where_it_is(begun: House) -> None:
    begun.refused = frozenset({"vllm"})
    result = await go(begun, traffic=some(begun))
    assert (steps(begun), result.action) == (ALL_STEPS[:1], Action.HOLD)
    assert "vLLM does not answer" in result.reasons[0]


async def test_a_dead_engine_goes_back_though_nobody_can_ask_it_what_it_is(begun: House) -> None:
    begun.refused = frozenset({"vllm"})
    begun.attempts["vllm", "connect"] += 20
    begun.attempts["ollama", "none"] += 20
    left = await go(begun, traffic=users(begun, good=0, bad=5))
    assert left.standing.stage is Stage.ROLLED_BACK


async def test_the_holdback_ends_on_no_expired_verdict_and_the_guard_says_so(house: House) -> None:
    await passed(house)
    await go(house, traffic=users(house))
    upgraded(house)
    traffic = users(house)

    def hourly() -> None:
        house.now_s += 3600
        traffic()

    result = await go(house, traffic=hourly, watch=True)
    assert steps(house) == ALL_STEPS
    assert house.now_s >= POLICY.holdback_s  # it was guarded until then
    assert "expired" in result.reasons[0]


async def test_a_demo_rests_on_no_verdict(house: House) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await go(house, demo=True, traffic=die)
    upgraded(house)
    await go(house, demo=True)
    assert steps(house) == DEMO_STEPS
