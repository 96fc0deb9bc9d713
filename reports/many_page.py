"""What the page of several runs that are compared says: that of a sweep, and in what the runs differ."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from records.reader import RunFiles, SweepFiles, by_configuration
from reports.compare import made_of_sentences, settings_of
from reports.sections import Page, Section
from reports.sweep_page import sweep_page
from reports.tables import Table, setting_cell, setting_text, shortened, text_cell


def many_page(sweep: SweepFiles) -> Page:
    page = sweep_page(sweep)
    place = next(i for i, section in enumerate(page.sections) if section.name == "training")
    sections = [*page.sections[:place], settings_section(sweep), *made_of_section(sweep.runs), *page.sections[place:]]
    return replace(page, what=f"Comparison of {len(sweep.runs)} runs", sections=sections)


def settings_section(sweep: SweepFiles) -> Section:
    """A row for each configuration, a column for each setting that is not the same in all of them."""
    groups = by_configuration(sweep.runs)
    settings = {name: settings_of(run) for name, (run, *_) in groups.items()}
    names = [name for name in dict.fromkeys(name for each in settings.values() for name in each) if name != "seed"]
    differing = [name for name in names if len({setting_text(each.get(name)) for each in settings.values()}) > 1]
    title = "Settings that differ"
    if not differing:
        return Section("settings", title, missing="none but the seed")
    rows = [
        [text_cell(shortened(name), title=name), *(setting_cell(each.get(setting)) for setting in differing)]
        for name, each in settings.items()
    ]
    return Section(
        "settings", title, table=Table("settingstable", ["configuration", *differing], rows, configurations=range(len(rows)))
    )


def made_of_section(runs: Sequence[RunFiles]) -> Iterator[Section]:
    if sentences := [*made_of_sentences({run.name: run for run in runs})]:
        yield Section("madeof", "What they were made of differs", sentences=sentences)
