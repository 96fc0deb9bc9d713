"""Means and shares with 95 % intervals by Student's t. What could not be computed is None, and takes no part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # Student's quantiles; all of scipy.stats takes seconds to import

from records.figures import Number, mean, std

Values = Sequence[float] | np.ndarray
SEEDS, SAMPLES = "seeds", "samples"


@dataclass(frozen=True)
class Estimate:
    """A mean or a share of `n` seeds, or of the samples of one. With one value there is no interval."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    over: str = SEEDS

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def quantile(n: int) -> float:
    """Of n values; two-sided."""
    return float(stdtrit(n - 1, 0.975))


def mean_estimate(values: Sequence[Number] | np.ndarray, over: str = SEEDS) -> Estimate:
    """Of the values that there are."""
    present = [float(value) for value in values if value is not None]
    centre, spread = mean(present), std(present)
    if centre is None or spread is None:
        return Estimate(centre, None, None, len(present), over)
    half = quantile(len(present)) * spread / math.sqrt(len(present))
    return Estimate(centre, centre - half, centre + half, len(present), over)


def share_estimate(parts: Values, wholes: Values, over: str = SEEDS) -> Estimate:
    """The mean of `parts` as a share of the mean of `wholes`, pairs of values, with Fieller's interval (1954).

    It holds every share that a t test of parts - share * wholes does not refuse, so it allows for the noise of both. None
    where the mean of the wholes is not above 0 beyond its own noise: then the share could be anything.
    """
    n = len(parts)
    if n < 2:
        return Estimate(None, None, None, n, over)
    (a, b), covariance = (float(np.mean(parts)), float(np.mean(wholes))), np.cov(parts, wholes) * (quantile(n) ** 2 / n)
    least = b**2 - covariance[1, 1]
    if b <= 0 or least <= 1e-12 * b**2:
        return Estimate(None, None, None, n, over)
    middle, rest = a * b - covariance[0, 1], a**2 - covariance[0, 0]
    half = math.sqrt(max(0.0, middle**2 - least * rest))
    return Estimate(a / b, (middle - half) / least, (middle + half) / least, n, over)
