"""GPT-NeoX, the architecture of Pythia: LayerNorm, partly rotary positions, attention and MLP side by side or in a row.

A head's query, key and value lie together in one matrix: [head, 3, head_dim].
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.decoder import (
    GELU,
    Attend,
    LanguageModel,
    LayerNorm,
    NormedLayer,
    affine,
    embedding_module,
    layer_norm,
)
from models.decoder_config import (
    DecoderConfig,
    RopeScaling,
    UnsupportedModel,
    check_present,
    check_supported,
    eos_entry,
    eos_ids,
    read_rope,
    rope_parameters,
)
from models.rotary import rotated, rotations


@dataclass(frozen=True, kw_only=True)
class GPTNeoXConfig(DecoderConfig):
    model_type: str = "gpt_neox"
    intermediate_size: int
    layer_norm_eps: float
    hidden_act: str  # of GELU
    use_parallel_residual: bool
    attention_bias: bool
    rotary_dim: int  # of each head, the first ones
    rope_theta: float
    rope_scaling: RopeScaling | None

    def to_hf(self) -> dict[str, Any]:
        own = ("num_key_value_heads", "head_dim", "rotary_dim", "rope_theta", "rope_scaling", "padding_rows", "eos_token_ids")
        values = {name: value for name, value in asdict(self).items() if name not in own}
        rope = rope_parameters(self.rope_theta, self.rope_scaling, partial_rotary_factor=self.rotary_dim / self.head_dim)
        named = {"architectures": ["GPTNeoXForCausalLM"], "dtype": "float32", "rope_parameters": rope}
        return named | values | {"eos_token_id": eos_entry(self.eos_token_ids)}


NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
DEFAULTS = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_parallel_residual": True, "attention_bias": True,
            "tie_word_embeddings": False}  # fmt: skip # transformers' own
ROTARY_SHARE = 0.25  # of a head's dimensions, where the config says nothing, as in transformers


def gpt_neox_config(config: dict[str, Any]) -> GPTNeoXConfig:
    """Raises UnsupportedModel for a setting that the decoder does not implement, and for one that is missing."""
    check_present(config, NEEDED)
    check_supported(config, {"hidden_act": tuple(GELU)})
    rope, heads = read_rope(config, theta="rotary_emb_base", partial_factor="rotary_pct"), config["num_attention_heads"]
    head_dim = config["hidden_size"] // heads
    rotary_dim = int(head_dim * (ROTARY_SHARE if rope.partial_factor is None else rope.partial_factor))
    if rotary_dim < 2 or rotary_dim % 2:
        raise UnsupportedModel(f"rotary_pct {rope.partial_factor}: {rotary_dim} dimensions of a head turn, which are no pairs")
    return GPTNeoXConfig(
        **{name: config[name] for name in NEEDED},
        **{name: config.get(name, default) for name, default in DEFAULTS.items()},
        num_key_value_heads=heads,
        head_dim=head_dim,
        rotary_dim=rotary_dim,
        rope_theta=rope.theta,
        rope_scaling=rope.scaling,
        eos_token_ids=eos_ids(config.get("eos_token_id")),
    )


class Attention(nn.Module):
    def __init__(self, c: GPTNeoXConfig):
        super().__init__()
        self.query_key_value = nn.Linear(c.hidden_size, 3 * c.hidden_size, bias=c.attention_bias)
        self.dense = nn.Linear(c.hidden_size, c.hidden_size, bias=c.attention_bias)


class MLP(nn.Module):
    def __init__(self, c: GPTNeoXConfig):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(c.hidden_size, c.intermediate_size)
        self.dense_4h_to_h = nn.Linear(c.intermediate_size, c.hidden_size)


class Layer(nn.Module):
    def __init__(self, c: GPTNeoXConfig):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.attention = Attention(c)
        self.mlp = MLP(c)


class Decoder(nn.Module):
    def __init__(self, c: GPTNeoXConfig):
        super().__init__()
        self.embed_in = embedding_module(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)


class GPTNeoX(LanguageModel):
    targets = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    stored_head = "embed_out.weight"
    stored_buffers = r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"
    config: GPTNeoXConfig  # type: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: GPTNeoXConfig):
        super().__init__(config)
        self.gpt_neox = Decoder(config)
        if not config.tie_word_embeddings:
            self.embed_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def layers(self) -> nn.ModuleList:
        return self.gpt_neox.layers

    @property
    def output_embedding(self) -> Float[Tensor, "vocab hidden"]:
        return self.gpt_neox.embed_in.weight if self.config.tie_word_embeddings else self.embed_out.weight

    def weights(self) -> "GPTNeoXWeights":
        layers = tuple(layer_weights(layer) for layer in self.layers)  # type: ignore[arg-type]
        norm = layer_norm(self.gpt_neox.final_layer_norm)
        return GPTNeoXWeights(self.config, self.gpt_neox.embed_in.weight, layers, norm, self.head)


def layer_weights(layer: Layer) -> NormedLayer:
    attention, mlp = layer.attention, layer.mlp
    return NormedLayer(
        layer_norm(layer.input_layernorm),
        affine(attention.query_key_value),
        affine(attention.dense),
        layer_norm(layer.post_attention_layernorm),
        affine(mlp.dense_h_to_4h),
        affine(mlp.dense_4h_to_h),
    )


class GPTNeoXWeights(NamedTuple):
    config: GPTNeoXConfig
    embedding: Float[Tensor, "vocab hidden"]
    layers: tuple[NormedLayer, ...]
    norm: LayerNorm
    head: Float[Tensor, "tokens hidden"]

    def position_encoding(self, positions: Int[Tensor, "*at"]) -> Float[Tensor, "*at 2 rotary_dim"]:
        c = self.config
        return rotations(positions, c.rotary_dim, c.rope_theta, c.rope_scaling, self.embedding.dtype)

    def hidden(
        self, ids: Int[Tensor, "*at"], encoding: Float[Tensor, "*#at 2 rotary_dim"], attend: Attend
    ) -> Float[Tensor, "*at hidden"]:
        c, rotation, gelu = self.config, encoding.unsqueeze(-3), GELU[self.config.hidden_act]
        x = F.embedding(ids, self.embedding)
        for i, layer in enumerate(self.layers):
            qkv = layer.query_key_value.of(layer.attention_norm.of(x, c.layer_norm_eps))
            q, k, v = qkv.unflatten(-1, (c.num_attention_heads, 3, c.head_dim)).unbind(-2)
            q, k = (torch.cat((rotated(each[..., : c.rotary_dim], rotation), each[..., c.rotary_dim :]), -1) for each in (q, k))
            attended = x + layer.output.of(attend(i, q, k, v))
            mlp_input = x if c.use_parallel_residual else attended
            up = layer.up.of(layer.mlp_norm.of(mlp_input, c.layer_norm_eps))
            x = attended + layer.down.of(F.gelu(up, approximate=gelu))
        return self.norm.of(x, c.layer_norm_eps)
