"""Figures of runs: how they are worked out of rows, and how a table shows them. What could not be computed is None."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Number = float | int | None
WINDOW = 20  # steps at either end of training that a figure is averaged over, and at the moment that a speed is


def cell(value: Number, digits: int = 3) -> str:
    """A figure as a table shows it; "–" for what could not be computed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:.{digits}f}"


def cell_with_interval(value: Number, interval: Sequence[float] | None) -> str:
    """0.250 [0.100, 0.400]."""
    return cell(value) + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if value is not None and interval else "")


def duration(seconds: float | None) -> str:
    """89 s, 12 min, 3 h 05 min."""
    if seconds is None:
        return cell(None)
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def mean(values: Sequence[float | int]) -> float | None:
    return sum(values) / len(values) if values else None


def minus(first: float | None, second: float | None) -> float | None:
    """None where either was not computed."""
    return None if first is None or second is None else first - second


def window_means(rows: Sequence[Mapping[str, Number]], names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Of the first and of the last steps by name; None where any of the steps could not compute it."""
    ends = {"first": rows[:WINDOW], "last": rows[-WINDOW:]}
    return {name: {end: whole_mean([row[name] for row in part]) for end, part in ends.items()} for name in names}


def whole_mean(values: Sequence[Number]) -> float | None:
    """None when any of them is."""
    known = [float(value) for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def std(values: Sequence[float]) -> float | None:
    """Bessel-corrected; None below two values."""
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def share(flags: Sequence[bool]) -> float | None:
    return mean([float(flag) for flag in flags])


def both_hold(first: Sequence[bool], second: Sequence[bool]) -> list[bool]:
    return [a and b for a, b in zip(first, second, strict=True)]


def where(values: Sequence, flags: Sequence[bool], wanted: bool = True) -> list:
    return [value for value, flag in zip(values, flags, strict=True) if flag == wanted]


def task_components(made_of: Mapping[str, Any]) -> list[str]:
    """Names of the reward's components with the role retain, from what run.json holds."""
    return [name for name, role in made_of["components"].items() if role == "retain"]


def task_reward(made_of: Mapping[str, Any], figures: Mapping[str, Any]) -> float | None:
    """Mean of the task's components (unscaled, so in [0, 1]) of one mode's figures; None where one was not computed."""
    return whole_mean([figures.get(f"rewards/{name}") for name in task_components(made_of)])
