"""Intervals against scipy's and against slow loops. Whether they cover what they say: test_coverage.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from records.estimates import (
    RESAMPLES,
    SAMPLES,
    Estimate,
    bootstrapped,
    is_above_noise,
    over_samples,
    over_seeds,
    percentiles,
    quantile,
)


def test_a_run_which_has_no_seeds_to_compare_does_without_scipy():
    program = "import sys, records.measures; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_quantiles_are_student_s():
    counts = [*range(2, 33), 41, 101, 1001, 10**6]
    np.testing.assert_allclose([quantile(n) for n in counts], stats.t.ppf(0.975, [n - 1 for n in counts]))


@pytest.mark.parametrize("count", [2, 3, 10, 31, 32, 200])
def test_the_interval_over_seeds_is_scipy_s(count: int):
    values = np.random.default_rng(count).normal(3, 2, count)
    estimate = over_seeds([*values, None])
    assert (estimate.n, estimate.over, estimate.value) == (count, "seeds", pytest.approx(values.mean()))
    expected = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(estimate.interval, expected)


def test_without_a_spread_there_is_no_interval():
    assert over_seeds([]) == over_seeds([None, None]) == Estimate(None, None, 0)
    assert over_seeds([0.5, None]) == Estimate(0.5, None, 1)
    assert over_seeds([0.5, 0.5]) == over_seeds([0.1 + 0.4, 0.2 + 0.3]) == Estimate(0.5, None, 2)
    assert over_samples(np.full(9, 0.5), 4) == Estimate(0.5, None, 4, SAMPLES)
    assert over_samples(np.array([0.5, 0.4, np.inf]), 4) == Estimate(0.5, None, 4, SAMPLES)


SIDES = {(0.1, 0.2): "above", (-0.2, -0.1): "below", (-0.1, 0.1): "within", (0.0, 0.1): "within", None: None}


@pytest.mark.parametrize(("interval", "side"), SIDES.items())
def test_which_side_of_zero_an_interval_lies_on(interval: tuple[float, float] | None, side: str | None):
    assert Estimate(0.15, interval, 3).side == side


def test_the_bootstrap_draws_the_same_samples_of_every_column():
    """One sample at a time; 2.5 and 97.5 % of the resampled means, and of their differences."""
    columns = {("a",): [0.0, 1.0, 1.0, 0.0, 0.25], ("b",): [1.0, 0.0, 0.5, 0.0, 0.0]}
    resampled, draws = bootstrapped(columns), np.random.default_rng(0)
    picks = [draws.integers(5, size=5).tolist() for _ in range(RESAMPLES)]
    slow = {name: [sum(values[i] for i in pick) / 5 for pick in picks] for name, values in columns.items()}
    for name, values in columns.items():
        np.testing.assert_allclose(resampled[name], [sum(values) / 5, *slow[name]])
    estimate = over_samples(resampled["a",] - resampled["b",], 5)
    differences = sorted(a - b for a, b in zip(slow["a",], slow["b",], strict=True))
    assert (estimate.value, estimate.n, estimate.over) == (pytest.approx(0.15), 5, SAMPLES)
    assert estimate.interval == pytest.approx([np.quantile(differences, at) for at in (0.025, 0.975)])


@pytest.mark.parametrize(("ones", "n"), [(300, 1000), (5, 20), (50, 64)])
def test_the_interval_of_a_share_is_that_of_the_binomial(ones: int, n: int):
    # Resampling k ones among n gives exactly Binomial(n, k/n). Of 1,000 draws the 2.5 % quantile lies between the exact
    # 1.2 % and 4.2 % quantiles but for about 1 in 1,000.
    low, high = percentiles(bootstrapped({(): [1.0] * ones + [0.0] * (n - ones)})[()])
    exact = stats.binom(n, ones / n)
    assert exact.ppf(0.012) <= low * n <= exact.ppf(0.042)
    assert exact.ppf(1 - 0.042) <= high * n <= exact.ppf(1 - 0.012)


def test_the_interval_is_scipy_s_percentile_interval():
    values = np.random.default_rng(0).exponential(size=100)
    reference = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", random_state=1).confidence_interval
    # Either end has a Monte Carlo error of about sqrt(0.025 * 0.975 / 1000) / (density of 0.06 a standard error), 0.085 of them.
    error = values.std(ddof=1) / 10
    assert percentiles(bootstrapped({(): values})[()]) == pytest.approx(tuple(reference), abs=0.25 * error)


def test_the_interval_of_a_constant_is_that_constant():
    assert percentiles(bootstrapped({(): [0.5] * 10})[()]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "above"),
    [
        ([0.0, 1.0, 1.0, 1.0], True),  # mean 0.75, standard error 0.25
        ([0.0, 1.0, 1.0, 0.0], False),  # 0.5, 0.289
        ([0.5, 0.5], True),
        ([-0.5, -0.6], False),
        ([0.0, 0.0], False),
        ([0.5], False),
    ],
)
def test_what_is_above_its_noise(values: list[float], above: bool):
    assert is_above_noise(np.array(values)) is above
