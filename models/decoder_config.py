"""What the engine knows of a model's `config.json`, whatever its family, and how families read theirs. Needs no torch."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple


class UnsupportedModel(ValueError):
    """A checkpoint that no decoder here can represent exactly."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    model_type: str  # of models.families
    vocab_size: int  # rows of the embedding
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    tie_word_embeddings: bool
    eos_token_ids: tuple[int, ...]  # any of them ends a completion; with the first, rows are filled up
    padding_rows: int = 0  # of the embedding, the last ones, which stand for no token of the tokenizer and are never sampled

    @property
    def token_count(self) -> int:
        return self.vocab_size - self.padding_rows

    @property
    def windows(self) -> tuple[int | None, ...]:
        """For each layer, how many tokens one sees, itself and those right before it; None: all."""
        return (None,) * self.num_hidden_layers

    @property
    def attention_scale(self) -> float | None:
        """Of queries times keys; None: one over the root of head_dim."""
        return None

    def to_hf(self) -> dict[str, Any]:
        """The contents of a `config.json` that transformers 5 reads."""
        raise NotImplementedError


class RopeScaling(NamedTuple):
    """Slower rotary positions: linear divides all frequencies by `factor`, llama3 the low ones, with a smooth passage."""

    rope_type: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_max_position_embeddings: int = 0


class Rope(NamedTuple):
    theta: float
    partial_factor: float | None  # share of a head's dimensions that turn, where the config says so
    scaling: RopeScaling | None


DEFAULT_THETA = 10_000.0  # transformers' own for all models
CONTEXT = "original_max_position_embeddings"
# What each rope type takes from config.json. `default` has no scaling.
ROPE_TYPES = {"default": (), "linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor", CONTEXT)}


def read_rope(config: dict[str, Any], theta: str = "rope_theta", partial_factor: str = "partial_rotary_factor") -> Rope:
    """Rotary settings nested (new) or at the top level (old), where two of them have the names given.

    Raises UnsupportedModel for a rope type that is not computed here, or one without its settings.
    """
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}  # where both are, transformers takes the older
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ROPE_TYPES:
        raise UnsupportedModel(f"rope_type={kind!r} is not supported; supported: {listing(ROPE_TYPES)}")
    context = config.get(CONTEXT) or rope.get(CONTEXT) or config.get("max_position_embeddings")
    settings = {name: (rope | {CONTEXT: context}).get(name) for name in ROPE_TYPES[kind]}
    if missing := [name for name, value in settings.items() if value is None]:
        raise UnsupportedModel(f"rope_type={kind!r} needs {', '.join(missing)}")
    base, partial = rope.get("rope_theta", config.get(theta)), rope.get("partial_rotary_factor", config.get(partial_factor))
    scaling = RopeScaling(kind, **settings) if settings else None  # type: ignore[arg-type]
    return Rope(DEFAULT_THETA if base is None else float(base), partial, scaling)


def rope_parameters(theta: float, scaling: RopeScaling | None, **more: float) -> dict[str, Any]:
    """As `config.json` nests them."""
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta, **more}
    named = {name: getattr(scaling, name) for name in ("rope_type", *ROPE_TYPES[scaling.rope_type])}
    return named | {"rope_theta": theta, **more}


def check_supported(config: dict[str, Any], supported: dict[str, tuple[Any, ...]]) -> None:
    """Raises UnsupportedModel for a setting with another value than those; one that is absent has its default."""
    for name, values in supported.items():
        if (value := config.get(name, values[0])) not in values:
            raise UnsupportedModel(f"{name}={value!r} is not supported; supported: {listing(values)}")


def check_present(config: dict[str, Any], names: Collection[str]) -> None:
    if missing := [name for name in names if config.get(name) is None]:
        raise UnsupportedModel(f"config.json lacks {', '.join(missing)}")


def listing(values: Collection[Any]) -> str:
    return ", ".join(map(repr, values))


def eos_ids(value: Any) -> tuple[int, ...]:
    """The entry `eos_token_id` of a config, one id or a list of them. Raises UnsupportedModel for anything else."""
    ids = value if isinstance(value, list) else [value]
    if not ids or not all(type(each) is int for each in ids):
        raise UnsupportedModel(f"eos_token_id {value!r}: must be a token's id or a list of them")
    return tuple(dict.fromkeys(ids))


def eos_entry(ids: tuple[int, ...]) -> int | list[int]:
    """As `config.json` has it."""
    return ids[0] if len(ids) == 1 else list(ids)
