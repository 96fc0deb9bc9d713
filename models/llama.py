"""A compact Llama decoder: grouped-query attention, rotary positions, RMSNorm, SwiGLU, tied or untied head.

Parameter names are those of Hugging Face checkpoints. Sequences are right-padded and start at position 0,
so that causality alone keeps padding out of every real token's sight and no padding mask exists anywhere.

Left out on purpose: dropout, scaled rotary positions, sliding windows. A query/key/value bias exists where the
config asks for one (`attention_bias`); a query/key norm would be a line in `Attention`.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


class UnsupportedModel(ValueError):
    """A checkpoint that this decoder cannot represent exactly."""


@dataclass(frozen=True)
class LlamaConfig:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    attention_bias: bool
    mlp_bias: bool
    eos_token_id: int

    def to_hf(self) -> dict[str, Any]:
        """The contents of a `config.json` that transformers 5 reads."""
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta}}
        named = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "float32"}
        return named | {k: v for k, v in asdict(self).items() if k != "rope_theta"} | rope


SUPPORTED = {"hidden_act": "silu", "pretraining_tp": 1, "rope_type": "default"}  # what the decoder takes for granted
OPTIONAL = {"attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False}  # and what their absence means
DERIVED = ("rope_theta", "num_key_value_heads", "head_dim")  # may be absent, too


def config_from_hf(config: dict[str, Any]) -> LlamaConfig:
    """Reads a Hugging Face `config.json`, with rotary settings at the top level (old) or nested (new).

    Raises UnsupportedModel for another architecture or a setting that the decoder does not implement.
    """
    if config.get("model_type") != "llama":
        raise UnsupportedModel(f"model_type {config.get('model_type')!r} is not supported; supported: 'llama'")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    settings = config | {"rope_type": rope.get("rope_type", rope.get("type", "default"))}
    for name, supported in SUPPORTED.items():
        if settings.get(name, supported) != supported:
            raise UnsupportedModel(f"{name}={settings[name]!r} is not supported; supported: {supported!r}")
    theta = rope.get("rope_theta", config.get("rope_theta"))
    eos = config.get("eos_token_id")
    if theta is None or not isinstance(eos, int):
        raise UnsupportedModel(f"config.json needs rope_theta and one integer eos_token_id, got {theta!r} and {eos!r}")
    if missing := [field.name for field in fields(LlamaConfig) if field.name not in (*DERIVED, *OPTIONAL, *config)]:
        raise UnsupportedModel(f"config.json lacks {', '.join(missing)}")
    heads = config["num_attention_heads"]
    derived = {
        "rope_theta": float(theta),
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
    }
    return LlamaConfig(**{field.name: (OPTIONAL | config | derived)[field.name] for field in fields(LlamaConfig)})


@dataclass
class KVCache:
    """Keys and values of past positions: `keys`, `values` [layers, N, key-value heads, positions, head_dim]."""

    keys: Float[Tensor, "layers n heads positions head_dim"]
    values: Float[Tensor, "layers n heads positions head_dim"]

    def select(self, rows: Int[Tensor, " m"]) -> "KVCache":
        """The cache of some rows, in the order given; a row may come up several times."""
        return KVCache(self.keys.index_select(1, rows), self.values.index_select(1, rows))


def empty_cache(model: "Llama", rows: int, positions: int) -> KVCache:
    c, weight = model.config, model.model.embed_tokens.weight
    shape = (c.num_hidden_layers, rows, c.num_key_value_heads, positions, c.head_dim)
    return KVCache(weight.new_zeros(shape), weight.new_zeros(shape))


def rotate(x: Float[Tensor, "n heads t d"], cos: Float[Tensor, "#n 1 t d"], sin: Float[Tensor, "#n 1 t d"]) -> Tensor:
    """Rotary positions in the half-split form of Hugging Face's Llama."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        self.head_dim = c.head_dim
        inner, inner_kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, inner, bias=c.attention_bias)
        self.k_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.v_proj = nn.Linear(c.hidden_size, inner_kv, bias=c.attention_bias)
        self.o_proj = nn.Linear(inner, c.hidden_size, bias=c.attention_bias)

    def forward(self, x, cos, sin, past, positions, visible):
        projected = (projection(x) for projection in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (rearrange(each, "n t (h d) -> n h t d", d=self.head_dim) for each in projected)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = write_and_read(past, positions, k, v, visible)
        group = q.shape[1] // k.shape[1]
        if group > 1:
            k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)
        return self.o_proj(rearrange(out, "n h t d -> n t (h d)"))


def write_and_read(past: tuple[Tensor, Tensor], positions: Tensor, k: Tensor, v: Tensor, visible: Tensor | None):
    """Stores new keys and values in one layer's cache; returns those that the queries attend to."""
    keys, values = past
    if visible is None:  # prefill: positions 0..t-1 of every row, nothing earlier to see
        keys[:, :, : k.shape[2]], values[:, :, : v.shape[2]] = k, v
        return k, v
    rows = torch.arange(len(k), device=k.device)
    keys[rows, :, positions[:, 0]], values[rows, :, positions[:, 0]] = k[:, :, 0], v[:, :, 0]
    length = visible.shape[-1]
    return keys[:, :, :length], values[:, :, :length]


class MLP(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: LlamaConfig):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)
        self.mlp = MLP(c)

    def forward(self, x, *attention_inputs):
        x = x + self.self_attn(self.input_layernorm(x), *attention_inputs)
        return x + self.mlp(self.post_attention_layernorm(x))


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
    def head(self) -> Float[Tensor, "vocab hidden"]:
        """The output embedding; its logits are `hidden @ head.T`."""
        return self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight

    def forward(
        self, ids: Int[Tensor, "n t"], cache: KVCache | None = None, positions: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n t hidden"]:
        """Hidden states after the last norm, without the head.

        Without `positions`: whole right-padded sequences from position 0, kept in `cache` where one is given.
        With `positions`: one token a row (t = 1) at that row's own position, attending to the row's cache.
        """
        if positions is None:
            at, visible = torch.arange(ids.shape[1], device=ids.device)[None], None
        else:
            assert cache is not None and ids.shape[1] == 1, "a token by position needs a cache, one token a row"
            at = positions[:, None]
            visible = (torch.arange(int(positions.max()) + 1, device=ids.device) <= at)[:, None, None]
        cos, sin = self.rotation(at)
        x = self.model.embed_tokens(ids)
        for i, layer in enumerate(self.model.layers):
            past = None if cache is None else (cache.keys[i], cache.values[i])
            x = layer(x, cos, sin, past, at, visible)
        return self.model.norm(x)

    def rotation(self, positions: Int[Tensor, "n t"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines [n, 1, t, head_dim]; angles in float32 as in Hugging Face, or float64 with the model."""
        dtype = self.model.embed_tokens.weight.dtype
        wide = torch.promote_types(dtype, torch.float32)
        exponents = torch.arange(0, self.config.head_dim, 2, device=positions.device).to(wide) / self.config.head_dim
        angles = positions[:, None, :, None].to(wide) * (1.0 / self.config.rope_theta**exponents)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def initialize(model: Llama, seed: int, std: float = 0.02) -> None:
    """Fresh weights as Hugging Face initialises Llama: normal(0, std) matrices, zero biases, unit norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
