"""AdamW (Loshchilov and Hutter, arXiv:1711.05101), computed by torch's functional form of it.

`torch.optim.AdamW` computes the same bits. It also imports torch's compiler, which nothing here uses: two to four seconds
at the start of every process.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adamw import adamw

EPS = 1e-8  # added to the root of the second moment
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # the state of a parameter


class AdamW:
    """`param_groups`, `state`, `step` and `zero_grad` are what they are in `torch.optim.AdamW`.

    Each group has `params`, `lr`, `betas` and `weight_decay`. A parameter without a gradient is left as it is, moments and
    counter included.
    """

    def __init__(self, groups: list[dict[str, Any]]):
        self.param_groups = groups
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            states = [self.state.setdefault(p, fresh_moments(p)) for p in learning]
            averages, squares, counters = ([state[key] for state in states] for key in MOMENTS)
            (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
            adamw(learning, [p.grad for p in learning], averages, squares, [], counters, amsgrad=False, beta1=beta1, beta2=beta2,
                  lr=lr, weight_decay=decay, eps=EPS, maximize=False)  # fmt: skip

    def zero_grad(self) -> None:
        """Gradients are None afterwards, not zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def fresh_moments(parameter: Parameter) -> dict[str, Tensor]:
    return {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter), "step": torch.zeros(())}
