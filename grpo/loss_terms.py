"""What a policy loss is put together from, by the name of its setting. Needs no torch; a new term is one entry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float

Mask = Bool[Any, "n t"]


@dataclass(frozen=True)
class LossType:
    """How the token losses of a batch are averaged."""

    says: str
    denominator: Callable[[Mask, int], float]  # of a whole batch, from its mask and max_completion_length
    sequence_means: bool = False  # whether each sequence's tokens are averaged before the sum
    needs_length: bool = False  # whether max_completion_length has to be known


LOSS_TYPES = {
    "grpo": LossType(
        "The mean over sequences of each one's mean over its tokens (DeepSeekMath, arXiv:2402.03300, eq. 3).",
        lambda mask, _: float(len(mask)),
        sequence_means=True,
    ),
    "dr_grpo": LossType(
        "The sum over tokens, divided by sequences x max_completion_length (Dr. GRPO, arXiv:2503.20783).",
        lambda mask, length: float(len(mask) * length),
        needs_length=True,
    ),
    "dapo": LossType("The mean over all tokens of the batch (DAPO, arXiv:2503.14476, eq. 8).", lambda mask, _: float(mask.sum())),
}

# Of KL(policy || reference), token by token, from d = log policy - log reference.
KL_ESTIMATORS: dict[str, Callable[[Float[Any, "n t"]], Float[Any, "n t"]]] = {
    "k1": lambda d: d,
    "k2": lambda d: d.square() / 2,
    "k3": lambda d: (-d).expm1() + d,
}
CORRECTED_ONLY = frozenset({"k1"})  # estimators whose expected gradient is zero without the ratio
