"""The statistics against values that can be worked out by hand or looked up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.migration import stats


def test_no_error_in_sixty_still_allows_almost_five_percent() -> None:
    assert stats.clopper_pearson(0, 60, level=0.95).high == pytest.approx(0.0487, abs=1e-4)


@pytest.mark.parametrize(("count", "n", "high"), [(0, 300, 0.00994), (1, 300, 0.0157)])
def test_exact_bounds_match_the_reference(count: int, n: int, high: float) -> None:
    assert stats.clopper_pearson(count, n, level=0.95).high == pytest.approx(high, abs=1e-4)


def test_all_failed_is_bounded_by_one_and_nothing_seen_by_everything() -> None:
    assert stats.clopper_pearson(5, 5, level=0.975).high == 1.0
    assert stats.clopper_pearson(0, 0, level=0.975) == stats.Interval(low=0.0, high=1.0)


def test_368_answers_without_an_error_settle_one_percent() -> None:
    assert stats.needed_for_bound(0, 40, limit=0.01, level=0.975, most=10_000) == 368


def test_a_rate_far_above_the_limit_cannot_be_settled_by_more_data() -> None:
    assert stats.needed_for_bound(50, 100, limit=0.01, level=0.975, most=2_000) is None


def test_wilson_matches_the_textbook() -> None:
    interval = stats.wilson(10, 20, level=0.975)
    assert (interval.low, interval.high) == pytest.approx((0.2993, 0.7007), abs=1e-4)


def test_the_t_interval_is_students() -> None:
    interval = stats.log_t_interval([math.exp(v) for v in (0.1, 0.2, 0.3)], level=0.975)
    assert interval is not None
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert math.log(interval.high) == pytest.approx(0.2 + half, abs=1e-5)


def test_one_round_has_no_interval() -> None:
    assert stats.log_t_interval([1.1], level=0.975) is None


def test_a_draw_repeats_by_its_seed_and_keeps_the_number_of_rounds() -> None:
    first, second = (stats.draw(7, resamples=50, seed=3) for _ in range(2))
    assert np.array_equal(first, second)
    assert set(first.sum(axis=1)) == {7}


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95])
def test_resampled_quantiles_are_those_of_the_repeated_values(q: float) -> None:
    rounds = [[1.0, 5.0], [2.0, 9.0, 4.0], [], [7.0]]
    counts = stats.draw(4, resamples=40, seed=5)
    found = stats.resampled_quantiles(rounds, counts, q)
    for row, value in zip(counts, found, strict=True):
        pooled = [v for times, values in zip(row, rounds, strict=True) for _ in range(times) for v in values]
        expected = np.quantile(pooled, q) if pooled else math.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_equal_arms_have_a_ratio_of_one_whatever_is_drawn() -> None:
    rounds = [[1.0, 2.0], [3.0, 4.0]]
    samples = stats.quantile_ratios(rounds, rounds, stats.draw(2, resamples=100, seed=1), 0.5)
    assert stats.percentile_interval(samples, level=0.975) == stats.Interval(low=1.0, high=1.0)


def test_no_data_has_no_interval() -> None:
    samples = stats.quantile_ratios([[]], [[]], stats.draw(1, resamples=10, seed=1), 0.5)
    assert stats.percentile_interval(samples, level=0.975) is None
    assert stats.paired_difference([], resamples=10, seed=1, level=0.975) is None


def test_a_paired_difference_is_centred_on_its_mean() -> None:
    interval = stats.paired_difference([0.0, 0.1, -0.1, 0.2] * 10, resamples=2000, seed=1, level=0.975)
    assert interval is not None
    assert interval.low < 0.05 < interval.high
    assert interval.high - interval.low < 0.1


class TestSignedRanks:
    def test_the_bounds_are_the_averages_that_the_exact_law_names(self) -> None:
        """Six logs 1..6 at 97.5 %: P(T <= 0) = 1/64, P(T <= 1) = 2/64, so the outermost averages, the values' own."""
        interval = stats.signed_rank_interval([math.exp(v) for v in range(1, 7)], level=0.975)
        assert interval is not None
        assert (math.log(interval.low), math.log(interval.high)) == pytest.approx((1.0, 6.0))

    @pytest.mark.parametrize(("n", "depth"), [(5, 0), (6, 1), (10, 9), (20, 53)])
    def test_the_depths_are_those_of_the_printed_tables(self, n: int, depth: int) -> None:
        """Two-sided 5 %: critical values 0, 8 and 52 for 6, 10 and 20 pairs; none exists for 5."""
        assert stats._signed_rank_depth(n, 0.975) == depth

    def test_one_wild_round_hardly_moves_it(self) -> None:
        calm = [0.9 + n / 100 for n in range(20)]
        before, after = (stats.signed_rank_interval(r, level=0.975) for r in (calm, [*calm[:-1], 50.0]))
        assert before is not None
        assert after is not None
        assert after.high == pytest.approx(before.high, rel=0.02)

    def test_no_ratio_and_too_few_have_no_interval(self) -> None:
        assert stats.signed_rank_interval([], level=0.975) is None
        assert stats.signed_rank_interval([1.0, 0.0], level=0.975) is None
        assert stats.signed_rank_interval([1.0] * 5, level=0.975) is None

    def test_the_typical_ratio_is_the_median_of_averages(self) -> None:
        assert stats.hodges_lehmann([math.exp(v) for v in (0.0, 1.0, 5.0)]) == pytest.approx(math.exp(1.75))


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_quantiles_are_those_of_numpy(n: int, q: float) -> None:
    values = list(np.random.default_rng(n).random(n))
    assert stats.quantile(values, q) == pytest.approx(float(np.quantile(values, q)))
