"""The figures: nDCG, recall, intervals, the blend of two lists, and the study that is computed of them."""

from __future__ import annotations

import math

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.questions import Kind, Question, Split
from services.evaluation.retrieval import Lists, study
from services.rag.metrics import estimate, ndcg, rank_of, recall, separation
from services.store.blend import blended


@given(st.permutations(list(range(30))))
def test_ndcg_and_recall_are_those_of_trec_eval(ranked: list[int]) -> None:
    """Our few lines against its code, by ir-measures."""
    wanted = [ir_measures.Qrel("q", "7", 1)]
    run = [ir_measures.ScoredDoc("q", str(key), float(-place)) for place, key in enumerate(ranked)]
    theirs = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.R @ 20], wanted, run)
    rank = rank_of(7, ranked)

    assert ndcg(rank) == pytest.approx(theirs[ir_measures.nDCG @ 10], abs=1e-6)
    assert recall(rank) == theirs[ir_measures.R @ 20]


def test_what_was_not_found_is_worth_nothing() -> None:
    assert (rank_of(9, [1, 2]), ndcg(None), recall(None)) == (None, 0.0, 0.0)
    assert (ndcg(11), recall(21)) == (0.0, 0.0)


def test_an_estimate_holds_its_mean_and_no_data_is_no_figure() -> None:
    """The interval narrows with more values and is a point where all are alike."""
    few, many = estimate([0.0, 1.0] * 10), estimate([0.0, 1.0] * 200)

    assert few.low < 0.5 == few.value < few.high
    assert many.high - many.low < few.high - few.low
    assert estimate([0.25, 0.25]).low == estimate([0.25, 0.25]).high == 0.25
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert separation([3, 4], [1, 2]) == 1
    assert separation([1, 2], [1, 2]) == 0.5
    assert separation([0], [1]) == 0


def test_a_blend_weighs_both_lists_on_one_scale() -> None:
    """bm25 has no upper end, a cosine ends at 1: only what is scaled can be added."""
    dense = [(1, 0.9), (2, 0.8), (3, 0.5)]
    lexical = [(2, 30.0), (4, 20.0), (1, 10.0)]
    scores = dict(blended(dense, lexical, weight=0.2))

    assert scores == pytest.approx({1: 0.8, 2: 0.8 * 0.75 + 0.2, 3: 0.0, 4: 0.1})
    assert [key for key, _ in blended(dense, lexical, weight=0.3)] == [2, 1, 4, 3]


def test_one_list_alone_keeps_its_order() -> None:
    """Nothing shares a word, or nothing is embedded: the other list is not scaled down."""
    assert [key for key, _ in blended([(5, 0.9), (6, 0.1)], [])] == [5, 6]
    assert blended([], [(7, 3.0)]) == [(7, 1.0)]
    assert blended([], []) == []


@given(
    st.dictionaries(st.integers(0, 20), st.floats(-1, 1)),
    st.dictionaries(st.integers(0, 20), st.floats(0, 50)),
    st.floats(0, 1),
)
def test_a_blend_loses_nobody_and_stays_on_its_scale(
    dense: dict[int, float], lexical: dict[int, float], weight: float
) -> None:
    found = blended(list(dense.items()), list(lexical.items()), weight=weight)

    assert {key for key, _ in found} == {*dense, *lexical}
    assert all(0 <= score <= 1 for _, score in found)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def lists(count: int = 60) -> list[Lists]:
    """Questions whose passage words find and meaning puts second, behind the same neighbour each time."""
    return [
        Lists(
            question=Question(text=f"Why {n}?", kind=kind, gold=n),
            dense=[(1000, 0.9), (n, 0.89), (1001, 0.1)],
            lexical=[(n, 9.0), (1001, 1.0)],
        )
        for n in range(count)
        for kind in Kind
    ]


def test_the_study_reports_the_held_out_half_at_the_weight_in_use() -> None:
    """The weight is fitted on the other half; the gain is question by question."""
    found = study(lists(), weight=0.2)
    held_out = sum(one.question.split is Split.HELD_OUT for one in lists()) // len(Kind)

    assert found.questions == held_out
    assert found.ndcg10.value == found.recall20.value == 1.0
    assert found.ndcg10_dense.value == pytest.approx(1 / math.log2(3))
    assert found.gain.low == found.gain.high == pytest.approx(1 - 1 / math.log2(3))
    assert found.fitted == 0.05
    assert found.misses == ()
    assert found.by_kind["identifier"]["lexical"] == 1.0


def test_a_study_below_its_targets_says_which() -> None:
    """Words that lead astray: dense alone would have been better, and that is a miss of its own."""
    astray = [
        Lists(
            question=one.question, dense=[(one.question.gold, 0.9), (1, 0.89), (2, 0.1)], lexical=[(1, 9.0), (2, 1.0)]
        )
        for one in lists()
    ]
    found = study(astray, weight=0.5)

    assert [miss.split(" is ")[0].split(" 0")[0] for miss in found.misses] == ["nDCG@10", "hybrid"]
    assert found.fitted == 0.0


def test_answerable_is_told_by_the_best_cosine() -> None:
    """Where the gold passage was always the nearest, taking it away lowers the best; else it changes nothing."""
    near = [Lists(question=one.question, dense=[(one.question.gold, 0.9), (2000, 0.4)], lexical=[]) for one in lists()]

    assert study(near).answerable == 1.0
    assert study(lists()).answerable == 0.5
