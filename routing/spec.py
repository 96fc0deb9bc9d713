"""What adapters are, as data. With their targets, enough to rebuild them around their base weights. Needs no torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from routing.modes import FORGET, LORA, RETAIN

ADAPTERS = {"lora": {LORA}, "dual_lora": {RETAIN, FORGET}}  # names by kind


@dataclass(frozen=True)
class AdapterSpec:
    """`ranks` by adapter name; an adapter's output is scaled by alpha / rank. On which layers is for the model to say."""

    kind: Literal["lora", "dual_lora"]
    ranks: dict[str, int]
    alpha: float
    stride: int  # in every stride-th layer
    dtype: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def spec_from_dict(values: dict[str, Any]) -> AdapterSpec:
    """Raises ValueError for a missing, unknown or wrong entry."""
    expected = {field.name for field in fields(AdapterSpec)}
    if wrong := sorted(set(values) ^ expected):
        raise ValueError(f"adapter settings: missing or unknown {', '.join(wrong)}; expected {', '.join(sorted(expected))}")
    kind, ranks = values["kind"], values["ranks"]
    if set(ranks) != ADAPTERS.get(kind):
        raise ValueError(f"adapter settings: kind {kind!r} with ranks for {sorted(ranks)} is not known")
    types = {"alpha": float, "stride": int, "dtype": str} | dict.fromkeys((f"rank of {name}" for name in ranks), int)
    entries = values | {f"rank of {name}": rank for name, rank in ranks.items()}
    for name, expected_type in types.items():
        if type(entries[name]) is not expected_type:
            raise ValueError(f"adapter settings: {name} is {entries[name]!r}, not {expected_type.__name__}")
    return AdapterSpec(**values)
