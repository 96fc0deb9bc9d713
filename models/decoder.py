"""What all families of decoders share, and what the engine asks of each.

A family's modules hold the parameters, under the names of Hugging Face checkpoints. What is computed is a family's
`Weights`: a named tuple of the matrices of its products, made of the modules' (and of their adapters) by
`LanguageModel.weights`, and the functions of them. Training, scoring and sampling compute with the same functions and the
same matrices.

Whole sequences are right-padded and start at position 0, so that causality alone keeps padding out of every real token's
sight. Left out on purpose: dropout.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils._pytree import tree_leaves, tree_map_only

from models.decoder_config import DecoderConfig

# Attention of layer i: from queries [*at, heads, head_dim], keys and values [*at, key-value heads, head_dim] to [*at, inner].
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@runtime_checkable
class Weights(Protocol):
    """What a model computes with, as a named tuple."""

    @property
    def config(self) -> DecoderConfig: ...
    @property
    def embedding(self) -> Tensor: ...  # [vocab, hidden]
    @property
    def head(self) -> Tensor: ...  # [tokens, hidden]

    def position_encoding(self, positions: Tensor) -> Tensor:
        """Of positions [*at], whatever `hidden` needs to know of them: [*at, ...]."""
        ...

    def hidden(self, ids: Tensor, encoding: Tensor, attend: Attend) -> Tensor:
        """Hidden states [*at, hidden] after the last norm, of tokens of any arrangement with their positions' encoding,
        whose axes may be of size 1 or missing on the left; how tokens see one another is for `attend` to know.
        """
        ...


WeightsType = TypeVar("WeightsType", bound=Weights)


class LanguageModel(nn.Module):
    """A causal decoder, in one of the families of `models.families`."""

    targets: ClassVar[tuple[str, ...]]  # names of the linear layers that take adapters
    stored_head: ClassVar[str]  # the output embedding's name in checkpoints, where it is not tied
    stored_buffers: ClassVar[str]  # a pattern of names that older checkpoints hold beside the weights

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config

    @property
    def layers(self) -> nn.ModuleList:
        raise NotImplementedError

    @property
    def output_embedding(self) -> Float[Tensor, "vocab hidden"]:
        raise NotImplementedError

    @property
    def head(self) -> Float[Tensor, "tokens hidden"]:
        """The output embedding of the tokenizer's tokens; their logits are `hidden @ head.T`."""
        weight = self.output_embedding
        return weight[: self.config.token_count] if self.config.padding_rows else weight

    def weights(self) -> Weights:
        """What the model computes with, differentiable in the parameters."""
        raise NotImplementedError

    def forward(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t hidden"]:
        """Hidden states of right-padded sequences after the last norm, without the head."""
        return hidden_states(self.weights(), ids)


def hidden_states(weights: Weights, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t hidden"]:
    """Of whole right-padded sequences from position 0."""
    encoding, c = weights.position_encoding(torch.arange(ids.shape[1], device=ids.device)), weights.config
    return weights.hidden(ids, encoding, lambda i, q, k, v: causal_attention(q, k, v, c.windows[i], c.attention_scale))


def causal_attention(q: Tensor, k: Tensor, v: Tensor, window: int | None, scale: float | None) -> Float[Tensor, "n t inner"]:
    """Of whole sequences; each token sees the last `window` ones up to itself."""
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    grouped, length = q.shape[1] != k.shape[1], q.shape[2]
    visible = None if window is None or window >= length else within_window(length, window, q.device)
    causal = visible is None
    attended = F.scaled_dot_product_attention(q, k, v, visible, is_causal=causal, scale=scale, enable_gqa=grouped)
    return attended.transpose(1, 2).flatten(2)


def within_window(length: int, window: int, device: torch.device) -> Bool[Tensor, "t t"]:
    position = torch.arange(length, device=device)
    age = position[:, None] - position
    return (age >= 0) & (age < window)


def leaves_of(weights: WeightsType) -> WeightsType:
    """The same numbers, cut off from what they were made of, so that the gradients of several passes add up in them."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach().requires_grad_(tensor.requires_grad), weights)


def backward_from(leaves: Weights, weights: Weights) -> None:
    """Hands the gradients in `leaves` on to the parameters that `weights` were made of."""
    pairs = zip(tensors_of(weights), tensors_of(leaves), strict=True)
    # A sum whose gradients are those in the leaves: with gradients as an argument, torch's backward imports sympy.
    total = sum(torch.dot(made.flatten(), leaf.grad.flatten()) for made, leaf in pairs if leaf.grad is not None)
    torch.autograd.backward(total)  # type: ignore[arg-type]


def tensors_of(weights: Weights) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(weights) if isinstance(leaf, Tensor)]


class Affine(NamedTuple):
    """x @ weight.T + bias. Where there are factors, `weight` has up @ down merged into it, and they alone learn."""

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"] | None
    down: Float[Tensor, "ranks inputs"] | None = None
    up: Float[Tensor, "outputs ranks"] | None = None

    def of(self, x: Float[Tensor, "*at inputs"]) -> Float[Tensor, "*at outputs"]:
        if self.down is None or not torch.is_grad_enabled():
            return F.linear(x, self.weight, self.bias)
        return MergedProduct.apply(x, self.weight, self.bias, self.down, self.up)  # type: ignore[return-value]


class MergedProduct(Function):
    """x @ weight.T + bias, where weight = base + up @ down. The gradients of the factors without that of a whole matrix.

    The bias stays inside the product: added afterwards it is rounded otherwise than without gradients, on some processors.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, down, up):
        ctx.save_for_backward(x, weight, down, up)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, weight, down, up) = grads, ctx.saved_tensors
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        x, grad = x.flatten(0, -2), grad.flatten(0, -2)  # [tokens, ...]
        return grad_x, None, None, (grad @ up).T @ x, grad.T @ (x @ down.T)


def affine(projection: nn.Module) -> Affine:
    """Of a linear layer, or of one with adapters, which has `factors`, too: down and up, or None."""
    return Affine(projection.weight, projection.bias, *(getattr(projection, "factors", None) or ()))  # type: ignore[arg-type]


def stacked(*parts: Affine) -> Affine:
    """One product for several of the same input."""
    biases = [part.bias for part in parts if part.bias is not None]
    assert len(biases) in (0, len(parts)), "of projections of one input, all have a bias or none"
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat(biases) if biases else None
    downs = [part.down for part in parts if part.down is not None]
    if not downs:
        return Affine(weight, bias)
    assert all(part.down is not None or not part.weight.requires_grad for part in parts), "beside adapters, weights are frozen"
    ups = [part.weight.new_zeros(len(part.weight), 0) if part.up is None else part.up for part in parts]
    return Affine(weight, bias, torch.cat(downs), torch.block_diag(*ups))


class LayerNorm(NamedTuple):
    weight: Float[Tensor, " hidden"]
    bias: Float[Tensor, " hidden"]

    def of(self, x: Float[Tensor, "*at hidden"], eps: float) -> Float[Tensor, "*at hidden"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, eps)


def layer_norm(module: nn.LayerNorm) -> LayerNorm:
    return LayerNorm(module.weight, module.bias)


class NormedLayer(NamedTuple):
    """One layer of the families with LayerNorm: its norms, each with the product behind it, and its other products."""

    attention_norm: LayerNorm
    query_key_value: Affine
    output: Affine
    mlp_norm: LayerNorm
    up: Affine
    down: Affine


# The activations that checkpoints call by these names: exact, or by a tanh, in several spellings of the same function.
GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh"}


def embedding_module(rows: int, width: int) -> nn.Embedding:
    """Not nn.Embedding(...): drawing its first weights on the meta device imports torch's compiler."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
