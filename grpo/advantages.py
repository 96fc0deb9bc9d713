"""Group-normalised advantages (DeepSeekMath, arXiv:2402.03300, section 4.1.2)."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-4  # added to a standard deviation before dividing by it
Scale = Literal["group", "batch", "none"]
Rule = Literal["group", "retain_only", "balanced"]


@dataclass(frozen=True)
class GroupAdvantages:
    advantages: Float[Tensor, " n"]
    std: Float[Tensor, " groups"]  # of each group's rewards, Bessel-corrected
    constant: Bool[Tensor, " groups"]  # groups whose rewards are all equal

    @property
    def constant_share(self) -> float:
        return self.constant.double().mean().item()


def group_advantages(rewards: Float[Tensor, " n"], group_size: int, scale: Scale = "group") -> GroupAdvantages:
    """(r - mean) / (std + 1e-4) with the mean of each group of `group_size` successive rewards.

    The standard deviation, Bessel-corrected, is the group's (`group`), the whole batch's (`batch`), or left out
    (`none`: Dr. GRPO, arXiv:2503.20783). A group whose rewards are all equal gets exact zeros: its maximum equals its
    minimum, whatever rounding makes of its standard deviation.

    Raises ValueError for an unknown scale, a group size below 2, or rewards that do not form whole groups, or none.
    """
    if group_size < 2 or not len(rewards) or len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards do not form groups of {group_size}")
    grouped = rearrange(rewards, "(groups size) -> groups size", size=group_size)
    constant = grouped.amax(1) == grouped.amin(1)
    std = grouped.std(1).masked_fill(constant, 0.0)
    centred = (grouped - grouped.mean(1, keepdim=True)).masked_fill(constant[:, None], 0.0)
    match scale:
        case "group":
            scaled = centred / (std[:, None] + EPSILON)
        case "batch":
            scaled = centred / (rewards.std() + EPSILON)
        case "none":
            scaled = centred
        case _:
            raise ValueError(f"scale {scale!r}: accepted are group, batch, none")
    return GroupAdvantages(torch.flatten(scaled), std, constant)


def routed_advantages(
    rewards: Float[Tensor, " n"], good: Bool[Tensor, " n"], group_size: int, rule: Rule, scale: Scale = "group"
) -> GroupAdvantages:
    """Advantages that know which samples are `good`. G stands for the good samples of a group:

    `group`        everything over the whole group, as `group_advantages`
    `retain_only`  good: (r - mean_G) / (std_G + 1e-4); bad: as in `group`
    `balanced`     all: (r - mean_G) / (std_group + 1e-4)

    An empty G has the group's mean; the one sample of a G of one gets 0. With `group` the good samples' mean sinks below
    zero as bad ones earn more, which pushes everything that learns from good samples alone away from them. A `scale` of
    `batch` or `none` replaces every standard deviation as in `group_advantages`; good samples of equal rewards get exact
    zeros with `retain_only`. Raises ValueError as `group_advantages` does, and for an unknown rule.
    """
    whole = group_advantages(rewards, group_size, scale)
    if rule == "group":
        return whole
    if rule not in get_args(Rule):
        raise ValueError(f"advantage rule {rule!r}: accepted are {', '.join(get_args(Rule))}")
    grouped = rearrange(rewards, "(groups size) -> groups size", size=group_size)
    good = rearrange(good, "(groups size) -> groups size", size=group_size)
    count = good.sum(1, keepdim=True)
    highest = grouped.masked_fill(~good, -torch.inf).amax(1, keepdim=True)
    alike = highest == grouped.masked_fill(~good, torch.inf).amin(1, keepdim=True)
    mean = torch.where(count > 0, (grouped * good).sum(1, keepdim=True) / count.clamp(min=1), grouped.mean(1, keepdim=True))
    mean = torch.where(alike, highest, mean)  # exactly, whatever rounding makes of the mean of equal numbers
    centred = grouped - mean
    variance = ((centred * good) ** 2).sum(1, keepdim=True) / (count - 1).clamp(min=1)  # Bessel-corrected
    std = {"retain_only": variance.sqrt(), "balanced": whole.std[:, None]}[rule]
    divisor = {"group": std + EPSILON, "batch": rewards.std() + EPSILON, "none": torch.ones_like(std)}[scale]
    scaled = (centred / divisor).masked_fill(whole.constant[:, None], 0.0)
    if rule == "retain_only":
        scaled = torch.where(good, scaled, rearrange(whole.advantages, "(groups size) -> groups size", size=group_size))
    return GroupAdvantages(torch.flatten(scaled), whole.std, whole.constant)
