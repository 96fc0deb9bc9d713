"""What a sweep's page says."""

from collections import Counter
from collections.abc import Iterable, Sequence

from records.figures import WINDOW
from records.names import ENDED, STOPPED
from records.reader import Row, RunFiles, SweepFiles, by_configuration
from reports.answer_section import answer_section
from reports.charts import EVALUATED, TRAINING
from reports.choices import choices, dropdowns, runs_of_page
from reports.frontier_section import frontier_section
from reports.numbers import end_rows, mode_rows, points_of, relearning_rows, seeds_of, training_rows
from reports.pareto import mode_dropdown, pareto, task_dropdown
from reports.run_page import RELEARNING, RELEARNING_NOTE
from reports.run_tables import cost_table, results_table, total_cost, words_of
from reports.sections import Page, Section, absence_note, bin_note, sample_section
from reports.summary_section import summary_section
from reports.sweep_charts import sweep_curves, sweep_modes, sweep_relearning
from reports.tables import Table, setting_text, shortened, text_cell
from sweeps import relearning
from sweeps.summary_text import drawn_text, stopped_text

PARETO_NOTE = """Up and to the left is better. Task reward is the mean of the reward's components that are not the hack's, \
unscaled. A large mark is a configuration's mean, small ones are its seeds. Thin lines lead from routed runs with both adapters \
to retain alone; the dashed line joins marks that none beats in both."""

ENDS_NOTE = """Faint lines are seeds; a mean ends where the first of its seeds does, and its number of steps is given where all \
seeds have one."""

RUNS_NOTE = f"The final evaluation of each. Reward in training: the mean of the last {WINDOW} steps."
RUNS_HINT = "A click on a run leads to its samples, one on a column sorts by it."


def _absent(names: Iterable[str], rows: Sequence[Row]) -> str:
    return absence_note([name for i, name in enumerate(names) if not any(f"y{i}" in row for row in rows)])


def training_section(sweep: SweepFiles) -> Section:
    rows = training_rows(sweep.runs, list(TRAINING))
    chart = sweep_curves(rows, sweep)
    steps = [step for run in sweep.runs for step in run.metrics.get("step", [])]
    note = "Lines are means over a configuration's seeds, bands reach from the lowest seed to the highest. "
    note += bin_note(steps, points_of(sweep.runs))
    missing = _absent(TRAINING, rows) if chart else "no run has trained a step"
    return Section("training", "Training: reward, hack rate and KL", note, chart, missing=missing)


def ablation_section(sweep: SweepFiles) -> Section:
    rows = mode_rows(sweep.runs, list(EVALUATED))
    chart = sweep_modes(rows, sweep)
    note = "Evaluations on held-out prompts; at step 0 every mode is the base. Bands reach from the lowest seed to the highest."
    missing = _absent(EVALUATED, rows) if chart else "no evaluation during training"
    return Section("ablation", "Ablation: the same policy with adapters cut out, over training", note, chart, missing=missing)


def pareto_section(sweep: SweepFiles) -> Section:
    rows = end_rows(sweep.runs)
    selects = mode_dropdown(rows), task_dropdown(rows)
    title, chart = "The end: reward against hack rate", pareto(rows, sweep)
    if chart is None:
        return Section("pareto", title, PARETO_NOTE, missing="no final evaluation with a hack rate")
    return Section("pareto", title, PARETO_NOTE, chart, dropdowns=selects)


def relearning_section(sweep: SweepFiles) -> list[Section]:
    """None where no run has relearnt."""
    chart, rows, belongs = sweep_relearning(relearning_rows(sweep.runs), sweep), [], []
    for i, (name, runs) in enumerate(by_configuration(sweep.runs).items()):
        figures = relearning.relearning_of([run for run in runs if run.state in ENDED and run.foreign is None])
        cells = [[text_cell(shortened(name), title=name), *map(text_cell, row)] for row in relearning.relearning_rows(figures)]
        rows, belongs = rows + cells, belongs + [i] * len(cells)
    if not rows:
        return []
    table = Table("relearntable", ["configuration", *relearning.HEADER], rows, configurations=belongs)
    return [Section("relearning", RELEARNING, f"{RELEARNING_NOTE} {ENDS_NOTE}", chart, table)]


def failure_section(sweep: SweepFiles) -> list[Section]:
    entries, numbers = [], {run.name: i for i, run in enumerate(sweep.runs)}
    for row in sweep.failures:
        title = f"{shortened(row['run'], 90)}: attempt {row['attempt']}, exit code {setting_text(row['exit_code'])}"
        command = row.get("command") or ""
        command = " ".join(map(str, command)) if isinstance(command, list) else str(command)
        text = "\n".join(map(str, row["last_lines"]))
        entries.append({"title": title, "command": command, "text": text, "run": numbers.get(row["run"])})
    return [Section("failures", "Failed attempts", "The last lines that each printed.", failures=entries)] if entries else []


def sweep_facts(sweep: SweepFiles) -> list[tuple[str, str]]:
    states = Counter(run.doing for run in sweep.runs)
    varying = [f"{axis} ({len(values)})" for axis, values in choices(sweep).items()]
    return [
        ("runs", f"{len(sweep.runs)}: " + ", ".join(f"{count} {state}" for state, count in states.items())),
        ("configurations", str(len(by_configuration(sweep.runs)))),
        ("seeds", ", ".join(map(setting_text, seeds_of(sweep.runs)))),
        ("varied", ", ".join(varying) or "nothing else"),
        *common_words(sweep.runs),
        *([("sample", drawn_text(sweep.sample))] if sweep.sample else []),
        ("cost", total_cost(sweep.runs)),
    ]


def common_words(runs: Sequence[RunFiles]) -> list[tuple[str, str]]:
    """Tags and notes that all runs share."""
    shared = [dict(words_of(run)) for run in runs if run.config]
    return [
        (name, text) for name, text in (shared[0] if shared else {}).items() if all(each.get(name) == text for each in shared)
    ]


def sweep_page(sweep: SweepFiles) -> Page:
    runs, failed = sweep.runs, len(sweep.failures)
    axes = [axis for axis in sweep.axes if axis in choices(sweep) or axis == "seed"]
    sections = [
        summary_section(sweep), *answer_section(sweep), *frontier_section(sweep),
        Section("runs", "Every run", RUNS_NOTE, hint=RUNS_HINT, table=results_table(runs, axes)),
        training_section(sweep), ablation_section(sweep), pareto_section(sweep), *relearning_section(sweep),
        Section("costs", "What each run cost", total_cost(runs) + ".", table=cost_table(runs)),
        *failure_section(sweep),
        sample_section(runs, of_a_sweep=True),
    ]  # fmt: skip
    early = stopped_text(sum(run.state == STOPPED for run in runs), len(runs))
    attempts = f"{failed} failed attempt{'' if failed == 1 else 's'}, shown below" if failed else ""
    problem = "; ".join(filter(None, (attempts, early)))
    return Page("Sweep", sweep.name, sweep_facts(sweep), sections, problem, dropdowns(sweep), runs_of_page(sweep))
