"""Two gates at once would load each other's engines and write one raw file; the second is told who is at work."""

from __future__ import annotations

import os

import pytest

from services.migration import measure
from services.migration.errors import LockHeld
from services.migration.rollout import gate_lock
from tests.unit.migration.house import TOKEN, House


async def test_a_second_gate_is_refused_and_writes_nothing(house: House) -> None:
    """Of whichever service: the engines are the same."""
    with (
        gate_lock(house.state, service="rag"),
        pytest.raises(LockHeld, match=f"process {os.getpid()} runs `cutover gate`"),
    ):
        await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)

    assert not list(house.state.glob("raw/*"))


async def test_the_lock_is_free_when_the_gate_has_ended(house: House) -> None:
    """One after the other is fine."""
    for seed in (1, 2):
        await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seed=seed, seams=house.seams)
