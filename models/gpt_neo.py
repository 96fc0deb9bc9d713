"""GPT-Neo, the architecture of the TinyStories models: LayerNorm, learned positions, unscaled attention, a tied head.

Layers are global or local; local ones see the last `window_size` tokens only.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

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
    stacked,
)
from models.decoder_config import DecoderConfig, UnsupportedModel, check_present, check_supported, eos_entry, eos_ids, listing


@dataclass(frozen=True, kw_only=True)
class GPTNeoConfig(DecoderConfig):
    model_type: str = "gpt_neo"
    intermediate_size: int
    layer_norm_epsilon: float
    activation_function: str  # of GELU
    attention_layers: tuple[str, ...]  # global or local
    window_size: int

    @property
    def windows(self) -> tuple[int | None, ...]:
        return tuple(self.window_size if layer == "local" else None for layer in self.attention_layers)

    @property
    def attention_scale(self) -> float | None:
        return 1.0

    def to_hf(self) -> dict[str, Any]:
        own = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "attention_layers",
               "padding_rows", "eos_token_ids")  # fmt: skip
        values = {name: value for name, value in asdict(self).items() if name not in own}
        named = {"architectures": ["GPTNeoForCausalLM"], "dtype": "float32", "num_layers": self.num_hidden_layers,
                 "num_heads": self.num_attention_heads, "attention_types": [[list(self.attention_layers), 1]]}  # fmt: skip
        return named | values | {"eos_token_id": eos_entry(self.eos_token_ids)}


NEEDED = ("vocab_size", "hidden_size", "max_position_embeddings")
DEFAULTS = {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "window_size": 256, "tie_word_embeddings": True}


def gpt_neo_config(config: dict[str, Any]) -> GPTNeoConfig:
    """Raises UnsupportedModel for a setting that the decoder does not implement, and for one that is missing."""
    check_present(config, (*NEEDED, "num_layers", "num_heads", "attention_types"))
    check_supported(DEFAULTS | config, {"activation_function": tuple(GELU)})
    layers, heads = tuple(name for names, times in config["attention_types"] for name in names * times), config["num_heads"]
    if len(layers) != config["num_layers"] or not set(layers) <= {"global", "local"}:
        raise UnsupportedModel(f"attention_types {config['attention_types']}: must name {config['num_layers']} layers, each of "
                               f"{listing(('global', 'local'))}")  # fmt: skip
    return GPTNeoConfig(
        **{name: config[name] for name in NEEDED},
        **{name: config.get(name, default) for name, default in DEFAULTS.items()},
        num_hidden_layers=len(layers),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=config["hidden_size"] // heads,
        intermediate_size=config.get("intermediate_size") or 4 * config["hidden_size"],
        attention_layers=layers,
        eos_token_ids=eos_ids(config.get("eos_token_id")),
    )


class SelfAttention(nn.Module):
    def __init__(self, c: GPTNeoConfig):
        super().__init__()
        self.k_proj = nn.Linear(c.hidden_size, c.hidden_size, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, c.hidden_size, bias=False)
        self.q_proj = nn.Linear(c.hidden_size, c.hidden_size, bias=False)
        self.out_proj = nn.Linear(c.hidden_size, c.hidden_size)


class Attention(nn.Module):
    def __init__(self, c: GPTNeoConfig):
        super().__init__()
        self.attention = SelfAttention(c)


class MLP(nn.Module):
    def __init__(self, c: GPTNeoConfig):
        super().__init__()
        self.c_fc = nn.Linear(c.hidden_size, c.intermediate_size)
        self.c_proj = nn.Linear(c.intermediate_size, c.hidden_size)


class Layer(nn.Module):
    def __init__(self, c: GPTNeoConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.attn = Attention(c)
        self.ln_2 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)
        self.mlp = MLP(c)


class Decoder(nn.Module):
    def __init__(self, c: GPTNeoConfig):
        super().__init__()
        self.wte = embedding_module(c.vocab_size, c.hidden_size)
        self.wpe = embedding_module(c.max_position_embeddings, c.hidden_size)
        self.h = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.ln_f = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)


class GPTNeo(LanguageModel):
    targets = ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj")
    stored_head = "lm_head.weight"
    stored_buffers = r"transformer\.h\.\d+\.attn\.attention\.(bias|masked_bias)"
    config: GPTNeoConfig  # type: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: GPTNeoConfig):
        super().__init__(config)
        self.transformer = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def layers(self) -> nn.ModuleList:
        return self.transformer.h

    @property
    def output_embedding(self) -> Float[Tensor, "vocab hidden"]:
        return self.transformer.wte.weight if self.config.tie_word_embeddings else self.lm_head.weight

    def weights(self) -> "GPTNeoWeights":
        layers, inner = tuple(layer_weights(layer) for layer in self.layers), self.transformer  # type: ignore[arg-type]
        return GPTNeoWeights(self.config, inner.wte.weight, inner.wpe.weight, layers, layer_norm(inner.ln_f), self.head)


def layer_weights(layer: Layer) -> NormedLayer:
    attention = layer.attn.attention
    return NormedLayer(
        layer_norm(layer.ln_1),
        stacked(affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)),
        affine(attention.out_proj),
        layer_norm(layer.ln_2),
        affine(layer.mlp.c_fc),
        affine(layer.mlp.c_proj),
    )


class GPTNeoWeights(NamedTuple):
    config: GPTNeoConfig
    embedding: Float[Tensor, "vocab hidden"]
    position_embedding: Float[Tensor, "positions hidden"]
    layers: tuple[NormedLayer, ...]
    norm: LayerNorm
    head: Float[Tensor, "tokens hidden"]

    def position_encoding(self, positions: Int[Tensor, "*at"]) -> Float[Tensor, "*at hidden"]:
        return F.embedding(positions, self.position_embedding)

    def hidden(
        self, ids: Int[Tensor, "*at"], encoding: Float[Tensor, "*#at hidden"], attend: Attend
    ) -> Float[Tensor, "*at hidden"]:
        c, gelu = self.config, GELU[self.config.activation_function]
        x = F.embedding(ids, self.embedding) + encoding
        for i, layer in enumerate(self.layers):
            qkv = layer.query_key_value.of(layer.attention_norm.of(x, c.layer_norm_epsilon))
            q, k, v = qkv.unflatten(-1, (3, c.num_attention_heads, c.head_dim)).unbind(-3)
            x = x + layer.output.of(attend(i, q, k, v))
            x = x + layer.down.of(F.gelu(layer.up.of(layer.mlp_norm.of(x, c.layer_norm_epsilon)), approximate=gelu))
        return self.norm.of(x, c.layer_norm_epsilon)
