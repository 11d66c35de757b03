"""Medians, ratios and their intervals on numbers of which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.overhead.stats import added, estimate, median, ratio, times_added

CALM = np.array([10.0, 11.0, 9.0, 10.0, 10.5, 9.5, 10.0, 10.2, 9.8])


def test_a_median_lies_within_its_interval() -> None:
    found = estimate(median, CALM)

    assert found.value == 10.0
    assert found.low is not None
    assert found.high is not None
    assert 9.0 <= found.low <= 10.0 <= found.high <= 11.0


def test_the_same_numbers_give_the_same_interval() -> None:
    assert estimate(median, CALM) == estimate(median, CALM)


def test_what_a_whole_round_shares_does_not_widen_a_ratio() -> None:
    """A machine that is three times slower in some rounds is so for both."""
    slow = CALM * np.array([1, 3, 1, 2, 1, 3, 1, 2, 1])
    found = estimate(ratio, slow * 2, slow)

    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_a_difference_is_taken_round_by_round() -> None:
    assert estimate(added, CALM + np.array([1, 2, 3, 2, 2, 2, 1, 3, 2]), CALM).value == pytest.approx(2.0)


def test_added_costs_are_compared_each_over_its_own_floor() -> None:
    """Theirs adds 20 to a floor of 10, ours 4 to one of 1: five times."""
    found = estimate(times_added, CALM + 20, CALM, CALM / 10 + 4, CALM / 10)

    assert found.value == pytest.approx(5.0)


def test_a_client_that_adds_nothing_is_infinitely_below() -> None:
    found = estimate(times_added, CALM + 20, CALM, CALM, CALM)

    assert (found.value, found.low, found.high) == (math.inf, math.inf, math.inf)


def test_few_rounds_have_no_interval() -> None:
    found = estimate(median, CALM[:4])

    assert (found.low, found.high) == (None, None)
