"""A few of the samples that training logged, which pages show by step: a run has tens of thousands, a sweep millions."""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from records.rows import Row


class Few(NamedTuple):
    """At most so many steps, prompts of a step, and completions of a prompt."""

    steps: int
    prompts: int
    completions: int


OF_A_RUN, OF_A_SWEEP_S_RUN = Few(25, 2, 3), Few(4, 1, 2)


def few_logged(rows: Iterable[Row], few: Few) -> list[Row]:
    """The first ones at steps as far apart as they can be, the first and the last step among them."""
    by_step = _groups(rows, lambda row: row["step"])
    last = len(by_step) - 1
    chosen = by_step if last < few.steps else [by_step[round(i * last / (few.steps - 1))] for i in range(few.steps)]
    prompts = [
        group for step in chosen for group in _groups(step, lambda row: (row.get("prompt_index"), row["prompt"]))[: few.prompts]
    ]
    return [row for group in prompts for row in group[: few.completions]]


def _groups(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return [*groups.values()]
