"""Llama for one sequence, whole each time: no cache, no batch, no padding, every adapter a term of its own."""

import torch
from einops import rearrange
from torch import Tensor

from models.llama_config import LlamaConfig

Weights = dict[str, Tensor]  # by the names of Hugging Face checkpoints; adapters as LAYER.A.NAME and LAYER.B.NAME
Scales = dict[str, float]  # of each adapter, alpha / rank included; adapters left out are off


def logits(c: LlamaConfig, weights: Weights, scales: Scales, ids: list[int], first: int) -> Tensor:
    """What the positions from `first` on say about the token after each: [positions, vocab]."""
    embedding = weights["model.embed_tokens.weight"]
    x = embedding[torch.tensor(ids)]  # [t, hidden]
    for i in range(c.num_hidden_layers):
        layer = f"model.layers.{i}"
        x = x + attention(c, weights, scales, f"{layer}.self_attn", norm(c, weights, f"{layer}.input_layernorm", x))
        x = x + mlp(weights, scales, f"{layer}.mlp", norm(c, weights, f"{layer}.post_attention_layernorm", x))
    return norm(c, weights, "model.norm", x)[first:] @ embedding.T  # the head is tied


def linear(weights: Weights, scales: Scales, name: str, x: Tensor) -> Tensor:
    y = x @ weights[f"{name}.weight"].T
    for adapter, scale in scales.items():
        if f"{name}.A.{adapter}" in weights:
            y = y + scale * (x @ weights[f"{name}.A.{adapter}"].T @ weights[f"{name}.B.{adapter}"].T)
    return y


def norm(c: LlamaConfig, weights: Weights, name: str, x: Tensor) -> Tensor:
    return weights[f"{name}.weight"] * x / (x.pow(2).mean(-1, keepdim=True) + c.rms_norm_eps).sqrt()


def mlp(weights: Weights, scales: Scales, name: str, x: Tensor) -> Tensor:
    gate = linear(weights, scales, f"{name}.gate_proj", x)
    return linear(weights, scales, f"{name}.down_proj", gate * gate.sigmoid() * linear(weights, scales, f"{name}.up_proj", x))


def attention(c: LlamaConfig, weights: Weights, scales: Scales, name: str, x: Tensor) -> Tensor:
    def heads(projection: str, count: int) -> Tensor:
        return rearrange(linear(weights, scales, f"{name}.{projection}", x), "t (heads d) -> t heads d", heads=count)

    group = c.num_attention_heads // c.num_key_value_heads
    shared = [head // group for head in range(c.num_attention_heads)]  # which key-value head each query head reads
    q = rotated(c, heads("q_proj", c.num_attention_heads))
    k = rotated(c, heads("k_proj", c.num_key_value_heads))[:, shared]
    v = heads("v_proj", c.num_key_value_heads)[:, shared]
    scores = torch.einsum("qhd,khd->hqk", q, k) / c.head_dim**0.5
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    attended = torch.einsum("hqk,khd->qhd", scores.masked_fill(future, -torch.inf).softmax(-1), v)
    return linear(weights, scales, f"{name}.o_proj", attended.flatten(1))


def rotated(c: LlamaConfig, x: Tensor) -> Tensor:
    """Coordinates i and i + d/2 of a head are a complex number, turned by position x theta^(-2i/d)."""
    half = c.head_dim // 2
    frequencies = torch.tensor([c.rope_theta ** (-2 * i / c.head_dim) for i in range(half)], dtype=x.dtype)
    angles = torch.arange(len(x), dtype=x.dtype)[:, None, None] * frequencies  # [t, 1, d/2]
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)
