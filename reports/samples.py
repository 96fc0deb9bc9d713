"""Completions of the same prompts side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.reader import RunFiles, first_of_each_mode
from reports.tables import number_cell

LONGEST_TEXT = 700  # characters of a prompt or a completion


@dataclass(frozen=True)
class Completion:
    text: str
    reward: str
    hacked: bool | None


@dataclass(frozen=True)
class Samples:
    """`rows` are (prompt, one completion a column)."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Completion | None]]]


@dataclass(frozen=True)
class SampleBlock:
    """What opens and closes; `run` is the run's number in its sweep."""

    title: str
    samples: Samples
    run: int | None = None


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def completion_of(row: Mapping[str, Any]) -> Completion:
    return Completion(cut(row["completion"]), number_cell(row.get("reward")).text, row.get("hacked"))


def samples_of(run: RunFiles, count: int) -> Samples:
    """The first `count` of each mode beside one another; rows of different modes belong together by prompt and its count."""
    rows: dict[tuple, dict[str, Completion]] = {}
    seen: Counter[tuple] = Counter()
    for row in first_of_each_mode(run.samples, count):
        column = row["mode"] if "mode" in row else f"training, step {row['step']}"
        prompt = (row.get("prompt_index"), row["prompt"])
        seen[column, prompt] += 1
        rows.setdefault((*prompt, seen[column, prompt]), {})[column] = completion_of(row)
    columns = list(dict.fromkeys(column for column, _ in seen))
    return Samples(columns, [(cut(prompt), [cells.get(name) for name in columns]) for (_, prompt, _), cells in rows.items()])
