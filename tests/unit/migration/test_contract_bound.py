"""The share of misshapen answers: its lower bound is never better than the exact one, and never rises with more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.migration import compare, gates, rates, stats
from services.migration.compare import Rounds
from services.migration.records import Record, Run, Side
from services.migration.simulated import World, simulated
from services.migration.verdict import Metric, Result

RUN = simulated(World(rounds=40, block=10))
EVERY = 400
LEVEL = 0.98
METHOD = replace(gates.load().method, level=LEVEL, resamples=500)
Numbers = frozenset[int]


def paired(broken: Numbers, broken_before: Numbers = frozenset()) -> Rounds:
    """400 pairs; `broken` numbers those whose candidate answered in a wrong shape, `broken_before` the baseline's."""

    def shaped(record: Record) -> Record:
        of = {Side.CANDIDATE: broken, Side.BASELINE: broken_before}.get(record.side, frozenset())
        return replace(record, contract_ok=record.round * 10 + record.position not in of)

    changed: Run = replace(RUN, records=tuple(map(shaped, RUN.records)))
    return compare.pairs(changed, Side.BASELINE, Side.CANDIDATE)


def contract(rounds: Rounds) -> Metric:
    return rates.contract_metric(rounds, margin=0.01, method=METHOD, seed=7)


def low(rounds: Rounds) -> float:
    found = contract(rounds).low
    assert found is not None
    return found


@pytest.mark.parametrize(("broken", "result"), [(0, Result.PASS), (1, Result.INCONCLUSIVE), (40, Result.FAIL)])
def test_one_broken_answer_in_400_no_longer_passes_for_less_than_one_percent(broken: int, result: Result) -> None:
    metric = contract(paired(frozenset(range(0, EVERY, EVERY // broken)) if broken else frozenset()))
    assert metric.result is result
    assert metric.low is not None
    assert metric.low <= -stats.clopper_pearson(broken, EVERY, level=LEVEL).high


def test_what_only_the_baseline_broke_buys_nothing() -> None:
    assert low(paired(frozenset({5}), frozenset(range(100, 140)))) <= -stats.clopper_pearson(1, EVERY, level=LEVEL).high


numbers = st.frozensets(st.integers(0, EVERY - 1), max_size=40)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(first=numbers, more=numbers, before=numbers)
def test_more_broken_answers_never_give_a_better_bound(first: Numbers, more: Numbers, before: Numbers) -> None:
    assert low(paired(first | more, before)) <= low(paired(first, before))
