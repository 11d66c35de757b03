"""After full: a few stay on Ollama as the control, a guard stays on, and everybody moves when the time is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.llm.rollout import Stage
from services.migration import rollout
from services.migration.controller import history, rollback
from services.migration.errors import LockHeld, Superseded
from services.migration.stages import Action
from tests.unit.migration.house import House
from tests.unit.migration.moving import ALL_STEPS, POLICY, go, passed, steps, users

RELEASED = ("full", 1.0)


def hourly(house: House, traffic: Callable[[], None]) -> Callable[[], None]:
    """Each poll an hour later: a day in some twenty polls."""

    def arrive() -> None:
        house.now_s += 3600
        traffic()

    return arrive


@pytest.fixture
async def full(house: House) -> House:
    await passed(house)
    await go(house, traffic=users(house))
    assert steps(house) == ALL_STEPS
    return house


async def test_a_guard_stays_until_the_time_is_over_and_then_moves_everybody(full: House) -> None:
    result = await go(full, traffic=hourly(full, users(full)), watch=True)
    assert steps(full) == [*ALL_STEPS, RELEASED]
    assert result.exit_code == 0
    assert "holdback of 24 h is over" in history(full.settings, "notes")[-1].reasons[0]


async def test_one_command_moves_and_guards(house: House) -> None:
    await passed(house)
    await go(house, traffic=hourly(house, users(house)), watch=True)
    assert steps(house) == [*ALL_STEPS, RELEASED]


async def test_without_a_guard_the_next_command_after_the_time_moves_everybody(full: House) -> None:
    full.now_s += POLICY.holdback_s
    assert (await go(full)).action is Action.HOLD  # nobody has asked anything meanwhile
    users(full, good=400)()
    await go(full)
    assert steps(full) == [*ALL_STEPS, RELEASED]


async def test_a_guard_takes_a_worse_engine_back(full: House) -> None:
    result = await go(full, traffic=hourly(full, users(full, good=45, bad=5)), watch=True)
    assert steps(full) == [*ALL_STEPS, ("rolled_back", 0.0)]
    assert result.exit_code == 1
    assert "e-value" in result.reasons[0]


async def test_a_guard_outlives_a_restart_of_the_service(full: House) -> None:
    polls, traffic = [0], users(full)

    def flapping() -> None:
        polls[0] += 1
        full.service_down = 3 <= polls[0] <= 5
        traffic()

    await go(full, traffic=hourly(full, flapping), watch=True)
    assert steps(full)[-1] == RELEASED


async def test_a_killed_guard_is_gone_on_with(full: House) -> None:
    polls = [0]

    def kill() -> None:
        polls[0] += 1
        users(full)()
        if polls[0] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await go(full, traffic=hourly(full, kill), watch=True)
    await go(full, traffic=hourly(full, users(full)), watch=True)
    assert steps(full) == [*ALL_STEPS, RELEASED]
    assert full.now_s < POLICY.holdback_s + 3 * 3600  # the time counts from the move, not from the guard's start


async def test_a_rollback_wins_over_a_guard(full: House) -> None:
    def take_back() -> None:
        rollback(full.settings, "notes", "it feels slow")

    with pytest.raises(Superseded):
        await go(full, traffic=take_back, watch=True)
    assert rollout.standing(full.state, "notes").stage is Stage.ROLLED_BACK


async def test_one_guard_a_service_and_other_services_may_move(full: House) -> None:
    with rollout.watch_lock(full.state, service="notes"), pytest.raises(LockHeld, match="--watch"):
        await go(full, watch=True)
    with rollout.controller_lock(full.state, service="rag"):
        await go(full, traffic=hourly(full, users(full)), watch=True)
    assert steps(full) == [*ALL_STEPS, RELEASED]


async def test_of_a_guard_and_a_controller_only_the_first_acts(full: House) -> None:
    """Both see the end of the holdback; the controller writes first, the guard leaves it at that."""

    async def sleep(seconds: float) -> None:
        full.now_s += POLICY.holdback_s
        users(full, good=400)()
        await go(full)

    with pytest.raises(Superseded):
        await go(full, watch=True, asleep=sleep)
    assert steps(full) == [*ALL_STEPS, RELEASED]


async def test_a_demo_ends_in_full_without_a_holdback(house: House) -> None:
    result = await go(house, demo=True, watch=True)
    assert (result.standing.stage, result.standing.share) == (Stage.FULL, 1.0)
