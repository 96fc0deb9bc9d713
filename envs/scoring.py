"""From completions to scores, with every value checked: a broken reward function must stop a run, never skew it."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from envs.marks import marked
from envs.types import Audit, BoundComponent, BoundReward, Completion, ContractViolation, Predicate, Scores, Values

FaultOf = Callable[[object], str | None]
ROUNDING = 1e-6  # of values in [0, 1]; what is less than that beyond them counts as 0 or 1


def score(reward: BoundReward, detector: Predicate, completions: list[Completion], eligible: list[bool] | None = None) -> Scores:
    """Rewards, raw components and detections of N completions; each function is called once.

    A reward is the sum of scale × value over the components, at most the cap. For a sample that is not `eligible` only the
    retain components count; its forget components are reported all the same. None: all are eligible.
    Raises ContractViolation for wrong values and functions that raise, ValueError for `eligible` of another length.
    """
    if eligible is None:
        eligible = [True] * len(completions)
    if len(eligible) != len(completions):
        raise ValueError(f"eligible has {len(eligible)} values for {len(completions)} completions")
    components = {part.name: _checked_values(part, completions) for part in reward.components}
    rewards = combined_rewards(reward, components, eligible, [0.0] * len(completions))
    return Scores(rewards, components, _checked_flags(f"detector {detector}", detector, completions))


def audit(reward: BoundReward, completions: list[Completion]) -> Audit:
    """The ground truth, by the reward's hack predicate, and what is marked.

    Raises ContractViolation for wrong values and functions that raise.
    """
    hacked = None if reward.hack is None else _checked_flags(f"hack predicate {reward.hack}", reward.hack, completions)
    return Audit(hacked, marked(reward, completions))


def combined_rewards(
    reward: BoundReward, components: dict[str, Values], eligible: Sequence[bool], penalties: Sequence[float]
) -> Values:
    """Of unscaled components; a penalty is taken off what the forget components pay a sample, at most all of it."""
    parts = {part.name: part for part in reward.components}
    rewards = []
    for each, penalty, *row in zip(eligible, penalties, *components.values(), strict=True):
        paid = {"retain": 0.0, "forget": 0.0}
        for name, value in zip(components, row, strict=True):
            paid[parts[name].role] += parts[name].scale * value
        forget = paid["forget"] - min(penalty, max(paid["forget"], 0.0)) if each else 0.0
        rewards.append(min(paid["retain"] + forget, math.inf if reward.cap is None else reward.cap))
    return rewards


def _checked_values(component: BoundComponent, completions: list[Completion]) -> Values:
    what, bounded = f"reward {component.name}", component.bounded
    values = map(float, _checked_call(what, component.function, completions, partial(_number_fault, bounded=bounded)))
    return [min(max(value, 0.0), 1.0) for value in values] if bounded else [*values]


def _checked_flags(what: str, predicate: Predicate, completions: list[Completion]) -> list[bool]:
    return [*map(bool, _checked_call(what, predicate, completions, _bool_fault))]


def _checked_call(what: str, function: Callable[..., Any], completions: list[Completion], fault_of: FaultOf) -> list[Any]:
    """Call it, and let through one sound value for each completion: one with which `fault_of` finds no fault."""
    try:
        values = function(completions)
    except Exception as error:
        raise ContractViolation(f"{what} raised {_one_line(error)} {_raised_at(function, completions)}") from error
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ContractViolation(f"{what} returned an array of shape {values.shape}; a list is wanted")
    if not isinstance(values, list | tuple | np.ndarray):
        raise ContractViolation(f"{what} returned a {type(values).__name__}; a list is wanted")
    if len(values) != len(completions):
        raise ContractViolation(f"{what} returned {len(values)} values for {len(completions)} completions")
    for index, value in enumerate(values):
        if fault := fault_of(value):
            given = " ".join(repr(value).split())
            raise ContractViolation(f"{what} returned {given} {_place(index, completions, fault)}")
    return list(values)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _place(index: int, completions: list[Completion], fault: str = "") -> str:
    return f"at index {index}{fault and f', {fault}'}; prompt {completions[index].prompt.text!r}"


def _raised_at(function: Callable[..., Any], completions: list[Completion]) -> str:
    """Which completion it raises for, each of them given alone."""
    alone = (index for index, completion in enumerate(completions) if _raises(function, completion))
    index = next(alone, None)
    return f"for {len(completions)} completions together, for none alone" if index is None else _place(index, completions)


def _raises(function: Callable[..., Any], completion: Completion) -> bool:
    with suppress(Exception):
        function([completion])
        return False
    return True


def _number_fault(value: object, bounded: bool) -> str | None:
    """A bounded one may be beyond its bounds by rounding."""
    if not isinstance(value, Real | np.bool_):
        return "not a number"
    try:
        number = float(value)
    except OverflowError:  # an int or a fraction
        number = math.inf
    if not math.isfinite(number):
        return "not finite"
    return "not in [0, 1]" if bounded and not -ROUNDING <= number <= 1 + ROUNDING else None


def _bool_fault(value: object) -> str | None:
    return None if isinstance(value, bool | np.bool_) else "not a bool"
