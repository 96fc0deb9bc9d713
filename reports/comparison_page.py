"""What the page of two runs that are compared says."""

from collections.abc import Mapping, Sequence
from typing import Any

from records.reader import Row, RunFiles
from reports.charts import TRAINING
from reports.compare import Difference, common_rows, differing, first_difference, made_of_sentences, settings_of
from reports.numbers import paired_rows
from reports.pair_table import final_section
from reports.run_charts import comparison
from reports.samples import SampleBlock, Samples, View, completion_of
from reports.sections import Page, Section, bin_note, sample_section
from reports.tables import MISSING, Cell, Table, is_number, setting_cell, text_cell

MOST_METRICS = 15


def comparison_page(a: RunFiles, b: RunFiles, steps: Sequence[list[Row]], samples: Sequence[list[Row]]) -> Page:
    """`steps` and `samples`: all rows of their metrics.jsonl and samples.jsonl."""
    made_of = [*made_of_sentences({"A": a, "B": b})]
    sections = [
        final_section(a, b),
        differences_section("settings", "Settings that differ", differing(settings_of(a), settings_of(b))),
        Section("madeof", "What they were made of", sentences=made_of, missing="" if made_of else "no difference"),
        paired_section(a, b),
        step_section(*steps),
        *sample_sections(*samples),
        sample_section([a, b], ("A: ", "B: ")),
    ]
    facts = [(name, f"{run.name} ({run.doing}, step {run.step:,})") for name, run in (("A", a), ("B", b))]
    return Page("Comparison of two runs", "A against B", facts, sections)


def paired_section(a: RunFiles, b: RunFiles) -> Section:
    chart = comparison(paired_rows({"A": a, "B": b}, list(TRAINING)), TRAINING, ["A", "B"])
    note = bin_note([*a.metrics.get("step", []), *b.metrics.get("step", [])])
    missing = "" if chart else "neither has trained a step"
    return Section("training", "Training: reward, hack rate and KL", note, chart, missing=missing)


def differences_section(name: str, title: str, values: Mapping[str, tuple[Any, Any]]) -> Section:
    rows = [[text_cell(key), setting_cell(first), setting_cell(second)] for key, (first, second) in values.items()]
    if not rows:
        return Section(name, title, missing="none")
    return Section(name, title, table=Table(f"{name}table", ["name", "A", "B"], rows, sortable=False))


def metric_cells(first: Any, second: Any) -> list[Cell]:
    """Both rounded, and their difference, which may be in digits that are not shown."""
    if not (is_number(first) and is_number(second)):
        return [setting_cell(first), setting_cell(second), Cell(MISSING)]
    return [
        *(Cell(f"{value:.4g}", float(value)) for value in (first, second)),
        Cell(f"{second - first:.2g}", float(second - first)),
    ]


def step_section(a: list[Row], b: list[Row]) -> Section:
    difference, common = first_difference(a, b), len(common_rows(a, b))
    if difference is None:
        missing = f"all {common:,} steps that both have are equal in every metric" if common else "no step that both have"
        return Section("step", "The first step that differs", missing=missing)
    listed, count = dict(list(difference.values.items())[:MOST_METRICS]), len(difference.values)
    more = f"; {count - len(listed)} more are not shown" if count > len(listed) else ""
    note = f"{count} of {len({*a[0], *b[0]})} metrics differ there{more}."
    rows = [[text_cell(name), *metric_cells(*values)] for name, values in listed.items()]
    table = Table("steptable", ["metric", "A", "B", "B − A"], rows, sortable=False)
    return Section("step", f"The first step that differs: {difference.step}", note, table=table)


def sample_sections(a: list[Row], b: list[Row]) -> list[Section]:
    """The first sample that differs in anything, and where that is not its text the first one whose text differs."""
    title, common = "The first sample that differs", len(common_rows(a, b))
    first, text = first_difference(a, b), first_difference(a, b, ("prompt", "completion"))
    if first is None:
        missing = f"all {common:,} logged samples that both have are equal" if common else "no logged sample that both have"
        return [Section("sample", title, missing=missing)]
    sections = [_sample_pair("sample", title, first)]
    if text is not None and (text.step, text.number) != (first.step, first.number):
        sections.append(_sample_pair("sampletext", "The first sample whose text differs", text))
    return sections


def _sample_pair(name: str, title: str, difference: Difference) -> Section:
    first, second = completion_of(difference.a), completion_of(difference.b)
    prompt, other = difference.a["prompt"], difference.b["prompt"]
    rows = [(prompt, [first, second])] if prompt == other else [(prompt, [first, None]), (other, [None, second])]
    place = f"Step {difference.step}, sample {difference.number} of that step (from 0)"
    note = f"{place}. It differs in: {', '.join(difference.values)}."
    return Section(name, title, note, samples=[SampleBlock("A and B", [View("", Samples(["A", "B"], rows))])])
