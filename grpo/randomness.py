"""Every random draw of a run is a function of (seed, purpose, numbers); no generator lives on between draws.

So nothing about randomness has to be saved, and a sample is the same whoever stands beside it in a batch.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Purpose = Literal[
    "prompt order",
    "training sample",
    "evaluation sample",
    "eligibility",
    "labels",
    "label noise",
    "adapters",
    "preflight",
    "bootstrap",
]


def generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """A Philox generator whose 128-bit key is a digest of its arguments."""
    text = "/".join([str(seed), purpose, *map(str, numbers)])
    return np.random.Generator(np.random.Philox(key=int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())))


def torch_generator(seed: int, purpose: Purpose, *numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator(seed, purpose, *numbers).integers(2**63)))


def sample_uniforms(
    seed: int, purpose: Purpose, step: int, prompts: Sequence[int], generations: Sequence[int], length: int
) -> Float[Tensor, "n length"]:
    """float64 uniforms in [0, 1), one a token, row i keyed by (seed, purpose, step, prompts[i], generations[i])."""
    keys = zip(prompts, generations, strict=True)
    return torch.from_numpy(np.stack([generator(seed, purpose, step, *key).random(length) for key in keys]))
