"""What a Llama checkpoint's `config.json` says, in the older and the newer form of Hugging Face. Needs no torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any


class UnsupportedModel(ValueError):
    """A checkpoint that this decoder cannot represent exactly."""


@dataclass(frozen=True)
class LlamaConfig:
    vocab_size: int  # rows of the embedding
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
    eos_token_ids: tuple[int, ...]  # any of them ends a completion; with the first, rows are filled up
    padding_rows: int = 0  # of the embedding, the last ones, which stand for no token of the tokenizer and are never sampled

    @property
    def token_count(self) -> int:
        return self.vocab_size - self.padding_rows

    def to_hf(self) -> dict[str, Any]:
        """The contents of a `config.json` that transformers 5 reads."""
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta}}
        named = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "float32"}
        eos = {"eos_token_id": self.eos_token_ids[0] if len(self.eos_token_ids) == 1 else list(self.eos_token_ids)}
        return named | {k: v for k, v in asdict(self).items() if k not in OWN_NAMES} | rope | eos


OWN_NAMES = ("rope_theta", "padding_rows", "eos_token_ids")  # which config.json spells or nests otherwise, or lacks
SUPPORTED = {"hidden_act": "silu", "pretraining_tp": 1, "rope_type": "default"}  # what the decoder takes for granted
OPTIONAL = {"attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False}  # and what their absence means
DERIVED = (*OWN_NAMES, "num_key_value_heads", "head_dim")  # may be absent, too


def config_from_hf(config: dict[str, Any]) -> LlamaConfig:
    """Reads a Hugging Face `config.json`, with rotary settings at the top level (old) or nested (new).

    Every row of the embedding counts as a token; who knows the tokenizer knows better.
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
    if theta is None:
        raise UnsupportedModel("config.json needs rope_theta")
    eos = eos_ids(config.get("eos_token_id"))
    if missing := [field.name for field in fields(LlamaConfig) if field.name not in (*DERIVED, *OPTIONAL, *config)]:
        raise UnsupportedModel(f"config.json lacks {', '.join(missing)}")
    heads = config["num_attention_heads"]
    derived = {
        "padding_rows": 0,
        "eos_token_ids": eos,
        "rope_theta": float(theta),
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
    }
    entries: dict[str, Any] = OPTIONAL | config | derived
    return LlamaConfig(**{field.name: entries[field.name] for field in fields(LlamaConfig)})


def eos_ids(value: Any) -> tuple[int, ...]:
    """The entry `eos_token_id` of a config, one id or a list of them. Raises UnsupportedModel for anything else."""
    ids = value if isinstance(value, list) else [value]
    if not ids or not all(type(each) is int for each in ids):
        raise UnsupportedModel(f"eos_token_id {value!r}: must be a token's id or a list of them")
    return tuple(dict.fromkeys(ids))
