"""What adapters are, as data: enough to rebuild them around their base weights. Needs no torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from routing.modes import FORGET, LORA, RETAIN

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTERS = {"lora": {LORA}, "dual_lora": {RETAIN, FORGET}}  # names by kind


@dataclass(frozen=True)
class AdapterSpec:
    """`ranks` by adapter name; an adapter's output is scaled by alpha / rank."""

    kind: Literal["lora", "dual_lora"]
    ranks: dict[str, int]
    alpha: float
    stride: int  # in every stride-th layer
    targets: tuple[str, ...] = TARGETS
    dtype: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"targets": list(self.targets)}


def spec_from_dict(values: dict[str, Any]) -> AdapterSpec:
    """Raises ValueError for a missing, unknown or wrong entry."""
    expected = {field.name for field in fields(AdapterSpec)}
    if wrong := sorted(set(values) ^ expected):
        raise ValueError(f"adapter settings: missing or unknown {', '.join(wrong)}; expected {', '.join(sorted(expected))}")
    kind, ranks = values["kind"], values["ranks"]
    if set(ranks) != ADAPTERS.get(kind):
        raise ValueError(f"adapter settings: kind {kind!r} with ranks for {sorted(ranks)} is not known")
    types = {"alpha": float, "stride": int, "dtype": str} | dict.fromkeys((f"rank of {name}" for name in ranks), int)
    settings: dict[str, Any] = values | {"targets": tuple(values["targets"])}
    entries = settings | {f"rank of {name}": rank for name, rank in ranks.items()}
    for name, expected_type in types.items():
        if type(entries[name]) is not expected_type:
            raise ValueError(f"adapter settings: {name} is {entries[name]!r}, not {expected_type.__name__}")
    return AdapterSpec(**settings)
