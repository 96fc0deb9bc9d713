"""Group-normalised advantages (DeepSeekMath, arXiv:2402.03300, section 4.1.2), and rules that know good from bad samples.

Written with the methods of tensors alone, so that the names of rules and scales can be had without torch. A new one is
an entry of SCALES or RULES.
"""

import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Float

from grpo.choices import lookup

EPSILON = 1e-4  # added to a standard deviation before dividing by it
Grouped = Float[Any, "groups size"]
Flags = Bool[Any, "groups size"]
Std = Float[Any, "groups 1"]  # Bessel-corrected
Divide = Callable[[Grouped, Std], Grouped]  # centred rewards by what the scale makes of a standard deviation of each group
Rule = Callable[[Grouped, Flags, Std, Divide], Grouped]


# What centred rewards are divided by: of all rewards and of a standard deviation of each group.
SCALES: dict[str, Callable[[Grouped, Std], Any]] = {
    "group": lambda _, std: std + EPSILON,
    "batch": lambda rewards, _: rewards.flatten().std() + EPSILON,
    "none": lambda *_: 1.0,  # Dr. GRPO, arXiv:2503.20783
}


def whole_group(rewards: Grouped, _: Flags, std: Std, divide: Divide) -> Grouped:
    """All samples are compared with the mean of their group: plain GRPO."""
    return divide(rewards - rewards.mean(1, keepdim=True), std)


def good_only(rewards: Grouped, good: Flags, std: Std, divide: Divide) -> Grouped:
    """Good samples are compared with the good ones of their group alone, bad ones with the whole group."""
    centred = rewards - good_mean(rewards, good)
    variance = ((centred * good) ** 2).sum(1, keepdim=True) / (good.sum(1, keepdim=True) - 1).clamp(min=1)  # Bessel-corrected
    return divide(centred, variance.sqrt()).where(good, whole_group(rewards, good, std, divide))


def balanced(rewards: Grouped, good: Flags, std: Std, divide: Divide) -> Grouped:
    """All samples are compared with the mean of the good ones of their group."""
    return divide(rewards - good_mean(rewards, good), std)


def good_mean(rewards: Grouped, good: Flags) -> Float[Any, "groups 1"]:
    """Of each group's good samples; the whole group's where none is good. Of equal rewards it is exactly theirs."""
    count = good.sum(1, keepdim=True)  # [groups, 1], as everything below
    highest = rewards.masked_fill(~good, -math.inf).amax(1, keepdim=True)
    lowest = rewards.masked_fill(~good, math.inf).amin(1, keepdim=True)
    mean = ((rewards * good).sum(1, keepdim=True) / count.clamp(min=1)).where(count > 0, rewards.mean(1, keepdim=True))
    return highest.where(highest == lowest, mean)  # whatever rounding makes of the mean of equal numbers


RULES: dict[str, Rule] = {"good_only": good_only, "group": whole_group, "balanced": balanced}


def group_advantages(rewards: Float[Any, " n"], group_size: int, scale: str = "group") -> Float[Any, " n"]:
    """(r - mean) / (std + 1e-4) with the mean of each group of `group_size` successive rewards.

    The standard deviation, Bessel-corrected, is the group's (`group`), the whole batch's (`batch`), or left out (`none`).
    A group whose rewards are all equal gets exact zeros: its maximum equals its minimum, whatever rounding makes of its
    standard deviation.

    Raises ValueError for an unknown scale, a group size below 2, or rewards that do not form whole groups, or none.
    """
    return routed_advantages(rewards, rewards.new_ones(len(rewards)).bool(), group_size, "group", scale)


def routed_advantages(
    rewards: Float[Any, " n"], good: Bool[Any, " n"], group_size: int, rule: str, scale: str = "group"
) -> Float[Any, " n"]:
    """Advantages that know which samples are `good`. G stands for the good samples of a group:

    `group`      everything over the whole group, as `group_advantages`
    `good_only`  good: (r - mean_G) / (std_G + 1e-4); bad: as in `group`
    `balanced`   all: (r - mean_G) / (std_group + 1e-4)

    An empty G has the group's mean; the one sample of a G of one gets 0. With `group` the good samples' mean sinks below
    zero as bad ones earn more, which pushes everything that learns from good samples alone away from them. A `scale` of
    `batch` or `none` replaces every standard deviation as in `group_advantages`; good samples of equal rewards get exact
    zeros with `good_only`. Raises ValueError as `group_advantages` does, and for an unknown rule.
    """
    if group_size < 2 or not len(rewards) or len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards do not form groups of {group_size}")
    advantages_by, divisor_of = lookup(RULES, rule, "advantage rule"), lookup(SCALES, scale, "scale")
    grouped, good = rewards.reshape(-1, group_size), good.reshape(-1, group_size)  # [groups, size]
    constant = grouped.amax(1) == grouped.amin(1)  # [groups]
    std = grouped.std(1).masked_fill(constant, 0.0)  # [groups]
    advantages = advantages_by(grouped, good, std[:, None], lambda centred, spread: centred / divisor_of(grouped, spread))
    return advantages.masked_fill(constant[:, None], 0.0).flatten()


def penalized_rewards(rewards: Float[Any, " n"], labelled: Bool[Any, " n"], penalty: float) -> Float[Any, " n"]:
    """The penalty is taken off the reward of labelled samples, at most all of it."""
    return (rewards - rewards.clamp(0, penalty)).where(labelled, rewards)
