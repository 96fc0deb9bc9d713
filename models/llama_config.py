"""What a Llama checkpoint's `config.json` says, in the older and the newer form of Hugging Face. Needs no torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any


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
