"""Where two runs part: settings, the first step and the first sample that differ."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.reader import Row


@dataclass(frozen=True)
class Difference:
    """What differs in a row: {name: (value in A, value in B)}, None for what a row lacks."""

    step: int
    values: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class SampleDifference:
    """The first logged sample that differs, `number` from 0 within its step."""

    step: int
    number: int
    names: list[str]
    a: Row
    b: Row


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted name: value}; a reward that is spelt out stays one value."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        inside = isinstance(value, dict) and f"{prefix}{name}" != "reward"
        found |= flat(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return found


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values by name, in A's order, of what is not equal; None for what one of them lacks."""
    return {name: (a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)}


def first_step(a: Sequence[Row], b: Sequence[Row]) -> Difference | None:
    """The first step that both have and in which any metric differs, to the last digit. None: all common steps are equal."""
    others = {row["step"]: row for row in b}
    for row in a:
        if row["step"] in others and (values := differing(row, others[row["step"]])):
            return Difference(row["step"], values)
    return None


def common_steps(a: Sequence[Row], b: Sequence[Row]) -> int:
    return len({row["step"] for row in a} & {row["step"] for row in b})


def numbered(samples: Sequence[Row]) -> Iterator[tuple[tuple[int, int], Row]]:
    """Each sample with its step and its number within the step."""
    seen: dict[int, int] = defaultdict(int)
    for row in samples:
        yield (row["step"], seen[row["step"]]), row
        seen[row["step"]] += 1


def common_samples(a: Sequence[Row], b: Sequence[Row]) -> list[tuple[tuple[int, int], Row, Row]]:
    """The samples that stand in the same place of the same step; runs may have logged different steps."""
    others = dict(numbered(b))
    return [(place, row, others[place]) for place, row in numbered(a) if place in others]


def first_sample(a: Sequence[Row], b: Sequence[Row], names: Sequence[str] | None = None) -> SampleDifference | None:
    """The first sample that differs in any entry, or in those of `names`."""
    for (step, number), row, other in common_samples(a, b):
        different = [name for name in differing(row, other) if names is None or name in names]
        if different:
            return SampleDifference(step, number, different, row, other)
    return None
