"""From completions to scores, with every value checked: a broken reward function must stop a run, never skew it."""

import math
from numbers import Real

from envs.rewards import BoundComponent, BoundReward
from envs.types import Audit, Completion, ContractViolation, Predicate, RewardFunction, Scores, Values

TRUE_FROM = 0.5


def score(reward: BoundReward, detector: Predicate, completions: list[Completion], eligible: list[bool] | None = None) -> Scores:
    """Rewards, raw components and detections of N completions; each function is called once.

    A reward is the sum of scale × value over the components, at most the cap. For a sample that is not `eligible` only the
    retain components count; its forget components are reported all the same. None: all are eligible.
    Raises ContractViolation for wrong values, ValueError for `eligible` of another length.
    """
    if eligible is None:
        eligible = [True] * len(completions)
    if len(eligible) != len(completions):
        raise ValueError(f"eligible has {len(eligible)} values for {len(completions)} completions")
    components = {part.name: _component_values(part, completions) for part in reward.components}
    rewards = [_combine(reward, {name: components[name][i] for name in components}, eligible[i]) for i in range(len(eligible))]
    return Scores(rewards, components, _truths(f"detector {detector}", detector, completions))


def audit(reward: BoundReward, completions: list[Completion]) -> Audit:
    """The ground truth, by the reward's hack predicate. Raises ContractViolation for wrong values."""
    return Audit(None if reward.hack is None else _truths(f"hack predicate {reward.hack}", reward.hack, completions))


def _combine(reward: BoundReward, values: dict[str, float], eligible: bool) -> float:
    paid = [part for part in reward.components if eligible or part.role == "retain"]
    total = sum((part.scale * values[part.name] for part in paid), start=0.0)
    return total if reward.cap is None else min(total, reward.cap)


def _component_values(component: BoundComponent, completions: list[Completion]) -> Values:
    return _checked(f"reward {component.name}", component.function, completions, component.bounded)


def _truths(what: str, predicate: Predicate, completions: list[Completion]) -> list[bool]:
    return [value >= TRUE_FROM for value in _checked(what, predicate, completions, bounded=True)]


def _checked(what: str, function: RewardFunction, completions: list[Completion], bounded: bool) -> Values:
    """Call it, and let through one finite number for each completion, in [0, 1] if `bounded`."""
    values = function(completions)
    if not isinstance(values, list | tuple):
        raise ContractViolation(f"{what} returned a {type(values).__name__}; a list of floats is wanted")
    if len(values) != len(completions):
        raise ContractViolation(f"{what} returned {len(values)} values for {len(completions)} completions")
    for index, value in enumerate(values):
        fault = _fault(value, bounded)
        if fault:
            prompt = completions[index].prompt.text
            raise ContractViolation(f"{what} returned {value!r} at index {index}, {fault}; prompt {prompt!r}")
    return [float(value) for value in values]


def _fault(value: object, bounded: bool) -> str | None:
    if not isinstance(value, Real):
        return "not a number"
    if not math.isfinite(value):
        return "not finite"
    return "not in [0, 1]" if bounded and not 0.0 <= float(value) <= 1.0 else None
