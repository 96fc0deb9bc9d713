"""The policy loss as a pure function of tensors: clipped surrogate plus KL penalty, token by token.

Each loss is a sum over tokens divided by a number of the whole batch, its `denominator`. Handed to every part
of a batch, that number makes the parts' losses and gradients add up to the whole's, however it is split.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grpo.choices import lookup
from grpo.loss_terms import CORRECTED_ONLY, KL_ESTIMATORS, LOSS_TYPES

PerToken = Float[Tensor, "n t"]  # of completion tokens
PerSample = Float[Tensor, " n"]
Mask = Bool[Tensor, "n t"]


@dataclass(frozen=True)
class PolicyLoss:
    """`loss` = `policy` + beta * `kl`; of these only `loss` carries a gradient. Parts of a batch add up."""

    loss: Float[Tensor, ""]
    policy: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    ratio: PerToken  # policy / old, without gradient; 1 under the mask


@dataclass(frozen=True)
class RatioFigures:
    """What became of the ratios of `tokens` tokens in the loss."""

    tokens: int
    clip_low: float  # share of tokens whose ratio is clipped below, with a negative advantage
    clip_high: float  # share of tokens whose ratio is clipped above, with a positive advantage
    ratio_mean: float
    ratio_min: float
    ratio_max: float


def loss_denominator(mask: Mask, loss_type: str, max_completion_length: int | None = None) -> float:
    """What the sum of a whole batch is divided by: its sequences, sequences x length limit, or tokens.

    Raises ValueError for an unknown loss type, and for dr_grpo without `max_completion_length`.
    """
    chosen = lookup(LOSS_TYPES, loss_type, "loss_type")
    if chosen.needs_length and max_completion_length is None:
        raise ValueError(f"loss_type {loss_type!r} needs max_completion_length")
    return chosen.denominator(mask, max_completion_length or 0)


def kl_estimate(
    logprobs: PerToken, old_logprobs: PerToken, ref_logprobs: PerToken, estimator: str = "k3", corrected: bool = False
) -> PerToken:
    """Per-token estimate of KL(policy || reference) (Schulman, "Approximating KL divergence", 2020).

    With d = log policy - log reference: k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d. As values k1 and k3 are unbiased.
    As losses, on-policy, the expected gradients are (Tang & Munos, arXiv:2506.09477; Liu et al., arXiv:2510.01555):
    k1 zero (so it is refused), k2 that of KL(policy || reference), k3 that of KL(reference || policy).
    `corrected` multiplies by the ratio policy / old with its gradient, which makes the expected gradient that of
    the expected value: of KL(policy || reference) for k1 and k3 (as in DeepSeek-V3.2, arXiv:2512.02556,
    section 3.1), of E_policy[d^2 / 2] for k2.

    Raises ValueError for an unknown estimator and for k1 uncorrected.
    """
    estimate = lookup(KL_ESTIMATORS, estimator, "kl_estimator")(logprobs - ref_logprobs)
    if corrected:
        return (logprobs - old_logprobs).exp() * estimate
    if estimator in CORRECTED_ONLY:
        raise ValueError(f"kl_estimator {estimator!r} needs kl_corrected: its expected gradient in the loss is zero")
    return estimate


def policy_loss(
    logprobs: PerToken, old_logprobs: PerToken, ref_logprobs: PerToken | None, advantages: PerSample, mask: Mask, *,
    loss_type: str = "grpo", beta: float = 0.0, epsilon_low: float = 0.2, epsilon_high: float = 0.2,
    kl_estimator: str = "k3", kl_corrected: bool = False,
    max_completion_length: int | None = None, denominator: float | None = None,
) -> PolicyLoss:  # fmt: skip
    """-min(ratio A, clip(ratio, 1 - epsilon_low, 1 + epsilon_high) A) + beta KL, averaged as `loss_type` says.

    `grpo`: the mean over sequences of each one's token mean. `dr_grpo`: the sum over tokens by N x max_completion_length.
    `dapo`: by the batch's tokens. `denominator` is the whole batch's when this is a part of one (`loss_denominator`); by
    default this is the whole. A row without unmasked tokens contributes nothing and still counts.

    Raises ValueError for unknown names, for a beta without reference log-probabilities, and for an empty batch.
    """
    lookup(KL_ESTIMATORS, kl_estimator, "kl_estimator")
    sequence_means = lookup(LOSS_TYPES, loss_type, "loss_type").sequence_means
    if denominator is None:
        denominator = loss_denominator(mask, loss_type, max_completion_length)
    if denominator <= 0:
        raise ValueError(f"the denominator of loss_type {loss_type!r} is {denominator}: the batch is empty")
    if beta and ref_logprobs is None:
        raise ValueError(f"beta {beta} needs reference log-probabilities")
    # What stands under the mask may be anything; zeroed before exp so that no infinity meets a zero gradient.
    zero = torch.zeros_like(logprobs)
    logprobs, old_logprobs = torch.where(mask, logprobs, zero), torch.where(mask, old_logprobs, zero)
    ratio = (logprobs - old_logprobs).exp()  # [n, t], as all below until the sums
    policy = clipped_surrogate(ratio, advantages, epsilon_low, epsilon_high)
    kl = zero
    if ref_logprobs is not None:
        kl = kl_estimate(logprobs, old_logprobs, torch.where(mask, ref_logprobs, zero), kl_estimator, kl_corrected)
    weight = mask.to(logprobs.dtype) / denominator
    if sequence_means:
        weight = weight / mask.sum(1, keepdim=True).clamp(min=1)
    policy_part, kl_part = (policy * weight).sum(), (kl * weight).sum()
    loss = policy_part + beta * kl_part if beta else policy_part
    return PolicyLoss(loss, policy_part.detach(), kl_part.detach(), ratio.detach())


def clipped_surrogate(ratio: PerToken, advantages: PerSample, epsilon_low: float, epsilon_high: float) -> PerToken:
    """The loss of each token: -min(ratio A, clip(ratio) A)."""
    unclipped = ratio * advantages[:, None]
    bound = ratio.clamp(1 - epsilon_low, 1 + epsilon_high) * advantages[:, None]
    # Not torch.minimum: it halves a tie's gradient, and clamp loses one half where the ratio is exactly on a bound.
    return -torch.where(bound < unclipped, bound, unclipped)


def ratio_figures(
    ratio: Float[Tensor, " tokens"], advantages: Float[Tensor, " tokens"], epsilon_low: float, epsilon_high: float
) -> RatioFigures:
    """Of the tokens in the loss, each with the advantage of its sample. Raises ValueError where there are none."""
    if not len(ratio):
        raise ValueError("no token is in the loss, so its ratios have no figures")
    return RatioFigures(
        tokens=len(ratio),
        clip_low=((ratio < 1 - epsilon_low) & (advantages < 0)).double().mean().item(),
        clip_high=((ratio > 1 + epsilon_high) & (advantages > 0)).double().mean().item(),
        ratio_mean=ratio.mean().item(),
        ratio_min=ratio.min().item(),
        ratio_max=ratio.max().item(),
    )
