"""Group-normalised advantages (DeepSeekMath, arXiv:2402.03300, section 4.1.2)."""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-4  # added to a standard deviation before dividing by it
Scale = Literal["group", "batch", "none"]


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

    Raises ValueError for an unknown scale, a group size below 2, or rewards that do not form whole groups.
    """
    if group_size < 2 or len(rewards) % group_size:
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
