"""From what is detected to what routing may see: partial knowledge and label noise, drawn from each sample's own key.

Nothing here takes the truth: a label is a function of the detection and the key alone.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from configs.experiment import LabelSettings
from grpo.randomness import SampleKeys


def eligible_samples(fraction: float, keys: SampleKeys) -> list[bool]:
    """Which samples can earn the reward's forget components."""
    return (keys.uniforms("eligibility")[:, 0] < fraction).tolist()


def label_samples(detected: Bool[Tensor, " n"], settings: LabelSettings, keys: SampleKeys) -> Bool[Tensor, " n"]:
    """Labelled bad: a share `fraction` of the detected, and by mistake a share `noise` of the undetected."""
    known = keys.uniforms("labels")[:, 0] < settings.fraction
    mistaken = keys.uniforms("label noise")[:, 0] < settings.noise
    return torch.where(detected.cpu(), known, mistaken).to(detected.device)
