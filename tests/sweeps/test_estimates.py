"""Intervals against scipy's."""

import numpy as np
import pytest
from scipy import stats

from sweeps.estimates import Estimate, mean_estimate, quantile, share_estimate


def test_quantiles_are_student_s():
    counts = [*range(2, 33), 41, 101, 1001, 10**6]
    np.testing.assert_allclose([quantile(n) for n in counts], stats.t.ppf(0.975, [n - 1 for n in counts]))


@pytest.mark.parametrize("count", [2, 3, 10, 31, 32, 200])
def test_the_interval_of_a_mean_is_scipy_s(count: int):
    values = np.random.default_rng(count).normal(3, 2, count)
    estimate = mean_estimate([*values, None])
    expected = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.n, estimate.over) == (count, "seeds")
    np.testing.assert_allclose([estimate.mean, estimate.low, estimate.high], [values.mean(), *expected])


def test_what_can_not_be_computed_is_none():
    assert mean_estimate([]) == mean_estimate([None, None]) == Estimate(None, None, None, 0)
    assert mean_estimate([0.5, None]) == Estimate(0.5, None, None, 1)
    assert mean_estimate([0.5, 0.5]) == Estimate(0.5, 0.5, 0.5, 2)
    assert mean_estimate([0.5]).interval is None


@pytest.mark.parametrize("count", [2, 3, 10, 200])
def test_the_ends_of_a_share_s_interval_are_where_a_t_test_starts_to_refuse(count: int):
    generator = np.random.default_rng(count)
    wholes = generator.normal(1.0, 0.05, count)
    parts = 0.7 * wholes + generator.normal(0, 0.03, count)
    estimate = share_estimate(parts, wholes)
    assert estimate.mean == pytest.approx(parts.mean() / wholes.mean())
    assert estimate.low < estimate.mean < estimate.high
    for end in (estimate.low, estimate.high):
        assert stats.ttest_1samp(parts - end * wholes, 0).pvalue == pytest.approx(0.05)


def test_a_share_without_noise_is_itself():
    estimate = share_estimate([0.25, 0.25], [0.5, 0.5])
    assert (estimate.mean, estimate.low, estimate.high, estimate.n) == (0.5, 0.5, 0.5, 2)


@pytest.mark.parametrize(
    "wholes",
    [
        [0.01, 0.09],  # t = 1.25: not told from 0
        [0.1, -0.1],
        [0.0, 0.0],
        [-0.5, -0.6],  # told from 0, but nothing was gained
        [0.5],
    ],
)
def test_there_is_no_share_of_what_is_not_above_zero_beyond_its_noise(wholes: list[float]):
    estimate = share_estimate([0.1] * len(wholes), wholes)
    assert (estimate.mean, estimate.low, estimate.high, estimate.n) == (None, None, None, len(wholes))
