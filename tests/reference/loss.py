"""GRPO's loss of one sample, token by token."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from configs.resolved import ResolvedExperiment


def denominator(samples: Sequence[Any], config: ResolvedExperiment) -> float:
    """Of the whole batch, whatever is dropped or masked."""
    return {
        "grpo": len(samples),
        "dr_grpo": len(samples) * config.sampling.max_completion_length,
        "dapo": sum(len(sample.tokens) for sample in samples),
    }[config.grpo.loss_type]


def sample_loss(
    logprobs: list[Tensor],
    old: list[float],
    reference: list[float] | None,
    advantage: float,
    whole: float,
    config: ResolvedExperiment,
) -> Tensor:
    """A sample's part of the batch's loss; `whole` is the batch's denominator."""
    total = 0.0 * logprobs[0]  # so that there is a gradient, of zeros, when every token is clipped
    for t, logprob in enumerate(logprobs):
        ratio = (logprob - old[t]).exp()
        # Schulman et al. (arXiv:1707.06347), eq. 7; equal ones are one number, and then the ratio's gradient counts.
        bound = min(max(ratio.item(), 1 - config.grpo.epsilon_low), 1 + config.grpo.epsilon_high)
        total = total - (ratio * advantage if (ratio * advantage).item() <= bound * advantage else bound * advantage)
        if reference is not None:
            estimate = kl_estimate(logprob - reference[t], config.grpo.kl_estimator)
            total = total + config.beta * (ratio * estimate if config.grpo.kl_corrected else estimate)
    return total / (len(logprobs) if config.grpo.loss_type == "grpo" else 1) / whole


def kl_estimate(difference: Any, estimator: str) -> Any:
    """Of log policy - log reference, after http://joschu.net/blog/kl-approx.html."""
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return difference * difference / 2
    assert estimator == "k3"
    return math.e ** (-difference) - 1 + difference
