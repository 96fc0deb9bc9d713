"""What travels through a training step: frozen dataclasses of tensors."""

from dataclasses import dataclass

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
