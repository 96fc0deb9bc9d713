"""A compact Llama decoder: grouped-query attention, rotary positions, RMSNorm, SwiGLU, tied or untied head.

The modules hold the parameters, under the names of Hugging Face checkpoints. What is computed stands below them, as
functions of `Weights`: for each layer the four matrices of its products, made of the modules' (and of their adapters) by
`Llama.weights`. Training, scoring and sampling compute with the same functions and the same matrices.

Whole sequences are right-padded and start at position 0, so that causality alone keeps padding out of every real token's
sight. Left out on purpose: dropout, scaled rotary positions, sliding windows. A query/key/value bias exists where the
config asks for one (`attention_bias`); a query/key norm would be a line in `decoder`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils._pytree import tree_leaves, tree_map_only

from models.llama_config import LlamaConfig


class Attention(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        inner, inner_kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, inner, bias=c.attention_bias)
        self.k_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.v_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.o_proj = nn.Linear(inner, c.hidden_size, bias=c.attention_bias)


class MLP(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias)


class Layer(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)
        self.mlp = MLP(c)


class Decoder(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        # Not nn.Embedding(...): drawing its first weights on the meta device imports torch's compiler.
        self.embed_tokens = nn.Embedding.from_pretrained(torch.empty(c.vocab_size, c.hidden_size), freeze=False)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)


class Llama(nn.Module):
    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def head(self) -> Float[Tensor, "tokens hidden"]:
        """The output embedding of the tokenizer's tokens; their logits are `hidden @ head.T`."""
        weight = self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight
        return weight[: self.config.token_count] if self.config.padding_rows else weight

    def weights(self) -> "Weights":
        """What the model computes with, differentiable in the parameters."""
        layers = tuple(layer_weights(layer) for layer in self.model.layers)  # type: ignore[arg-type]
        return Weights(self.config, self.model.embed_tokens.weight, layers, self.model.norm.weight, self.head)

    def forward(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t hidden"]:
        """Hidden states of right-padded sequences after the last norm, without the head."""
        return hidden_states(self.weights(), ids)


class Affine(NamedTuple):
    """x @ weight.T + bias. Where there are factors, `weight` has up @ down merged into it, and they alone learn."""

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"] | None
    down: Float[Tensor, "ranks inputs"] | None = None
    up: Float[Tensor, "outputs ranks"] | None = None

    def of(self, x: Float[Tensor, "*at inputs"]) -> Float[Tensor, "*at outputs"]:
        if self.down is None or not torch.is_grad_enabled():
            return F.linear(x, self.weight, self.bias)
        product = MergedProduct.apply(x, self.weight, self.down, self.up)
        return product if self.bias is None else product + self.bias  # type: ignore[return-value]


class MergedProduct(Function):
    """x @ weight.T, where weight = base + up @ down. The gradients of the factors without that of a whole matrix."""

    @staticmethod
    def forward(ctx, x, weight, down, up):
        ctx.save_for_backward(x, weight, down, up)
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, weight, down, up) = grads, ctx.saved_tensors
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        x, grad = x.flatten(0, -2), grad.flatten(0, -2)  # [tokens, ...]
        return grad_x, None, (grad @ up).T @ x, grad.T @ (x @ down.T)


class LayerWeights(NamedTuple):
    """One layer's norms, each with the product behind it, and its other products."""

    attention_norm: Float[Tensor, " hidden"]
    query_key_value: Affine
    output: Affine
    mlp_norm: Float[Tensor, " hidden"]
    gate_up: Affine
    down: Affine


class Weights(NamedTuple):
    config: LlamaConfig
    embedding: Float[Tensor, "vocab hidden"]
    layers: tuple[LayerWeights, ...]
    norm: Float[Tensor, " hidden"]
    head: Float[Tensor, "tokens hidden"]

    def leaves(self) -> "Weights":
        """The same numbers, cut off from what they were made of, so that the gradients of several passes add up in them."""
        return tree_map_only(Tensor, lambda tensor: tensor.detach().requires_grad_(tensor.requires_grad), self)

    def backward(self, leaves: "Weights") -> None:
        """Hands the gradients in `leaves` on to the parameters."""
        pairs = zip(tensors_of(self), tensors_of(leaves), strict=True)
        # A sum whose gradients are those in the leaves: with gradients as an argument, torch's backward imports sympy.
        total = sum(torch.dot(made.flatten(), leaf.grad.flatten()) for made, leaf in pairs if leaf.grad is not None)
        torch.autograd.backward(total)  # type: ignore[arg-type]


def tensors_of(weights: Weights) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(weights) if isinstance(leaf, Tensor)]


def layer_weights(layer: Layer) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    return LayerWeights(
        layer.input_layernorm.weight,
        stacked(affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)),
        affine(attention.o_proj),
        layer.post_attention_layernorm.weight,
        stacked(affine(mlp.gate_proj), affine(mlp.up_proj)),
        affine(mlp.down_proj),
    )


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


Rotation = Float[Tensor, "*#at 1 2 d"]
# Attention of layer i: from queries [*at, heads, head_dim], keys and values [*at, key-value heads, head_dim] to [*at, inner].
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def decoder(weights: Weights, ids: Int[Tensor, "*at"], rotation: Rotation, attend: Attend) -> Float[Tensor, "*at hidden"]:
    """Hidden states after the last norm, of tokens of any arrangement; how they see one another is for `attend` to know.

    Reshapes are torch's own: with tensors, einops imports torch's compiler (seconds), and here it would cost as much as a
    small product.
    """
    c = weights.config
    heads, turned = c.num_attention_heads, c.num_attention_heads + c.num_key_value_heads
    x = F.embedding(ids, weights.embedding)
    for i, layer in enumerate(weights.layers):
        qkv = layer.query_key_value.of(rms_norm(x, layer.attention_norm, c)).unflatten(-1, (-1, c.head_dim))
        qk = rotated(qkv[..., :turned, :], rotation)
        x = x + layer.output.of(attend(i, qk[..., :heads, :], qk[..., heads:, :], qkv[..., turned:, :]))
        gate, up = layer.gate_up.of(rms_norm(x, layer.mlp_norm, c)).chunk(2, dim=-1)
        x = x + layer.down.of(F.silu(gate) * up)
    return rms_norm(x, weights.norm, c)


def rms_norm(x: Float[Tensor, "*at hidden"], weight: Float[Tensor, " hidden"], c: LlamaConfig) -> Float[Tensor, "*at hidden"]:
    """As torch's own, whose backward pass takes half as long again."""
    return x * torch.rsqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) / c.hidden_size + c.rms_norm_eps) * weight


def rotated(x: Float[Tensor, "*at heads d"], rotation: Rotation) -> Float[Tensor, "*at heads d"]:
    """Rotary positions in the half-split form of Hugging Face's Llama: dimensions i and i + d / 2 turn as a pair."""
    cos, sin = rotation.unbind(-2)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def rotations(weights: Weights, positions: Int[Tensor, "*at"]) -> Float[Tensor, "*at 2 d"]:
    """Cosines, and sines with a negative first half; angles in float32 as in Hugging Face, or float64 with the weights."""
    c, dtype = weights.config, weights.embedding.dtype
    wide = torch.promote_types(dtype, torch.float32)
    exponents = torch.arange(0, c.head_dim, 2, device=positions.device).to(wide) / c.head_dim
    angles = positions[..., None].to(wide) * (1.0 / c.rope_theta**exponents)  # [*at, d / 2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)), -2).to(dtype)


def hidden_states(weights: Weights, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t hidden"]:
    """Of whole right-padded sequences from position 0."""
    rotation = rotations(weights, torch.arange(ids.shape[1], device=ids.device))
    return decoder(weights, ids, rotation[:, None], lambda _, q, k, v: causal_attention(q, k, v))


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "n t inner"]:
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped).transpose(1, 2).flatten(2)


def initialize(model: Llama, seed: int, std: float = 0.02) -> None:
    """Fresh weights as Hugging Face initialises Llama: normal(0, std) matrices, zero biases, unit norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
