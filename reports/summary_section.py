"""What a sweep's page opens with: each configuration's figures at the end, as summary.csv and the terminal have them."""

from collections.abc import Iterator, Sequence
from typing import Any

from records.names import BASE
from records.reader import SweepFiles, by_configuration, grouped
from reports.mode_columns import FIGURES, mode_columns
from reports.sections import Section
from reports.tables import MISSING, Cell, Table, interval_cell, number_cell, shortened, text_cell
from sweeps.summary import configuration_entries, ends_of
from sweeps.summary_text import runs_text

TITLE = "Summary: the end of training, by configuration"
NOTE = """Means over the seeds of finished runs with, where there are several, 95 % intervals over seeds (Student's t). Task \
reward: the mean of the reward's components that are not the hack's, unscaled. A policy without two adapters stands as both."""
BASE_NAME = "base, before training"
ROWS = 10  # so that what may be concluded stands on the first screen, too
LONGEST_NAME = 60  # characters

Entry = dict[str, Any]  # of a configuration, as summary.json has it


def summary_section(sweep: SweepFiles) -> Section:
    entries = configuration_entries(sweep, ends_of(sweep))
    columns = mode_columns(
        [entry["modes"] for entry in entries], lambda figure: figure is not None and figure["mean"] is not None
    )
    if not columns.keys:
        return Section("summary", TITLE, missing="no run has finished with a final evaluation")
    order, bases = list(by_configuration(sweep.runs)), list(base_rows(entries))
    rows = [[*_first_cells(entry), *columns.cells(entry["modes"], figure_cell)] for entry in entries]
    rows += [[text_cell(name, title=more), Cell(MISSING), *columns.base_cells(row, figure_cell)] for name, more, row in bases]
    belongs = [*(order.index(entry["configuration"]) for entry in entries), *(None for _ in bases)]
    header = ["configuration", "runs", *columns.header]
    table = Table("summarytable", header, rows, configurations=belongs, groups=columns.groups(before=2), page_length=ROWS)
    return Section("summary", TITLE, NOTE, table=table)


def _first_cells(entry: Entry) -> list[Cell]:
    name = entry["configuration"]
    return [
        text_cell(shortened(name, LONGEST_NAME), title=name if len(name) > LONGEST_NAME else ""),
        Cell(runs_text(entry["runs"])),
    ]


def figure_cell(figure: Entry | None) -> Cell:
    return interval_cell(figure["mean"], figure["interval"]) if figure else Cell(MISSING)


def base_rows(entries: Sequence[Entry]) -> Iterator[tuple[str, str, Entry]]:
    """Name, whose it is, and figures of each base model: with the same weights and reward it is the same in all runs."""
    known = [entry for entry in entries if BASE in entry["modes"]]
    means = grouped(known, lambda entry: tuple(number_cell(entry["modes"][BASE][figure]["mean"], 9).text for figure in FIGURES))
    for same in means.values():
        first, *others = [entry["configuration"] for entry in same]
        whose = f" of {shortened(first, LONGEST_NAME)}" + (f" and {len(others)} more" if others else "")
        full = f"{BASE_NAME} of {', '.join([first, *others])}"
        name, more = (BASE_NAME + whose, full) if len(means) > 1 else (BASE_NAME, "")
        yield name, more, same[0]["modes"][BASE]
