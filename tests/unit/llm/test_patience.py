"""How long a provider may be silent follows what it took lately, for requests of that size."""

from __future__ import annotations

import math

import pytest

from services.llm.patience import ENOUGH, FACTOR, FLOOR_S, Patience, Size, size_of
from services.llm.types import Message, Role, Sampling
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, ask, end, read

STREAM = Size(prompt=3, answer=None)
WHOLE = Size(prompt=3, answer=4)


def test_before_enough_is_known_the_setting_holds() -> None:
    """A whole answer has no limit of its own then."""
    patience = Patience(45)
    for _ in range(ENOUGH - 1):
        patience.took(STREAM, 0.1)

    assert patience.limit_s(STREAM) == 45
    assert patience.limit_s(WHOLE) == math.inf


@pytest.mark.parametrize(("took_s", "limit_s"), [(0.1, FLOOR_S), (3.0, FACTOR * 3), (30.0, 45.0)])
def test_a_multiple_of_its_slow_answers_within_bounds(took_s: float, limit_s: float) -> None:
    patience = Patience(45)
    for _ in range(ENOUGH):
        patience.took(STREAM, took_s)

    assert patience.limit_s(STREAM) == limit_s


def test_an_engine_that_became_slower_is_given_more_time() -> None:
    """Limits that fire are observations too, or it would be cut off for ever."""
    patience = Patience(45)
    for _ in range(60):
        patience.took(STREAM, 2.0)
    for _ in range(5):
        patience.took(STREAM, patience.limit_s(STREAM))

    assert patience.limit_s(STREAM) > 2 * FACTOR * 2.0


def test_sizes_are_apart() -> None:
    """Four times the prompt is another size; so is a longer whole answer, not a longer stream."""
    short = ask()
    long = ask(messages=(Message(role=Role.USER, content="x" * 10_000),))
    wordy = ask(sampling=Sampling(max_tokens=500))

    assert size_of(short, stream=True) != size_of(long, stream=True)
    assert size_of(short, stream=True) == size_of(wordy, stream=True)
    assert size_of(short, stream=False) != size_of(wordy, stream=False)


def test_a_callers_hurry_is_not_the_engines_illness() -> None:
    """Silence counts once it is longer than twice what is usual, or than a second where nothing is known."""
    patience = Patience(45)

    assert not patience.speaks_against_it(STREAM, 0.5)
    assert patience.speaks_against_it(STREAM, 1.5)
    for _ in range(ENOUGH):
        patience.took(STREAM, 3.0)
    assert not patience.speaks_against_it(STREAM, 4.0)
    assert patience.speaks_against_it(STREAM, 7.0)


async def test_a_short_deadline_opens_no_breaker(make_rig: MakeRig) -> None:
    """Three callers in a hurry move to the next provider and leave the first one its good name."""
    async with make_rig(first_token_s=30) as rig:
        rig.vllm.default = Fault.HANG
        for _ in range(3):
            events = await read(rig.client, ask(deadline_s=1.0))
            assert end(events).answer.provenance.provider == "ollama"

        assert not rig.links["vllm"].breaker.is_open


async def test_a_model_that_is_being_loaded_is_waited_for(make_rig: MakeRig) -> None:
    """Where nothing has come lately and the engine says that the model is not in memory, its silence is loading."""
    async with make_rig(first_token_s=0.1) as rig:
        link = rig.links["ollama"]
        rig.ollama.loaded = False
        loading_s = await link.first_token_limit_s(STREAM, room_s=9.0)
        rig.ollama.loaded = True
        loaded_s = await link.first_token_limit_s(STREAM, room_s=9.0)

    assert (loading_s, loaded_s) == (9.0, 0.1)
