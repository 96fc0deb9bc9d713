"""A part of a page, and the parts that several pages have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from records.reader import SAMPLES_OF_A_MODE, RunFiles
from reports.charts import Spec
from reports.numbers import MANY_RUNS, POINTS, bin_width
from reports.run_tables import run_title
from reports.samples import Samples, samples_of
from reports.sweep_charts import Dropdown
from reports.tables import Table


@dataclass(frozen=True)
class Section:
    """A part of the page. `missing` says what is not there instead of a chart or a table."""

    name: str
    title: str
    note: str = ""
    chart: Spec | None = None
    table: Table | None = None
    folded: str = ""  # what stands on a table that is closed at first
    sentences: Sequence[str] = ()
    dropdowns: Sequence[Dropdown] = ()
    samples: Sequence[tuple[str, Samples]] = ()
    failures: Sequence[Mapping[str, str]] = ()
    missing: str = ""


@dataclass(frozen=True)
class Page:
    """What page.html.j2 shows."""

    what: str
    heading: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    problem: str = ""
    dropdowns: Sequence[Dropdown] = ()


def bin_note(steps: Iterable[int], points: int = POINTS, rest: str = "") -> str:
    width = bin_width(steps, points)
    return f"A point is the mean of {width} steps{rest}. " if width > 1 else ""


def absence_note(names: Sequence[str]) -> str:
    return f"not in the runs' files, so not drawn: {', '.join(names)}" if names else ""


def sample_section(runs: Sequence[RunFiles]) -> Section:
    count = SAMPLES_OF_A_MODE if len(runs) <= MANY_RUNS else 2  # with more of them the page takes seconds to open
    samples = [(f"{run_title(run)} ({run.kind}, {run.doing})", samples_of(run, count)) for run in runs]
    note = "The first completions of the final evaluation, the same prompts in every mode; of unfinished runs those of training."
    return Section("samples", "Samples by run and mode", note, samples=samples, missing="" if runs else "no samples yet")
