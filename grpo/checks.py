"""Broken invariants stop the run: the exception names the step, the tensor and the numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from configs.errors import RunFailure
from envs.types import Prompt

# Sampler and scorer run the same code; float32 rounding keeps them within a few 1e-5 of one another.
LARGEST_LOGP_DIFFERENCE = 1e-3


class BrokenInvariant(RunFailure):
    """A run that went on would not be the experiment that was asked for."""


def check_finite(name: str, values: Tensor, step: int, prompts: Sequence[Prompt] | None = None) -> None:
    """Raises BrokenInvariant for NaN or infinity; with one prompt a row, names the first bad row's."""
    finite = torch.isfinite(values)
    if finite.all():
        return
    position = (~finite).nonzero()[0].tolist()
    number, count = values[tuple(position)].item(), int((~finite).sum())
    prompt = "" if prompts is None else f", prompt {prompts[position[0]].index} {prompts[position[0]].text!r}"
    raise BrokenInvariant(f"step {step}: {name}{position or ''} is {number} ({count} not finite){prompt}")


def check_sampling_logprobs(difference: Tensor, step: int, prompts: Sequence[Prompt]) -> None:
    """Raises BrokenInvariant when a token's sampling and training log-probabilities are further apart than rounding."""
    worst = int(difference.amax(1).argmax())
    if not (largest := difference[worst].max().item()) <= LARGEST_LOGP_DIFFERENCE:  # NaN fails
        raise BrokenInvariant(
            f"step {step}: sampling and training log-probabilities differ by {largest:.3g} nats, more than "
            f"{LARGEST_LOGP_DIFFERENCE}, prompt {prompts[worst].index} {prompts[worst].text!r}"
        )
