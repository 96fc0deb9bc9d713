"""Tables with one row a run: what became of it, and what it cost."""

from collections.abc import Sequence

from records.figures import WINDOW, duration, mean
from records.names import BASE, BOTH, FORGET_ONLY, MODES, RETAIN_ONLY, as_trained
from records.reader import RunFiles
from reports.tables import Cell, Table, flags_cell, number_cell, setting_cell, shortened, text_cell

IN_A_TABLE = 24  # characters of a configuration
RESULTS = ("reward, training", "reward, at the end", "hack rate, both", "hack rate, retain_only", "hack rate, forget_only",
           "unique", "degenerate", "collapsed")  # fmt: skip


def run_title(run: RunFiles, length: int = 56) -> str:
    """A run in few words: its configuration, cut to `length`, and seed."""
    seed = "" if run.seed is None or run.configuration == run.name else f" · seed {run.seed}"
    return shortened(run.configuration, length) + seed


def _first_cells(run: RunFiles, link: str = "", values: Sequence[Cell] = ()) -> list[Cell]:
    """Name, `values`, kind, state and steps. The axes' values have columns of their own, so the name may be short here."""
    wanted = run.config.get("max_steps")
    return [
        text_cell(run_title(run, IN_A_TABLE), title=run.name, link=link),
        *values,
        text_cell(run.kind),
        Cell(run.doing, run.doing, title=run.error or "", style=f"state {run.state}"),
        Cell(f"{run.step:,}" + (f"/{wanted:,}" if wanted else ""), float(run.step)),
    ]


def results_table(runs: Sequence[RunFiles], axes: Sequence[str]) -> Table:
    """What varies, how far each run came, and what the final evaluation found."""
    rows = []
    for i, run in enumerate(runs):
        values = [setting_cell(run.seed if axis == "seed" else run.values.get(axis)) for axis in axes]
        rows.append([*_first_cells(run, f"samples-{i}" if run.samples else "", values), *_results(run)])
    return Table("results", ["run", *axes, "kind", "state", "steps", *RESULTS], rows)


def _results(run: RunFiles) -> list[Cell]:
    """A policy without two adapters stands as `both`."""
    ends = {mode: {} for mode in MODES} | {as_trained(mode): figures for mode, figures in run.final.items()}
    trained = [mode for mode in MODES if mode != BASE and mode in run.final]
    return [
        number_cell(at_the_end(run, "reward")),
        number_cell(ends[BOTH].get("reward")),
        *(number_cell(ends[mode].get("hacked")) for mode in (BOTH, RETAIN_ONLY, FORGET_ONLY)),
        number_cell(ends[BOTH].get("unique")),
        *(flags_cell({mode: run.final[mode].get(name) for mode in trained}) for name in ("degenerate", "template_collapse")),
    ]


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
        rows.append([*_first_cells(run), time, number_cell(mean(run.step_times)), number_cell(run.tokens, 0), device])
    return Table("cost", ["run", "kind", "state", "steps", "training time", "s / step", "tokens", "device"], rows)


def total_cost(runs: Sequence[RunFiles]) -> str:
    known = [seconds for run in runs if (seconds := training_seconds(run)) is not None]
    tokens = sum(run.tokens or 0 for run in runs)
    return f"{duration(sum(known))} of training and {tokens:,} tokens in {len(known)} runs" if known else "no step was timed"
