"""Inputs of the policy loss, and its figures and gradients, for the tests of it; in float64."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from grpo.loss import policy_loss, ratio_figures

ESTIMATORS = [("k1", True), ("k2", False), ("k2", True), ("k3", False), ("k3", True)]  # every one that is accepted
LIMIT = 9  # max_completion_length, longer than any row below


class Inputs(NamedTuple):
    logprobs: Tensor
    old: Tensor
    ref: Tensor
    advantages: Tensor
    mask: Tensor

    def rows(self, selected) -> "Inputs":
        return Inputs(*(tensor[selected] for tensor in self))


def prefix_mask(lengths: list[int], width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def random_inputs(seed: int, lengths: list[int], width: int) -> Inputs:
    """Log-ratios and log-probability differences of about 0.5, so that a good share of tokens is clipped."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = normal(len(lengths), width) - 2
    differences = normal(2, len(lengths), width) / 2
    return Inputs(old + differences[0], old, old + differences[1], normal(len(lengths)), prefix_mask(lengths, width))


def described(inputs: Inputs, **options) -> SimpleNamespace:
    """Loss, policy part and KL part, and the figures of the ratios."""
    result = policy_loss(*inputs, **options)
    epsilons = {"epsilon_low": 0.2, "epsilon_high": 0.2} | {k: v for k, v in options.items() if k.startswith("epsilon")}
    advantages = inputs.advantages[:, None].expand_as(inputs.mask)
    figures = asdict(ratio_figures(result.ratio[inputs.mask], advantages[inputs.mask], **epsilons)) if inputs.mask.any() else {}
    return SimpleNamespace(loss=result.loss, policy=result.policy, kl=result.kl, **figures)


def evaluate(inputs: Inputs, **options) -> tuple[SimpleNamespace, Tensor]:
    """The loss with its figures, and its gradient with respect to the log-probabilities."""
    logprobs = inputs.logprobs.clone().requires_grad_()
    result = described(inputs._replace(logprobs=logprobs), **options)
    (gradient,) = torch.autograd.grad(result.loss, logprobs)
    return result, gradient


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
