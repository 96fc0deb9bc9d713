"""Rotary positions in the half-split form of Hugging Face: dimensions i and i + d / 2 turn as a pair."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.decoder_config import RopeScaling

Rotation = Float[Tensor, "*#at 1 2 d"]


def rotated(x: Float[Tensor, "*at heads d"], rotation: Rotation) -> Float[Tensor, "*at heads d"]:
    cos, sin = rotation.unbind(-2)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def rotations(
    positions: Int[Tensor, "*at"], d: int, theta: float, scaling: RopeScaling | None, dtype: torch.dtype
) -> Float[Tensor, "*at 2 d"]:
    """Cosines, and sines with a negative first half; angles in float32 as in Hugging Face, or float64 with the weights."""
    wide = torch.promote_types(dtype, torch.float32)
    exponents = torch.arange(0, d, 2, device=positions.device).to(wide) / d
    frequencies = scaled_frequencies(1.0 / theta**exponents, scaling)
    angles = positions[..., None].to(wide) * frequencies  # [*at, d / 2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)), -2).to(dtype)


def scaled_frequencies(frequencies: Float[Tensor, " pairs"], scaling: RopeScaling | None) -> Float[Tensor, " pairs"]:
    """In radians a token. llama3 keeps those of more than `high_freq_factor` turns in the original context, divides those of
    less than `low_freq_factor`, and passes from one to the other in proportion to the turns.
    """
    if scaling is None:
        return frequencies
    slowed = frequencies / scaling.factor
    if scaling.rope_type == "linear":
        return slowed
    turns = scaling.original_max_position_embeddings * frequencies / (2 * math.pi)
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    return torch.lerp(slowed, frequencies, kept.clamp(0, 1))
