"""What travels through a training step: frozen dataclasses of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rollout:
    """N completions, successive ones of the same prompt forming a group.

    `ids` holds each prompt and its completion without a gap, right-padded with EOS; `mask` is True for completion
    tokens up to and including EOS. What `completion_ids` and `logprobs` hold beyond the mask is EOS and 0.
    """

    ids: Int[Tensor, "n length"]
    prompt_lengths: Int[Tensor, " n"]
    completion_ids: Int[Tensor, "n t"]
    mask: Bool[Tensor, "n t"]
    logprobs: Float[Tensor, "n t"]  # nats, of the distribution that was sampled from
    finished: Bool[Tensor, " n"]  # ended with EOS

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, selected: Int[Tensor, " m"]) -> "Rollout":
        """Some rows, in the order given, cut to the longest of them."""
        width = int(self.mask[selected].sum(1).max())
        length = int((self.prompt_lengths + self.mask.sum(1))[selected].max())
        return Rollout(
            ids=self.ids[selected, :length],
            prompt_lengths=self.prompt_lengths[selected],
            completion_ids=self.completion_ids[selected, :width],
            mask=self.mask[selected, :width],
            logprobs=self.logprobs[selected, :width],
            finished=self.finished[selected],
        )


def concatenate(rollouts: Sequence[Rollout], eos: int) -> Rollout:
    """All rows of several rollouts, each padded to the longest."""

    def stack(name: str, fill: float | int) -> Tensor:
        tensors = [getattr(rollout, name) for rollout in rollouts]
        width = max(tensor.shape[1] for tensor in tensors)
        return torch.cat([F.pad(tensor, (0, width - tensor.shape[1]), value=fill) for tensor in tensors])

    return Rollout(
        ids=stack("ids", eos),
        prompt_lengths=torch.cat([rollout.prompt_lengths for rollout in rollouts]),
        completion_ids=stack("completion_ids", eos),
        mask=stack("mask", False),
        logprobs=stack("logprobs", 0.0),
        finished=torch.cat([rollout.finished for rollout in rollouts]),
    )
