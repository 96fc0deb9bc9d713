"""What a Llama's, Qwen2's, Qwen2.5's or Qwen3's `config.json` says, in Hugging Face's older and newer form. Needs no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from models.decoder_config import (
    DecoderConfig,
    RopeScaling,
    check_present,
    check_supported,
    eos_entry,
    eos_ids,
    read_rope,
    rope_parameters,
)

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(DecoderConfig):
    model_type: str = "llama"
    intermediate_size: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None = None
    attention_bias: bool  # of queries, keys and values
    mlp_bias: bool

    @property
    def output_bias(self) -> bool:
        return self.attention_bias and self.model_type != "qwen2"

    @property
    def query_key_norm(self) -> bool:
        return self.model_type == "qwen3"

    def to_hf(self) -> dict[str, Any]:
        """The contents of a `config.json` that transformers 5 reads."""
        named = {"architectures": [ARCHITECTURES[self.model_type]], "hidden_act": "silu", "dtype": "float32"}
        values = {name: value for name, value in asdict(self).items() if name not in OWN_NAMES}
        rope = rope_parameters(self.rope_theta, self.rope_scaling)
        return named | values | {"rope_parameters": rope, "eos_token_id": eos_entry(self.eos_token_ids)}


# Which config.json spells or nests otherwise, or lacks.
OWN_NAMES = ("rope_theta", "rope_scaling", "padding_rows", "eos_token_ids")
NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "max_position_embeddings", "rms_norm_eps")  # fmt: skip
SUPPORTED = {  # what the decoder takes for granted
    "hidden_act": ("silu",),
    "pretraining_tp": (1,),
    "use_sliding_window": (False,),
    "partial_rotary_factor": (1.0, None),
}


def llama_config(config: dict[str, Any]) -> LlamaConfig:
    """Raises UnsupportedModel for a setting that the decoder does not implement, and for one that is missing."""
    rope, kind = read_rope(config), config["model_type"]
    check_supported(config | {"partial_rotary_factor": rope.partial_factor}, SUPPORTED)
    for layer_type in config.get("layer_types") or ():
        check_supported({"layer_type": layer_type}, {"layer_type": ("full_attention",)})
    # Where a Qwen's file lacks its key-value heads, transformers does not take all heads.
    check_present(config, NEEDED if kind == "llama" else (*NEEDED, "num_key_value_heads"))
    heads = config["num_attention_heads"]
    return LlamaConfig(
        **{name: config[name] for name in NEEDED},
        model_type=kind,
        num_key_value_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or (128 if kind == "qwen3" else config["hidden_size"] // heads),
        tie_word_embeddings=config.get("tie_word_embeddings", False),
        eos_token_ids=eos_ids(config.get("eos_token_id")),
        rope_theta=rope.theta,
        rope_scaling=rope.scaling,
        attention_bias=kind == "qwen2" or config.get("attention_bias", False),
        mlp_bias=kind == "llama" and config.get("mlp_bias", False),
    )
