"""Tables with one row a run: what became of it, and what it cost."""

from collections.abc import Sequence
from dataclasses import replace

from records.figures import WINDOW, duration, mean, task_reward
from records.names import BASE, FINISHED, MODES
from records.reader import RunFiles
from reports.mode_columns import FIGURES, mode_columns
from reports.tables import MISSING, Cell, Table, flags_cell, number_cell, setting_cell, shortened, text_cell

IN_A_TABLE = 24  # characters of a configuration
ROWS = 15  # of the results, until more are asked for
FLAGS = {"degenerate": "degenerate", "template_collapse": "collapsed"}


def run_title(run: RunFiles, length: int = 56) -> str:
    """A run in few words: its configuration, cut to `length`, and seed."""
    seed = "" if run.seed is None or run.configuration == run.name else f" · seed {run.seed}"
    return shortened(run.configuration, length) + seed


def state_cell(run: RunFiles) -> Cell:
    """While a run lives, what it is at."""
    return Cell(run.doing, run.state, title=run.error or "", style=f"state {run.state}")


def _steps(run: RunFiles) -> str:
    wanted = run.config.get("max_steps")
    return f"{run.step:,}" + (f"/{wanted:,}" if wanted else "")


def results_table(runs: Sequence[RunFiles], axes: Sequence[str]) -> Table:
    """What varies, how far each run came, and what the final evaluation found; at the end the base, as each has found it."""
    ends = [end_figures(run) for run in runs]
    columns, tagged = mode_columns(ends, lambda figure: figure is not None), any(tags_of(run) for run in runs)
    rows = []
    for i, (run, end) in enumerate(zip(runs, ends, strict=True)):
        name = text_cell(run_title(run, IN_A_TABLE), title=run.name, link=f"samples-{i}" if run.samples else "")
        values = [setting_cell(run.seed if axis == "seed" else run.values.get(axis)) for axis in axes]
        tags = [text_cell(", ".join(tags_of(run)))] if tagged else []
        state = replace(state_cell(run), more="" if run.state == FINISHED else _steps(run))
        figures = [number_cell(at_the_end(run, "reward")), *columns.cells(end, number_cell)]
        rows.append([name, *values, *tags, text_cell(run.kind), state, *figures, *_flags(run)])
    header = ["run", *axes, *(["tags"] if tagged else []), "kind", "state", "reward in training"]
    bases = list(dict.fromkeys(tuple(end[BASE].values()) for end in ends if BASE in end))
    for base in bases:
        figures = columns.base_cells(dict(zip(FIGURES, base, strict=True)), number_cell)
        gaps = [Cell(MISSING)] * (len(header) - 1)
        rows.append([text_cell("base, before training"), *gaps, *figures, *([Cell(MISSING)] * len(FLAGS))])
    belongs = [*range(len(runs)), *(None for _ in bases)]
    groups = columns.groups(len(header), len(FLAGS))
    return Table("results", [*header, *columns.header, *FLAGS.values()], rows, runs=belongs, groups=groups, page_length=ROWS)


def end_figures(run: RunFiles) -> dict[str, dict[str, float | None]]:
    """Of the final evaluation FIGURES by mode."""
    return {mode: {"task_reward": task_reward(run.made_of, row), "hacked": row.get("hacked")} for mode, row in run.final.items()}


def tags_of(run: RunFiles) -> list[str]:
    return [*map(str, run.config.get("tags") or ())]


def words_of(run: RunFiles) -> list[tuple[str, str]]:
    """What its user said of it, of what was said."""
    words = {"name": run.config.get("name"), "tags": ", ".join(tags_of(run)), "notes": run.config.get("notes")}
    return [(name, str(text)) for name, text in words.items() if text]


def _flags(run: RunFiles) -> list[Cell]:
    trained = [mode for mode in MODES if mode != BASE and mode in run.final]
    return [flags_cell({mode: run.final[mode].get(name) for mode in trained}) for name in FLAGS]


def at_the_end(run: RunFiles, name: str) -> float | None:
    """Mean of the last `WINDOW` steps so far, as summary.json has it."""
    return mean([value for value in run.metrics.get(name, [])[-WINDOW:] if value is not None])


def training_seconds(run: RunFiles) -> float | None:
    """The sum of all steps' times."""
    return sum(run.step_times) if run.step_times else None


def cost_table(runs: Sequence[RunFiles]) -> Table:
    rows = []
    for run in runs:
        seconds = training_seconds(run)
        time = Cell(duration(seconds), "" if seconds is None else seconds)
        machine = f"torch {run.made_of.get('torch')}, {run.made_of.get('threads')} threads"
        device = text_cell(run.made_of.get("device"), title=machine)
        first = [text_cell(run_title(run, IN_A_TABLE), title=run.name), text_cell(run.kind), state_cell(run)]
        steps = Cell(_steps(run), float(run.step))
        rows.append([*first, steps, time, number_cell(mean(run.step_times)), number_cell(run.tokens, 0), device])
    return Table(
        "cost", ["run", "kind", "state", "steps", "training time", "s / step", "tokens", "device"], rows, runs=range(len(runs))
    )


def total_cost(runs: Sequence[RunFiles]) -> str:
    known = [seconds for run in runs if (seconds := training_seconds(run)) is not None]
    tokens = sum(run.tokens or 0 for run in runs)
    return f"{duration(sum(known))} of training and {tokens:,} tokens in {len(known)} runs" if known else "no step was timed"
