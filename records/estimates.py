"""Values with 95 % intervals: over seeds by Student's t, over the samples of one run by the bootstrap. No torch.

An interval over seeds is about further seeds, answering the same evaluation prompts with the same draws. One over samples is
about further samples of that run, and says nothing of other seeds. What could not be computed is None.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from records.figures import Number, cell_with_interval, mean, std

SEEDS, SAMPLES = "seeds", "samples"  # of one run
RESAMPLES = 1_000
NOISE = 1.96  # standard errors over samples
EQUAL = 1e-12  # values so close differ by rounding alone
ABOVE, BELOW, WITHIN = "above", "below", "within"
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A value of `n` seeds or samples. There is no interval without a spread: with one value, or where all are equal."""

    value: float | None
    interval: Interval | None
    n: int
    over: str = SEEDS

    @property
    def side(self) -> str | None:
        """Where the interval lies beside 0; None where there is none."""
        if self.interval is None:
            return None
        low, high = self.interval
        return ABOVE if low > 0 else BELOW if high < 0 else WITHIN

    @property
    def text(self) -> str:
        return cell_with_interval(self.value, self.interval)

    @property
    def basis(self) -> str:
        return f"{self.n} {self.over}" + (" of one run" if self.over == SAMPLES else "")


def quantile(n: int) -> float:
    """Student's, of n values; two-sided."""
    from scipy.special import stdtrit  # here, because no run needs it; all of scipy.stats takes seconds to import

    return float(stdtrit(n - 1, 0.975))


def over_seeds(values: Sequence[Number]) -> Estimate:
    """The mean of the values that there are, one a seed."""
    present = [float(value) for value in values if value is not None]
    centre, spread = mean(present), std(present)
    if centre is None or spread is None or spread <= EQUAL * max(1.0, abs(centre)):
        return Estimate(centre, None, len(present))
    half = quantile(len(present)) * spread / math.sqrt(len(present))
    return Estimate(centre, (centre - half, centre + half), len(present))


def is_above_noise(values: np.ndarray) -> bool:
    """Whether the mean of a run's samples is above 0 by more than `NOISE` standard errors."""
    return bool(len(values) > 1 and values.mean() > NOISE * values.std(ddof=1) / math.sqrt(len(values)))


def bootstrapped(columns: Mapping[tuple[str, ...], Sequence[float] | np.ndarray]) -> dict[tuple[str, ...], np.ndarray]:
    """Of each column of samples its mean, then `RESAMPLES` means of as many samples drawn again.

    The same samples are drawn of all columns, so that what is made of several means is paired; and the same in every call.
    """
    table = np.array([*columns.values()], dtype=float)  # [columns, n]
    draws, n = np.random.default_rng(0), table.shape[1]
    counts = (np.bincount(draws.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))  # of each sample in a resample
    means = [table.mean(1), *(table @ count / n for count in counts)]
    return dict(zip(columns, np.transpose(means), strict=True))


def percentiles(values: np.ndarray) -> Interval:
    """Of a value of samples, and then its values of the resamples: the 95 % interval of these (Efron 1979)."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return float(low), float(high)


def over_samples(values: np.ndarray, n: int) -> Estimate:
    """Of the value of n samples, and then its values of the resamples."""
    spread = np.isfinite(values[1:]).all() and np.ptp(values[1:]) > EQUAL
    return Estimate(float(values[0]), percentiles(values) if spread else None, n, SAMPLES)


def mean_over_samples(values: np.ndarray) -> Estimate:
    return over_samples(bootstrapped({(): values})[()], len(values))
