"""Open loop: arrivals by a schedule, times from when a request was due, and no request dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from statistics import mean
from typing import Any

import pytest

from tests.unit.bench.conftest import FIRST_TOKEN_S, FakeService, Locust, free_port

Bench = Callable[[str], Any]


def source(bench: Bench, *, rate: float = 50.0, in_flight: int = 4) -> Any:
    return bench("_arrivals").Source(rate=rate, in_flight=in_flight, seed="1/Rag/0")


class TestSchedule:
    def test_gaps_are_exponential_and_the_same_for_the_same_seed(self, bench: Bench) -> None:
        """Mean 1/rate, and as many gaps below the mean as an exponential law has: 63 %."""
        due = list(islice(bench("_arrivals").due(source(bench)), 4000))
        assert due == list(islice(bench("_arrivals").due(source(bench)), 4000))
        gaps = [b - a for a, b in pairwise(due)]
        assert mean(gaps) == pytest.approx(0.02, rel=0.05)
        assert mean(gap < 0.02 for gap in gaps) == pytest.approx(0.632, abs=0.02)

    def test_the_rate_and_the_bound_are_shared_by_the_processes_that_have_users(self, bench: Bench) -> None:
        users = {"w1": {"Rag": 2}, "w2": {"Rag": 1, "Ner": 1}, "w3": {"Rag": 0}}
        made = bench("_arrivals").sources(users, rate=10.0, in_flight=5, seed=1)
        assert {w: {n: (s.rate, s.in_flight) for n, s in of.items()} for w, of in made.items()} == {
            "w1": {"Rag": (5.0, 3)},
            "w2": {"Rag": (5.0, 2), "Ner": (10.0, 5)},
        }
        assert made["w1"]["Rag"].seed != made["w2"]["Rag"].seed


class TestSender:
    def test_lateness_counts_and_excess_is_refused(self, bench: Bench) -> None:
        """A sender that was held up sends all that is due at once, each with the time at which it was due."""
        from gevent.event import Event  # type: ignore[import-untyped]

        closed, asked, refused, cut = Event(), [], [], []
        clock = iter([0.0, *([100.0] * 8)])
        never = Event()

        def ask(due: float) -> None:
            asked.append(due)
            never.wait()

        def refuse(due: float) -> None:
            refused.append(due)
            if len(refused) == 3:
                closed.set()

        bench("_arrivals").send(
            source(bench), ask, refuse, clock=lambda: next(clock), closed=closed, patience_s=0, cut_off=cut.append
        )
        assert asked + refused == list(islice(bench("_arrivals").due(source(bench)), 7))
        assert (len(asked), len(refused), cut) == (4, 3, [4])


@pytest.mark.parametrize("spread", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_arrivals_do_not_wait_for_answers(locust: Locust, service: FakeService, spread: tuple[str, ...]) -> None:
    """One user, many in flight: what is beyond the bound is a failure that names it, and the rest is answered."""
    port = str(free_port())
    ports = ("--master-port", port, "--master-bind-port", port) if spread else ()
    users = ("-u", "2", "-r", "2") if spread else ("-u", "1")
    run = locust(
        *("-f", "bench/rag.py", *users, "--rate", "60", "--max-in-flight", "8", *spread, *ports),
        enough=lambda records: len(records) > 120,
    )
    bound = f"not sent: {4 if spread else 8} in flight"
    assert {r["problem"] for r in run.records} == {None, bound}
    answered = [r for r in run.records if r["problem"] is None]
    assert all(r["lag_ms"] >= 0 and r["ttft_ms"] >= r["lag_ms"] + FIRST_TOKEN_S * 1000 for r in answered)
    row = run.row("POST", "rag /v1/ask")
    assert row["num_failures"] == sum(r["problem"] is not None for r in run.records)
    assert run.row("LAG", "rag /v1/ask")["num_requests"] == len(answered)


def test_an_open_loop_has_no_rounds(locust: Locust) -> None:
    run = locust("-f", "bench/notes.py", "--rate", "5", "--rounds", "3", enough=lambda _: False)
    assert run.code != 0
    assert "--rate is an open loop, rounds are a closed one" in run.shown
