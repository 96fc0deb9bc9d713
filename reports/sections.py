"""A part of a page, and the parts that several pages have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from records.reader import SAMPLES_OF_A_MODE, RunFiles
from reports.charts import Charts
from reports.choices import Dropdown
from reports.numbers import MANY_RUNS, POINTS, bin_width
from reports.run_tables import run_title
from reports.samples import SampleBlock, samples_of
from reports.tables import Cell, Table


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


def sample_section(runs: Sequence[RunFiles], of_a_sweep: bool) -> Section:
    count = SAMPLES_OF_A_MODE if len(runs) <= MANY_RUNS else 2  # with more of them the page takes seconds to open
    blocks = [
        SampleBlock(f"{run_title(run)} ({run.kind}, {run.doing})", samples_of(run, count), i if of_a_sweep else None)
        for i, run in enumerate(runs)
        if run.samples
    ]
    note = "The first completions of the final evaluation, the same prompts in every mode; of unfinished runs those of training."
    return Section("samples", "Samples by run and mode", note, samples=blocks, missing="" if blocks else "no samples yet")
