"""Llama, Qwen2, Qwen2.5 and Qwen3: grouped-query attention, rotary positions, RMSNorm, SwiGLU, tied or untied head.

Qwen2 has a bias on queries, keys and values alone, Qwen3 a norm on each head's queries and keys (`LlamaConfig`).
Left out on purpose: sliding windows, and scalings of rotary positions other than linear and llama3.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.decoder import Affine, Attend, LanguageModel, affine, embedding_module, stacked
from models.llama_config import LlamaConfig
from models.rotary import rotated, rotations


class Attention(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        inner, inner_kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, inner, bias=c.attention_bias)
        self.k_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.v_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.o_proj = nn.Linear(inner, c.hidden_size, bias=c.output_bias)
        if c.query_key_norm:
            self.q_norm = nn.RMSNorm(c.head_dim, eps=c.rms_norm_eps)
            self.k_norm = nn.RMSNorm(c.head_dim, eps=c.rms_norm_eps)


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
        self.embed_tokens = embedding_module(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)


class Llama(LanguageModel):
    targets = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    stored_head = "lm_head.weight"
    stored_buffers = r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    config: LlamaConfig  # type: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.layers

    @property
    def output_embedding(self) -> Float[Tensor, "vocab hidden"]:
        return self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight

    def weights(self) -> "LlamaWeights":
        layers = tuple(layer_weights(layer, self.config) for layer in self.layers)  # type: ignore[arg-type]
        return LlamaWeights(self.config, self.model.embed_tokens.weight, layers, self.model.norm.weight, self.head)


class LayerWeights(NamedTuple):
    """One layer's norms, each with the product behind it, and its other products."""

    attention_norm: Float[Tensor, " hidden"]
    query_key_value: Affine
    query_key_norm: Float[Tensor, "heads head_dim"] | None  # of all queries, then all keys
    output: Affine
    mlp_norm: Float[Tensor, " hidden"]
    gate_up: Affine
    down: Affine


def layer_weights(layer: Layer, c: LlamaConfig) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    return LayerWeights(
        layer.input_layernorm.weight,
        stacked(affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)),
        query_key_norm(attention, c) if c.query_key_norm else None,
        affine(attention.o_proj),
        layer.post_attention_layernorm.weight,
        stacked(affine(mlp.gate_proj), affine(mlp.up_proj)),
        affine(mlp.down_proj),
    )


def query_key_norm(attention: Attention, c: LlamaConfig) -> Float[Tensor, "heads head_dim"]:
    queries = attention.q_norm.weight.expand(c.num_attention_heads, -1)
    return torch.cat((queries, attention.k_norm.weight.expand(c.num_key_value_heads, -1)))


class LlamaWeights(NamedTuple):
    config: LlamaConfig
    embedding: Float[Tensor, "vocab hidden"]
    layers: tuple[LayerWeights, ...]
    norm: Float[Tensor, " hidden"]
    head: Float[Tensor, "tokens hidden"]

    def position_encoding(self, positions: Int[Tensor, "*at"]) -> Float[Tensor, "*at 2 head_dim"]:
        c = self.config
        return rotations(positions, c.head_dim, c.rope_theta, c.rope_scaling, self.embedding.dtype)

    def hidden(
        self, ids: Int[Tensor, "*at"], encoding: Float[Tensor, "*#at 2 head_dim"], attend: Attend
    ) -> Float[Tensor, "*at hidden"]:
        """Reshapes are torch's own: with tensors, einops imports torch's compiler (seconds), and here it would cost as much
        as a small product.
        """
        c, rotation = self.config, encoding.unsqueeze(-3)
        heads, turned = c.num_attention_heads, c.num_attention_heads + c.num_key_value_heads
        x = F.embedding(ids, self.embedding)
        for i, layer in enumerate(self.layers):
            qkv = layer.query_key_value.of(rms_norm(x, layer.attention_norm, c)).unflatten(-1, (-1, c.head_dim))
            qk = qkv[..., :turned, :]
            if layer.query_key_norm is not None:
                qk = rms_norm(qk, layer.query_key_norm, c)
            qk = rotated(qk, rotation)
            x = x + layer.output.of(attend(i, qk[..., :heads, :], qk[..., heads:, :], qkv[..., turned:, :]))
            gate, up = layer.gate_up.of(rms_norm(x, layer.mlp_norm, c)).chunk(2, dim=-1)
            x = x + layer.down.of(F.silu(gate) * up)
        return rms_norm(x, self.norm, c)


def rms_norm(x: Float[Tensor, "*at size"], weight: Float[Tensor, "*#at size"], c: LlamaConfig) -> Float[Tensor, "*at size"]:
    """As torch's own, whose backward pass takes half as long again."""
    return x * torch.rsqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) / x.shape[-1] + c.rms_norm_eps) * weight


def initialize(model: LanguageModel, seed: int, std: float = 0.02) -> None:
    """Fresh weights as Hugging Face initialises its decoders: normal(0, std) matrices, zero biases, unit norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
