"""A part of a page, and the parts that several pages have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from records.reader import RunFiles
from reports.charts import Charts
from reports.choices import Dropdown
from reports.numbers import MANY_RUNS, POINTS, bin_width
from reports.run_tables import run_title
from reports.samples import OF_MANY, USUAL, SampleBlock, views_of
from reports.tables import Cell, Table

SAMPLES_NOTE = """The first completions of the final evaluation, the same prompts in every mode, and before them, by the slider, \
those of training. Marked is what the reward or its hack counts."""


@dataclass(frozen=True)
class Section:
    """A part of the page. `missing` says what is not there instead of a chart or a table."""

    name: str
    title: str
    note: str = ""
    charts: Charts | None = None
    table: Table | None = None
    folded: str = ""  # what stands on a table that is closed at first
    sentences: Sequence[str] = ()
    dropdowns: Sequence[Dropdown] = ()
    samples: Sequence[SampleBlock] = ()
    failures: Sequence[Mapping[str, Any]] = ()
    missing: str = ""
    hint: str = ""  # after the note, what can be done with it on the page


@dataclass(frozen=True)
class Page:
    """What page.html.j2 shows."""

    what: str
    heading: str
    facts: Sequence[tuple[str, str | Cell]]
    sections: Sequence[Section]
    problem: str = ""
    dropdowns: Sequence[Dropdown] = ()
    runs: Mapping[str, Any] = field(default_factory=dict)  # of a sweep, as `runs_of_page` tells the page's script


def bin_note(steps: Iterable[int], points: int = POINTS, rest: str = "") -> str:
    width = bin_width(steps, points)
    return f"A point is the mean of {width} steps{rest}. " if width > 1 else ""


def absence_note(names: Sequence[str]) -> str:
    return f"not in the runs' files, so not drawn: {', '.join(names)}" if names else ""


def sample_section(runs: Sequence[RunFiles], before: Sequence[str] = ("",), of_a_sweep: bool = False) -> Section:
    """A block a run, `before` its title; each knows its run's number where that is a sweep's."""
    room = USUAL if len(runs) <= MANY_RUNS else OF_MANY
    titles = [f"{each}{run_title(run)} ({run.kind}, {run.doing})" for each, run in zip(cycle(before), runs, strict=False)]
    blocks = [
        SampleBlock(title, views_of(run, room), i if of_a_sweep else None)
        for i, (title, run) in enumerate(zip(titles, runs, strict=True))
        if run.samples
    ]
    return Section(
        "samples", "Samples by mode and step", SAMPLES_NOTE, samples=blocks, missing="" if blocks else "no samples yet"
    )
