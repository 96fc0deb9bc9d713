"""What travels through a training step: frozen dataclasses of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Rollout:
    """N completions, successive ones of the same prompt forming a group.

    `ids` holds each prompt and its completion without a gap, right-padded with an EOS; `mask` is True for completion
    tokens up to and including EOS. What `completion_ids` and `logprobs` hold beyond the mask is that EOS and 0.
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
        prompt_lengths, lengths = self.prompt_lengths[selected], self.mask[selected].sum(1)
        length, width = int((prompt_lengths + lengths).max()), int(lengths.max())
        ids, completion_ids = self.ids[selected, :length], self.completion_ids[selected, :width]
        mask, logprobs = self.mask[selected, :width], self.logprobs[selected, :width]
        return Rollout(ids, prompt_lengths, completion_ids, mask, logprobs, self.finished[selected])


def concatenate(rollouts: Sequence[Rollout], padding_id: int) -> Rollout:
    """All rows of several rollouts, each padded to the longest."""
    # Of the tensors with an entry a token.
    padding = {"ids": padding_id, "completion_ids": padding_id, "mask": False, "logprobs": 0.0}

    def rows_of(name: str) -> Tensor:
        rows = [row for rollout in rollouts for row in getattr(rollout, name)]
        return pad_sequence(rows, batch_first=True, padding_value=padding[name]) if name in padding else torch.stack(rows)

    return Rollout(**{field.name: rows_of(field.name) for field in fields(Rollout)})
