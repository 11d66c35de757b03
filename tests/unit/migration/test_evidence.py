"""The e-process: fair between equal engines, blind to a bad hour of the machine, quick with a worse engine."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.migration import gates
from services.migration.evidence import KINDS, ODDS, Evidence, Process, Seen, above, surely_below, threshold
from services.migration.stats import clopper_pearson

POLICY = gates.load().policy
LOOKS = len(POLICY.steps)
QUIET, BUSY = 0, 1


def bad_hours(rng: np.random.Generator, readings: int) -> Iterator[int]:
    """A machine that is quiet or busy, and stays so for twenty readings on average."""
    state = QUIET
    for _ in range(readings):
        state = 1 - state if rng.random() < 0.05 else state
        yield state


def canary(rng: np.random.Generator, rates: dict[str, tuple[float, float]], *, share: float, readings: int) -> float:
    """The highest e-value that one simulated step ever shows, looked at after every reading of about 20 requests."""
    found, highest = Evidence(), 0.0
    for state in bad_hours(rng, readings):
        n = int(rng.poisson(20))
        candidates = int(rng.binomial(n, share))
        for kind, limit in zip(KINDS, (POLICY.error_limit, POLICY.slow_limit, POLICY.slow_limit), strict=True):
            arms = [
                Seen(n=size, bad=int(rng.binomial(size, rates[arm][state])))
                for arm, size in (("vllm", candidates), ("ollama", n - candidates))
            ]
            found = found.after(kind, *arms, limit=limit)
        highest = max(highest, found.e_value(looks=LOOKS))
    return highest


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_equal_engines_are_rolled_back_at_most_once_in_a_hundred(share: float) -> None:
    """Three steps of four on a machine whose bad hours take 30 % of both engines' answers; every reading is a look."""
    rng, runs = np.random.default_rng(4), 200
    equal = {"vllm": (0.02, 0.30), "ollama": (0.02, 0.30)}
    alarms = sum(canary(rng, equal, share=share, readings=60) >= POLICY.e_limit for _ in range(runs))
    assert alarms <= runs * 0.01


def test_a_worse_engine_is_rolled_back_and_an_equal_one_is_not_blamed_for_the_machine() -> None:
    rng = np.random.default_rng(4)
    worse = {"vllm": (0.10, 0.60), "ollama": (0.02, 0.30)}
    found = [canary(rng, worse, share=0.5, readings=60) for _ in range(40)]
    assert min(found) >= POLICY.e_limit


@given(n=st.integers(1, 30), m=st.integers(1, 30), bad=st.integers(0, 60))
def test_between_equal_engines_the_bet_is_exactly_fair(n: int, m: int, bad: int) -> None:
    """Whoever is bad, drawn without replacement: every alternative's factor has mean one."""
    bad = min(bad, n + m)
    mean = np.zeros(len(ODDS))
    for x in range(max(0, bad - m), min(bad, n) + 1):
        chance = math.comb(bad, x) * math.comb(n + m - bad, n - x) / math.comb(n + m, n)
        after = Process().after(Seen(n=n, bad=x), Seen(n=m, bad=bad - x), limit=0.01)
        mean += chance * np.exp(after.worse)
    assert mean == pytest.approx(np.ones(len(ODDS)))


@given(n=st.integers(1, 40), limit=st.sampled_from([0.01, 0.05]), part=st.floats(0, 1))
def test_within_the_limit_the_bet_loses(n: int, limit: float, part: float) -> None:
    rate = limit * part
    mean = np.zeros(len(ODDS))
    for x in range(n + 1):
        chance = math.comb(n, x) * rate**x * (1 - rate) ** (n - x)
        mean += chance * np.exp(Process().after(Seen(n=n, bad=x), Seen(), limit=limit).beyond)
    assert (mean <= 1 + 1e-9).all()


def test_one_request_on_each_side_is_the_bet_on_discordant_pairs() -> None:
    """(2q)^x (2(1-q))^(n-x) with q = w/(1+w), over pairs in which exactly one is bad."""
    found = Process()
    for candidate, control in ((1, 0), (1, 0), (0, 1), (1, 1), (0, 0)):
        found = found.after(Seen(n=1, bad=candidate), Seen(n=1, bad=control), limit=0.01)
    q = [w / (1 + w) for w in ODDS]
    assert np.exp(found.worse) == pytest.approx([(2 * p) ** 2 * (2 * (1 - p)) for p in q])


def test_both_arms_bad_say_nothing() -> None:
    found = Evidence()
    for _ in range(50):
        found = found.after("errors", Seen(n=20, bad=20), Seen(n=20, bad=20), limit=0.01)
    assert found.e_value(looks=LOOKS) < 1
    assert found.e_value(looks=LOOKS, alone=True) > POLICY.e_limit


def test_within_the_margin_a_worse_engine_stays() -> None:
    """Half a per cent of errors against none: worse, but what the gate allows."""
    found = Evidence()
    for _ in range(100):
        found = found.after("errors", Seen(n=200, bad=1), Seen(n=200), limit=0.01)
    assert found.e_value(looks=LOOKS) < POLICY.e_limit


def test_without_a_control_only_the_limit_can_be_asked_about() -> None:
    found = Evidence().after("errors", Seen(n=100, bad=40), Seen(), limit=0.01)
    assert found.e_value(looks=LOOKS) < 1
    assert found.e_value(looks=LOOKS, alone=True) > POLICY.e_limit
    kind, process = found.strongest(alone=True)
    assert f"{kind}: {process.said()}" == "errors: 40 of 100 at vLLM, 0 of 0 at Ollama"


def test_a_huge_reading_stays_a_number() -> None:
    found = Evidence().after("errors", Seen(n=10**5, bad=10**5), Seen(n=10**5), limit=0.01)
    assert math.isfinite(found.e_value(looks=LOOKS))


class TestThreshold:
    BUCKETS: ClassVar = {0.5: 0.0, 1.0: 90.0, 2.0: 100.0, 4.0: 100.0, math.inf: 100.0}

    def test_slow_is_beyond_the_margin_times_the_95_percent_quantile_at_the_next_edge(self) -> None:
        """Half the way from 1 s to 2 s; 1.2 times that is 1.8 s; 1.4 times is beyond 2 s."""
        assert threshold(self.BUCKETS, margin=1.2) == 2.0
        assert threshold(self.BUCKETS, margin=1.4) == 4.0

    @pytest.mark.parametrize("buckets", [{}, {1.0: 19.0, math.inf: 19.0}, {1.0: 10.0, math.inf: 100.0}])
    def test_little_data_or_an_endless_tail_give_none(self, buckets: dict[float, float]) -> None:
        assert threshold(buckets, margin=1.2) is None

    def test_answers_above_an_edge_are_counted(self) -> None:
        assert above(self.BUCKETS, 1.0) == Seen(n=100, bad=10)
        assert above({}, 1.0) == Seen()


def least_requests(bound: Callable[[int, int], float], bad: int) -> int:
    """From how many requests on so many bad ones are bounded by the limit."""
    return bisect.bisect_left(range(20_000), x=True, key=lambda n: bound(bad, n) <= POLICY.error_limit)


def test_an_engine_at_the_limit_is_promoted_no_more_often_than_the_level_says() -> None:
    """Asked after every request. A bound that is good for one look is crossed more often than that."""
    steps, n = 1000, np.arange(1, 3001)
    bad = (np.random.default_rng(11).random((steps, len(n))) < POLICY.error_limit).cumsum(axis=1)

    def ever(bound: Callable[[int, int], float]) -> int:
        least = np.array([least_requests(bound, b) for b in range(int(bad.max()) + 1)])
        return int(((n >= least[bad]) & (n >= POLICY.min_requests)).any(axis=1).sum())

    assert ever(lambda b, k: surely_below(Seen(n=k, bad=min(b, k)), level=0.95)) <= 0.05 * steps
    assert ever(lambda b, k: clopper_pearson(min(b, k), k, level=0.95).high) > 0.05 * steps


@pytest.mark.parametrize(("bad", "least"), [(0, 348), (1, 728), (2, 906)])
def test_the_requests_that_a_limit_of_one_per_cent_takes(bad: int, least: int) -> None:
    assert (
        surely_below(Seen(n=least, bad=bad), level=0.95) <= 0.01 < surely_below(Seen(n=least - 1, bad=bad), level=0.95)
    )


@given(n=st.integers(0, 3000), bad=st.integers(0, 3000))
def test_what_is_surely_below_is_never_below_what_was_seen(n: int, bad: int) -> None:
    bad = min(bad, n)
    assert (bad / n if n else 1.0) <= surely_below(Seen(n=n, bad=bad), level=0.95) <= 1.0
