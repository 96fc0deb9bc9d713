"""Figures of runs: how they are worked out of rows, and how a table shows them. What could not be computed is None."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Number = float | int | None


def cell(value: Number, digits: int = 3) -> str:
    """A figure as a table shows it; "–" for what could not be computed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:.{digits}f}"


def mean(values: Sequence[float | int]) -> float | None:
    return sum(values) / len(values) if values else None


def std(values: Sequence[float]) -> float | None:
    """Bessel-corrected; None below two values."""
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def share(flags: Sequence[bool]) -> float | None:
    return mean([float(flag) for flag in flags])


def where(values: Sequence, flags: Sequence[bool], wanted: bool = True) -> list:
    return [value for value, flag in zip(values, flags, strict=True) if flag == wanted]


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; None when either is constant."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return float(np.corrcoef(np.array([x, y], dtype=float))[0, 1])


def task_components(made_of: Mapping[str, Any]) -> list[str]:
    """Names of the reward's components with the role retain, from what run.json holds."""
    return [name for name, role in made_of["components"].items() if role == "retain"]


def task_reward(made_of: Mapping[str, Any], figures: Mapping[str, Any]) -> float | None:
    """Mean of the task's components (unscaled, so in [0, 1]) of one mode's figures; None where one was not computed."""
    values = [figures.get(f"rewards/{name}") for name in task_components(made_of)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
