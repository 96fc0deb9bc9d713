"""Where runs part: settings, what they were made of, and of two the first step and the first sample that differ."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.naming import NOT_IDENTITY
from records.reader import Row, RunFiles, grouped
from reports.tables import setting_text

DIGEST = re.compile(r"[0-9a-f]{12,}")
# Entries of run.json that hold digests, in words; those of NOT_COMPARED differ wherever anything does.
OF_DIGESTS = {
    "base_fingerprint": "the weights of the base model",
    "train_prompts_fingerprint": "the training prompts",
    "eval_prompts_fingerprint": "the evaluation prompts, so that no two samples are paired,",
    "reward_fingerprints": "what the reward's values depend on",
    "plugins": "the plugins",
    "git": "the code",
}
NOT_COMPARED = {"config_hash", "command", "paths"}


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


def settings_of(run: RunFiles) -> dict[str, Any]:
    """By dotted name those that make it another experiment, digests left out of them."""
    return {name: _without_digests(value) for name, value in flat(run.config).items() if name not in NOT_IDENTITY}


def _without_digests(value: Any) -> Any:
    return json.loads(DIGEST.sub("…", json.dumps(value)))


def made_of_sentences(runs: Mapping[str, RunFiles]) -> Iterator[str]:
    """What runs, by name, were made of that differs; digests say in words that something does."""
    records = {name: run.made_of for name, run in runs.items() if run.made_of}
    for key in dict.fromkeys(key for record in records.values() for key in record if key not in NOT_COMPARED):
        values = grouped(records, lambda name, key=key: json.dumps(records[name].get(key)))
        if len(values) == 1:
            continue
        if key in OF_DIGESTS or any(map(DIGEST.search, values)):
            yield f"Not the same in all: {OF_DIGESTS.get(key, key)}."
        else:
            told = (f"{setting_text(json.loads(value))} ({_few(names)})" for value, names in values.items())
            yield f"{key}: {', '.join(told)}."


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{len(names)} runs"


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
