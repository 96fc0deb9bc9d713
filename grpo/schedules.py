"""How the learning rate goes on after the warm-up, by the name of the setting. Needs no torch; another one is an entry."""

import math
from collections.abc import Callable

# Of the peak, the steps done since the warm-up and all steps after it.
Schedule = Callable[[float, int, int], float]


def linear(peak: float, done: int, steps: int) -> float:
    """Falls along a straight line, which would reach zero after the last step."""
    return peak * (steps - done) / steps


def constant(peak: float, _done: int, _steps: int) -> float:
    """Stays at its peak."""
    return peak


def cosine(peak: float, done: int, steps: int) -> float:
    """Falls along half a cosine, which would reach zero after the last step (SGDR, arXiv:1608.03983, eq. 5)."""
    return peak * (1 + math.cos(math.pi * done / steps)) / 2


SCHEDULES: dict[str, Schedule] = {"linear": linear, "constant": constant, "cosine": cosine}
