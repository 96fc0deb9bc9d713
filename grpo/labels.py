"""From what is detected to what routing may see: partial knowledge and label noise, drawn from each sample's own key.

Nothing here takes the truth: a label is a function of the detection and the key alone.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from configs.experiment import LabelSettings
from grpo.randomness import Purpose, sample_uniforms

SampleKeys = tuple[int, int, Sequence[int], Sequence[int]]  # seed, step, prompt index and generation of each sample


def draw(purpose: Purpose, keys: SampleKeys) -> Float[Tensor, " n"]:
    """One uniform a sample."""
    seed, step, prompts, generations = keys
    return sample_uniforms(seed, purpose, step, prompts, generations, 1)[:, 0]


def eligible_samples(fraction: float, keys: SampleKeys) -> list[bool]:
    """Which samples can earn the reward's forget components."""
    return (draw("eligibility", keys) < fraction).tolist()


def label(detected: Bool[Tensor, " n"], settings: LabelSettings, keys: SampleKeys) -> Bool[Tensor, " n"]:
    """Labelled bad: a share `fraction` of the detected, and by mistake a share `noise` of the undetected."""
    known = draw("labels", keys) < settings.fraction
    mistaken = draw("label noise", keys) < settings.noise
    return torch.where(detected.cpu(), known, mistaken).to(detected.device)
