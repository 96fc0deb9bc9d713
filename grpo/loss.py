"""The policy loss as a pure function of tensors: clipped surrogate plus KL penalty, token by token.

Each loss is a sum over tokens divided by a number of the whole batch, its `denominator`. Handed to every part
of a batch, that number makes the parts' losses and gradients add up to the whole's, however it is split.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LOSS_TYPES = ("grpo", "dr_grpo", "dapo")
KL_ESTIMATORS = ("k1", "k2", "k3")


@dataclass(frozen=True)
class PolicyLoss:
    """`loss` = `policy` + beta * `kl`; of these only `loss` carries a gradient. Parts of a batch add up.

    The other figures are over the part's own unmasked tokens, `tokens` many; all are 0 when there are none.
    """

    loss: Float[Tensor, ""]
    policy: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    tokens: int
    clip_low: float  # share of tokens whose ratio is clipped below, with a negative advantage
    clip_high: float  # share of tokens whose ratio is clipped above, with a positive advantage
    ratio_mean: float
    ratio_min: float
    ratio_max: float


def loss_denominator(mask: Bool[Tensor, "n t"], loss_type: str, max_completion_length: int | None = None) -> float:
    """What the sum of a whole batch is divided by: its sequences, sequences x length limit, or tokens.

    Raises ValueError for an unknown loss type, and for dr_grpo without `max_completion_length`.
    """
    match loss_type:
        case "grpo":
            return float(len(mask))
        case "dr_grpo":
            if max_completion_length is None:
                raise ValueError("loss_type 'dr_grpo' needs max_completion_length")
            return float(len(mask) * max_completion_length)
        case "dapo":
            return float(mask.sum())
    raise ValueError(f"loss_type {loss_type!r}: accepted are {', '.join(LOSS_TYPES)}")


def kl_estimate(
    logprobs: Float[Tensor, "n t"],
    old_logprobs: Float[Tensor, "n t"],
    ref_logprobs: Float[Tensor, "n t"],
    estimator: str = "k3",
    corrected: bool = False,
) -> Float[Tensor, "n t"]:
    """Per-token estimate of KL(policy || reference) (Schulman, "Approximating KL divergence", 2020).

    With d = log policy - log reference: k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d. As values k1 and k3 are unbiased.
    As losses, on-policy, the expected gradients are (Tang & Munos, arXiv:2506.09477; Liu et al., arXiv:2510.01555):
    k1 zero (so it is refused), k2 that of KL(policy || reference), k3 that of KL(reference || policy).
    `corrected` multiplies by the ratio policy / old with its gradient, which makes the expected gradient that of
    the expected value: of KL(policy || reference) for k1 and k3 (as in DeepSeek-V3.2, arXiv:2512.02556,
    section 3.1), of E_policy[d^2 / 2] for k2.

    Raises ValueError for an unknown estimator and for k1 uncorrected.
    """
    d = logprobs - ref_logprobs
    match estimator:
        case "k1" if corrected:
            estimate = d
        case "k1":
            raise ValueError("kl_estimator 'k1' needs kl_corrected: its expected gradient in the loss is zero")
        case "k2":
            estimate = d.square() / 2
        case "k3":
            estimate = torch.expm1(-d) + d
        case _:
            raise ValueError(f"kl_estimator {estimator!r}: accepted are {', '.join(KL_ESTIMATORS)}")
    return (logprobs - old_logprobs).exp() * estimate if corrected else estimate


def policy_loss(
    logprobs: Float[Tensor, "n t"],
    old_logprobs: Float[Tensor, "n t"],
    ref_logprobs: Float[Tensor, "n t"] | None,
    advantages: Float[Tensor, " n"],
    mask: Bool[Tensor, "n t"],
    *,
    loss_type: str = "grpo",
    beta: float = 0.0,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    kl_estimator: str = "k3",
    kl_corrected: bool = False,
    max_completion_length: int | None = None,
    denominator: float | None = None,
) -> PolicyLoss:
    """-min(ratio A, clip(ratio, 1 - epsilon_low, 1 + epsilon_high) A) + beta KL, averaged as `loss_type` says.

    `grpo`: the mean over sequences of each one's token mean (DeepSeekMath, arXiv:2402.03300, eq. 3). `dr_grpo`: the
    sum over tokens by N x max_completion_length (arXiv:2503.20783). `dapo`: by the batch's tokens (arXiv:2503.14476,
    eq. 8). `denominator` is the whole batch's when this is a part of one (`loss_denominator`); by default this is the
    whole. A row without unmasked tokens contributes nothing and still counts.

    Raises ValueError for unknown names, for a beta without reference log-probabilities, and for an empty batch.
    """
    if denominator is None:
        denominator = loss_denominator(mask, loss_type, max_completion_length)
    elif loss_type not in LOSS_TYPES:
        raise ValueError(f"loss_type {loss_type!r}: accepted are {', '.join(LOSS_TYPES)}")
    if kl_estimator not in KL_ESTIMATORS:
        raise ValueError(f"kl_estimator {kl_estimator!r}: accepted are {', '.join(KL_ESTIMATORS)}")
    if denominator <= 0:
        raise ValueError(f"the denominator of loss_type {loss_type!r} is {denominator}: the batch is empty")
    zero = torch.zeros_like(logprobs)
    # What stands under the mask may be anything; zeroed before exp so that no infinity meets a zero gradient.
    logprobs, old_logprobs = torch.where(mask, logprobs, zero), torch.where(mask, old_logprobs, zero)
    ratio = (logprobs - old_logprobs).exp()
    advantage = advantages[:, None].expand_as(ratio)
    clipped = ratio.clamp(1 - epsilon_low, 1 + epsilon_high)
    unclipped, bound = ratio * advantage, clipped * advantage
    # Not torch.minimum: it halves a tie's gradient, and clamp loses one half where the ratio is exactly on a bound.
    policy = -torch.where(bound < unclipped, bound, unclipped)
    if ref_logprobs is not None:
        kl = kl_estimate(logprobs, old_logprobs, torch.where(mask, ref_logprobs, zero), kl_estimator, kl_corrected)
    elif beta == 0:
        kl = zero
    else:
        raise ValueError(f"beta {beta} needs reference log-probabilities")

    weight = mask.to(logprobs.dtype) / denominator
    if loss_type == "grpo":
        weight = weight / mask.sum(1, keepdim=True).clamp(min=1)
    policy_part, kl_part = (policy * weight).sum(), (kl * weight).sum()
    loss = policy_part + beta * kl_part if beta else policy_part

    tokens = int(mask.sum())
    seen, positive = ratio.detach()[mask], advantage[mask] > 0
    negative = advantage[mask] < 0
    return PolicyLoss(
        loss=loss,
        policy=policy_part.detach(),
        kl=kl_part.detach(),
        tokens=tokens,
        clip_low=((seen < 1 - epsilon_low) & negative).double().mean().item() if tokens else 0.0,
        clip_high=((seen > 1 + epsilon_high) & positive).double().mean().item() if tokens else 0.0,
        ratio_mean=seen.mean().item() if tokens else 0.0,
        ratio_min=seen.min().item() if tokens else 0.0,
        ratio_max=seen.max().item() if tokens else 0.0,
    )
