"""Where two runs part: settings, the first step and the first sample that differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.reader import Row


@dataclass(frozen=True)
class Difference:
    """Two rows of the same step, the row's `number` from 0 within it, and what differs: {name: (value in A, value in B)}."""

    step: int
    number: int
    values: dict[str, tuple[Any, Any]]
    a: Row
    b: Row


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted name: value}; a reward that is spelt out stays one value."""
    dotted: dict[str, Any] = {}
    for name, value in settings.items():
        is_group = isinstance(value, dict) and f"{prefix}{name}" != "reward"
        dotted |= flat(value, f"{prefix}{name}.") if is_group else {f"{prefix}{name}": value}
    return dotted


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values by name, in A's order, of what is not equal; None for what one of them lacks."""
    return {name: (a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)}


def numbered(rows: Sequence[Row]) -> dict[tuple[int, int], Row]:
    """Each row by its step and its number within the step."""
    seen: Counter[int] = Counter()
    places = {}
    for row in rows:
        places[row["step"], seen[row["step"]]] = row
        seen[row["step"]] += 1
    return places


def common_rows(a: Sequence[Row], b: Sequence[Row]) -> list[tuple[tuple[int, int], Row, Row]]:
    """Rows in the same place of the same step; runs may have logged different steps."""
    others = numbered(b)
    return [(place, row, others[place]) for place, row in numbered(a).items() if place in others]


def first_difference(a: Sequence[Row], b: Sequence[Row], names: Sequence[str] | None = None) -> Difference | None:
    """Of the common rows the first that differ in any entry, to the last digit, or in one of `names`. None: all are equal."""
    for place, row, other in common_rows(a, b):
        values = differing(row, other)
        if any(names is None or name in names for name in values):
            return Difference(*place, values, row, other)
    return None
