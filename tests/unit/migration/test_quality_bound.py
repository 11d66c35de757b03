"""How often quality passes that is worse by exactly its margin, and whether equal engines still can pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.migration import compare, gates, rates, simulated, stats
from services.migration.records import Record, Side
from services.migration.simulated import World
from services.migration.verdict import Metric, Result

LEVEL = 0.98
MARGIN = 0.05
DRAWS = 300
METHOD = gates.load().method


def low(differences: list[float], loss: float, *, seed: int = 1) -> float:
    """What `quality_metric` takes for its lower bound."""
    found = stats.paired_difference(differences, resamples=500, seed=seed, level=LEVEL)
    assert found is not None
    return min(found.low, stats.with_one_lost(differences, loss))


@pytest.mark.parametrize("items", [20, 30, 48, 60, 64, 96, 128])
def test_a_loss_at_the_margin_passes_about_as_often_as_the_rule_of_three_allows(items: int) -> None:
    """0/1 scores: one item in twenty is lost. A bootstrap alone passed 34 % of draws of 20 items and 13 % of 64.

    5 % is the rule of three's own error; 3.3 points above it are three standard errors of 300 draws, less a little.
    """
    generator = np.random.default_rng(items)
    draws = [[-float(lost) for lost in generator.random(items) < MARGIN] for _ in range(DRAWS)]
    assert sum(low(d, 1.0) >= -MARGIN for d in draws) / DRAWS <= 0.083


@pytest.mark.parametrize(("items", "inside"), [(20, False), (48, False), (58, False), (60, True), (64, True)])
def test_equal_scores_prove_what_the_rule_of_three_proves(items: int, *, inside: bool) -> None:
    found = low([0.0] * items, 1.0)
    assert (found >= -MARGIN) is inside
    assert found == pytest.approx(-stats.clopper_pearson(0, items, level=0.95).high, abs=0.01 * 20 / items)


@pytest.mark.parametrize(
    ("spread", "loss", "margin"), [(0.2294, 0.611, 0.05), (0.0867, 0.275, 0.03), (0.0598, 0.511, 0.05)]
)
def test_equal_engines_with_the_scatter_of_a_real_run_pass_within_a_hundred_rounds(
    spread: float, loss: float, margin: float
) -> None:
    """Measured on notes, 20 rounds of 6: the scatter of keyword recall, chrF and tags over items asked about once.

    A hundred rounds of six ask each of the 108 items about five times.
    """
    generator = np.random.default_rng(3)
    draws = generator.normal(0.0, spread / math.sqrt(5), size=(DRAWS, 60)).tolist()
    assert sum(low(d, loss) >= -margin for d in draws) / DRAWS >= 0.6


def quality(items: int, loses: Mapping[str, float]) -> Metric:
    """Quality as the gate judges it, at the one look of a run that asked each item some times."""
    run = simulated.simulated(World(rounds=24, block=10, items=items))

    def changed(record: Record) -> Record:
        lost = loses.get(record.item, 0.0) if record.side is Side.CANDIDATE else 0.0
        return replace(record, quality={"keyword_recall": 1.0 - lost})

    rounds = compare.pairs(replace(run, records=tuple(map(changed, run.records))), Side.BASELINE, Side.CANDIDATE)
    return rates.quality_metric(rounds, name="keyword_recall", margin=MARGIN, method=METHOD, seed=5)


def test_twenty_equal_items_no_longer_pass_and_the_note_says_how_many_would() -> None:
    metric = quality(20, {})
    assert (metric.effect, metric.result) == (0.0, Result.INCONCLUSIVE)
    assert metric.note == "20 items; about 60 equal ones are the least for this margin"


@pytest.mark.parametrize(("lost", "result"), [(0, Result.PASS), (1, Result.INCONCLUSIVE), (30, Result.FAIL)])
def test_sixty_equal_items_pass_and_one_lost_leaves_it_open(lost: int, result: Result) -> None:
    metric = quality(60, {f"i{n:02d}": 1.0 for n in range(lost)})
    assert metric.result is result
    assert metric.low is not None
    assert metric.effect is not None
    assert metric.effect == pytest.approx(-lost / 60)
    assert metric.low < metric.effect


@settings(max_examples=200, deadline=None, derandomize=True)
@given(differences=st.lists(st.floats(-1, 1), min_size=1, max_size=80), loss=st.floats(0, 1))
def test_one_item_more_that_is_lost_never_betters_the_mean(differences: list[float], loss: float) -> None:
    assert stats.with_one_lost(differences, loss) <= np.mean(differences)


def test_nothing_can_be_lost_where_the_baseline_had_nothing() -> None:
    assert rates._loss("answer_match", [0.0, 0.0]) == 0.0
    assert rates._loss("answer_match", [0.0, 1.0]) == 1.0
    assert rates._loss("keyword_recall", [0.0, 0.5, 1.0]) == 0.75
    assert rates._loss("retrieval_ndcg", [1.0, 1.0]) == pytest.approx(0.369, abs=1e-3)
