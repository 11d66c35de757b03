"""The exact neighbours that every search is held against, and what is said where one finds fewer."""

from __future__ import annotations

import numpy as np
import pytest

from services.evaluation.neighbours import Neighbours, unequal


def unit(rows: int, seed: int) -> list[list[float]]:
    made = np.random.default_rng(seed).normal(size=(rows, 16))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).tolist()  # type: ignore[no-any-return]


def test_neighbours_are_those_of_a_full_comparison_whatever_the_batches() -> None:
    """Batches of every length, one shorter than what is kept."""
    vectors, questions = unit(200, 1), unit(5, 2)
    exact = Neighbours(questions, 10)
    for start, end in ((0, 3), (3, 120), (120, 200)):
        exact.add(vectors[start:end])
    wanted = np.argsort(-(np.asarray(questions) @ np.asarray(vectors).T), axis=1)[:, :10].tolist()

    assert exact.recall(wanted) == 1.0
    assert exact.recall([row[:5] for row in wanted]) == 0.5
    assert exact.recall([[] for _ in wanted]) == 0.0


def test_of_fewer_chunks_than_are_wanted_all_are_neighbours() -> None:
    exact = Neighbours(unit(2, 3), 10)
    exact.add(unit(4, 4))

    assert exact.recall([[0, 1, 2, 3], [3, 2, 1, 0]]) == 1.0
    assert exact.recall([[0, 1, 2, 3], []]) == 0.5


@pytest.mark.parametrize(
    ("recalls", "told"),
    [
        pytest.param({"sqlite": 0.995, "peer": 1.0}, "", id="equal"),
        pytest.param({"sqlite": 1.0, "peer": 0.9}, "not equal: peer 0.900; the best is 1.000", id="theirs"),
        pytest.param({"sqlite": 0.9, "peer": 1.0}, "not equal: sqlite 0.900; the best is 1.000", id="ours"),
        pytest.param({}, "", id="nobody"),
    ],
)
def test_who_finds_fewer_is_named(recalls: dict[str, float], told: str) -> None:
    """Times of searches that do not find the same are not compared in silence."""
    assert unequal(recalls) == told
