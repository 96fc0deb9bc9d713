"""The final evaluations of two runs beside one another, mode by mode."""

from collections.abc import Iterator

from records.estimates import bootstrapped, over_samples
from records.measures import HACKED, TASK
from records.names import MODES
from records.reader import RunFiles
from reports.run_tables import end_figures
from reports.sections import Section
from reports.tables import MISSING, Cell, Table, interval_cell, number_cell, text_cell

FIGURES = {"task_reward": "task reward", "hacked": "hack rate", "reward": "reward"}
SAMPLED = {"task_reward": TASK, "hacked": HACKED}  # of which each sample's is known
PAIRED = "With 95 % bootstrap intervals over the samples, which have the same prompts and draws in both runs."


def final_section(a: RunFiles, b: RunFiles) -> Section:
    title = "The final evaluations, mode by mode"
    figures = [{mode: end | {"reward": run.final[mode]["reward"]} for mode, end in end_figures(run).items()} for run in (a, b)]
    modes = [mode for mode in MODES if any(mode in each for each in figures)]
    if not modes:
        return Section("finals", title, missing="neither has been evaluated at its end")
    names = [name for name in FIGURES if any(row.get(name) is not None for each in figures for row in each.values())]
    first, second = figures
    rows = []
    for mode in modes:
        pairs = [(first.get(mode, {}).get(name), second.get(mode, {}).get(name)) for name in names]
        cells = [
            [number_cell(x), number_cell(y), difference_cell(a, b, mode, name, x, y)]
            for name, (x, y) in zip(names, pairs, strict=True)
        ]
        rows.append([text_cell(mode), *(cell for three in cells for cell in three)])
    groups = [("", 1), *((FIGURES[name], 3) for name in names)]
    table = Table("finalstable", ["mode", *["A", "B", "B − A"] * len(names)], rows, groups=groups)
    note = PAIRED if are_paired(a, b) else "Their samples are not paired."
    return Section("finals", title, note if a.final and b.final else "Only one of them has been evaluated.", table=table)


def are_paired(a: RunFiles, b: RunFiles) -> bool:
    """Whether sample i of both has the same prompt and draw."""
    drawn = [(run.made_of.get("eval_prompts_fingerprint"), (run.config.get("eval") or {}).get("seed")) for run in (a, b)]
    return drawn[0] == drawn[1] and None not in drawn[0]


def difference_cell(a: RunFiles, b: RunFiles, mode: str, name: str, x: float | None, y: float | None) -> Cell:
    if x is None or y is None:
        return Cell(MISSING)
    columns = {(label,): values for label, values in _samples(a, b, mode, name)} if are_paired(a, b) else {}
    if len(columns) < 2 or len({*map(len, columns.values())}) > 1:
        return number_cell(y - x)
    means = bootstrapped(columns)
    estimate = over_samples(means[("B",)] - means[("A",)], len(columns[("A",)]))
    return interval_cell(y - x, estimate.interval)


def _samples(a: RunFiles, b: RunFiles, mode: str, name: str) -> Iterator[tuple[str, list[float]]]:
    for label, run in (("A", a), ("B", b)):
        values = run.outcomes.get(mode, {}).get(SAMPLED.get(name, ""))
        if values is not None:
            yield label, [*values]
