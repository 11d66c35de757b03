"""Rounds by message: what is drawn and dealt, and the real Locust taking turns in one process and in several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from tests.unit.bench.conftest import TOKEN, Locust, free_port

Bench = Callable[[str], Any]
TURNS = ("-u", "3", "-r", "3", "--arm", "alternate", "--rounds", "4", "--round-requests", "5")
WITH_TOKEN = {"ADMIN_TOKEN": TOKEN}


def never(_records: list[dict[str, Any]]) -> bool:
    """The run ends by itself."""
    return False


def assert_took_turns(records: list[dict[str, Any]], *, rounds: int = 4, size: int = 5) -> None:
    """Whole blocks, one arm after the other, each round's two of the same items, answered by the arm that was asked."""
    counts = Counter((r["round"], r["arm"]) for r in records)
    assert counts == {(n, arm): size for n in range(-1, rounds) for arm in ("ollama", "vllm")}
    assert all(r["problem"] is None and r["llm"]["provider"] == r["arm"] for r in records)
    sent = sorted(records, key=lambda r: r["at"])
    blocks = [key for key, _ in groupby(sent, key=lambda r: (r["round"], r["arm"]))]
    assert len(blocks) == len(counts), f"blocks overlap: {blocks}"
    for number in range(rounds):
        asked = [sorted((r["position"], r["item"]) for r in records if (r["round"], r["arm"]) == (number, arm))
                 for arm in ("ollama", "vllm")]  # fmt: skip
        assert asked[0] == asked[1]
        assert [position for position, _ in asked[0]] == list(range(size))


class TestDrawn:
    def test_the_order_of_arms_is_drawn_from_the_seed(self, bench: Bench) -> None:
        def order(seed: int) -> list[str]:
            return [b.arm for b in bench("_turns").blocks(seed=seed, rounds=30, arms=("ollama", "vllm"))]

        assert order(1) == order(1) != order(2)
        first = order(1)[::2]
        assert {"ollama", "vllm"} == set(first)
        assert len(order(1)) == 2 * 31, "the warm-up is a round too"

    def test_every_item_comes_up_equally_often(self, bench: Bench) -> None:
        at = bench("_turns").item_at
        dealt = [at("abcdefg", seed=3, size=5, round=n, position=p) for n in range(-1, 13) for p in range(5)]
        assert set(Counter(dealt).values()) == {10}

    def test_a_block_is_dealt_in_turn_over_users_and_once_per_service(self, bench: Bench) -> None:
        """A process without users gets nothing; each service is asked `size` requests."""
        users = {"w1": {"Rag": 2, "Ner": 0}, "w2": {"Rag": 1, "Ner": 1}, "w3": {"Rag": 0, "Ner": 0}}
        assert bench("_turns").deal(users, 4) == {"w1": {"Rag": [0, 1, 3]}, "w2": {"Rag": [2], "Ner": [0, 1, 2, 3]}}

    def test_both_arms_read_the_same_bytes_and_no_round_those_of_another(self, bench: Bench) -> None:
        turns = bench("_turns")

        def nonce(round: int, arm: str) -> str:
            return str(turns.Ticket(run="r", block=turns.Block(number=0, round=round, arm=arm), position=2).nonce)

        assert nonce(1, "vllm") == nonce(1, "ollama") != nonce(2, "ollama")


@pytest.mark.parametrize("spread", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_arms_take_turns_in_whole_blocks(locust: Locust, spread: tuple[str, ...]) -> None:
    """The master draws and tells; workers wait at each block's end, and the run ends after the last round."""
    port = str(free_port())
    ports = ("--master-port", port, "--master-bind-port", port)
    run = locust("-f", "bench/notes.py", *TURNS, *spread, *(ports if spread else ()), env=WITH_TOKEN, enough=never)
    assert run.code == 0, run.shown
    assert "4 rounds are done" in run.shown
    assert_took_turns(run.records)
    assert {r["worker"] for r in run.records} == (set(range(2)) if spread else {0})


def test_a_master_and_a_worker_started_by_hand_take_turns(locust: Locust, worker: Callable[..., Any]) -> None:
    """The worker gets its arguments from the master."""
    port = str(free_port())
    with worker("-f", "bench/notes.py", "--master-port", port, env=WITH_TOKEN):
        run = locust(
            *("-f", "bench/notes.py", "--master", "--expect-workers", "1", "--master-bind-port", port, *TURNS),
            env=WITH_TOKEN,
            enough=never,
        )
    assert run.code == 0, run.shown
    assert_took_turns(run.records)


def test_three_services_ask_as_many_requests_each(locust: Locust) -> None:
    """A fast service does not take a slow one's place in a block."""
    run = locust("-f", "bench/", *TURNS[:6], "--rounds", "1", "--round-requests", "2", env=WITH_TOKEN, enough=never)
    assert run.code == 0, run.shown
    counts = Counter((r["service"], r["arm"], r["round"]) for r in run.records)
    assert set(counts.values()) == {2}
    assert len(counts) == 3 * 2 * 2


def test_a_worker_that_goes_away_tears_the_round_and_the_run_says_so(
    locust: Locust, worker: Callable[..., Any]
) -> None:
    """Its part of the block would never be asked; waiting for it would be for ever."""
    port = str(free_port())
    with worker("-f", "bench/rag.py", "--master-port", port, env=WITH_TOKEN) as process:

        def kill_it_in_the_middle(records: list[dict[str, Any]]) -> bool:
            if records:
                process.kill()
            return False

        run = locust(
            *("-f", "bench/rag.py", "--master", "--expect-workers", "1", "--master-bind-port", port),
            *("-u", "1", "--arm", "alternate", "--rounds", "50", "--round-requests", "5"),
            env=WITH_TOKEN,
            enough=kill_it_in_the_middle,
        )
    assert run.code == 1, run.shown
    assert "is torn: lost" in run.shown
    assert 0 < len(run.records) < 50
