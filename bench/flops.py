"""How many floating point operations a training step asks for, however an engine computes it.

A product with a matrix of W weights takes 2 W a token. With L layers of H heads of D numbers, a token that attends to n positions
takes 4 L H D n: scores, and the sum of values. Of a row with p prompt and c completion tokens:

    sampling    p once for a group, then c - 1 tokens a row through the layers; c times the head; no adapters, which
                can be merged into the weights
    scoring     p + c - 1 tokens through the layers, c times the head
    reference   scoring without adapters
    update      scoring, and backwards: as much again for the gradient of what goes in (twice that in attention), and as much
                as the trained matrices take for theirs

Left out: embeddings, norms, rotations, softmax, the optimizer, and all that is padding or computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.decoder import LanguageModel
from models.decoder_config import DecoderConfig
from routing.adapters import adapter_parameters

Row = tuple[int, int]  # prompt and completion tokens


@dataclass(frozen=True)
class ModelSize:
    layers: int  # weights of all matrices in all layers
    head: int  # weights
    adapters: int  # weights; 0 where all weights are trained
    attention: int  # layers x heads x head_dim


def model_size(policy: LanguageModel) -> ModelSize:
    adapters = sum(parameter.numel() for group in adapter_parameters(policy).values() for parameter in group.values())
    layers = sum(parameter.numel() for parameter in policy.layers.parameters() if parameter.dim() == 2)
    return ModelSize(layers - adapters, policy.head.numel(), adapters, attention_width(policy.config))


def attention_width(c: DecoderConfig) -> int:
    return c.num_hidden_layers * c.num_attention_heads * c.head_dim


def sampling_flops(size: ModelSize, rows: Sequence[Row], group_size: int) -> int:
    """Successive rows of `group_size` share a prompt."""
    prompts = [prompt for prompt, _ in rows[::group_size]]
    tokens = sum(prompts) + sum(completion - 1 for _, completion in rows)
    seen = sum(map(triangle, prompts)) + sum(triangle(p + c - 1) - triangle(p) for p, c in rows)
    return 2 * size.layers * tokens + 2 * size.head * sum(c for _, c in rows) + 4 * size.attention * seen


def reference_flops(size: ModelSize, rows: Sequence[Row]) -> int:
    tokens, predicted, seen = scored(rows)
    return 2 * size.layers * tokens + 2 * size.head * predicted + 4 * size.attention * seen


def update_flops(size: ModelSize, rows: Sequence[Row]) -> int:
    """Forwards and backwards, once; with adapters no other weight has a gradient."""
    tokens, predicted, seen = scored(rows)
    forward = 2 * (size.layers + size.adapters) * tokens + 2 * size.head * predicted
    trained = 2 * size.adapters * tokens if size.adapters else forward
    return 2 * forward + trained + 3 * 4 * size.attention * seen


def scored(rows: Sequence[Row]) -> tuple[int, int, int]:
    """Tokens through the layers, tokens predicted, and positions attended to."""
    return sum(p + c - 1 for p, c in rows), sum(c for _, c in rows), sum(triangle(p + c - 1) for p, c in rows)


def triangle(n: int) -> int:
    """1 + 2 + ... + n: the positions that n tokens attend to, each to itself and those before."""
    return n * (n + 1) // 2
