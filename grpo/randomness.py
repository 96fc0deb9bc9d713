"""Every random draw of a run is a function of (seed, purpose, numbers); no generator lives on between draws.

So nothing about randomness has to be saved, and a sample is the same whoever stands beside it in a batch.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Purpose = Literal["prompt order", "training sample", "evaluation sample", "eligibility", "labels", "label noise", "adapters",
                  "preflight"]  # fmt: skip


def generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """A Philox generator whose 128-bit key is a digest of its arguments."""
    text = "/".join([str(seed), purpose, *map(str, numbers)])
    return np.random.Generator(np.random.Philox(key=int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())))


def torch_generator(seed: int, purpose: Purpose, *numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator(seed, purpose, *numbers).integers(2**63)))


@dataclass(frozen=True)
class SampleKeys:
    """What the draws of n samples depend on beside their purpose: sample i's on (seed, step, prompts[i], generations[i])."""

    seed: int
    step: int
    prompts: Sequence[int]  # index of each sample's prompt
    generations: Sequence[int]  # number of each sample within its prompt's group

    def uniforms(self, purpose: Purpose, length: int = 1) -> Float[Tensor, "n length"]:
        """float64 in [0, 1), `length` of them a sample. Raises ValueError when prompts and generations do not pair up."""
        pairs = zip(self.prompts, self.generations, strict=True)
        return torch.from_numpy(np.stack([generator(self.seed, purpose, self.step, *pair).random(length) for pair in pairs]))


def group_keys(seed: int, step: int, prompts: Sequence[int], group_size: int) -> SampleKeys:
    """`group_size` generations of each prompt, in the prompts' order."""
    indices = [index for index in prompts for _ in range(group_size)]
    return SampleKeys(seed, step, indices, list(range(group_size)) * len(prompts))
