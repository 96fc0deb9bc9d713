"""Means over seeds, with their intervals. What could not be computed is None, and takes no part."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

# Student's t, two-sided 95 %, for 1, 2, 3, ... degrees of freedom.
T_95 = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139,
    2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963,
    2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
)  # fmt: skip


def t_95(freedom: int) -> float:
    """Beyond the table, the first terms of its expansion around the normal distribution (Cornish and Fisher)."""
    if freedom <= len(T_95):
        return T_95[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def mean_and_interval(values: Sequence[float | None]) -> dict[str, Any]:
    """n, mean and 95 % interval of the mean over the values that there are; std is Bessel-corrected, one value has none."""
    present = [float(value) for value in values if value is not None]
    if not present:
        return {"n": 0, "mean": None, "interval": None}
    mean = fmean(present)
    if len(present) < 2:
        return {"n": 1, "mean": mean, "interval": None}
    half = t_95(len(present) - 1) * stdev(present) / math.sqrt(len(present))
    return {"n": len(present), "mean": mean, "interval": [mean - half, mean + half]}


def share(flags: Sequence[bool | None]) -> dict[str, Any]:
    """n and the share of flags that are true, of those that there are."""
    return mean_and_interval([None if flag is None else float(flag) for flag in flags]) | {"interval": None}
