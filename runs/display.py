"""What an evaluation says on the screen, and its table in train.log."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from configs.errors import UserError
from records import files
from records.figures import WINDOW, cell, cell_with_interval, window_means
from records.rows import read_rows
from records.text import fitted, plain_table, text_of
from runs.evaluation import ModeEvaluation
from runs.reporting import one_line

EVALUATED = ("reward", "hacked", "detected", "unique", "jaccard", "finished", "mean_length", "nll_base", "kl_to_base")
FLAGS = ("degenerate", "template_collapse")
HISTORY = ("reward", "kl", "routing/hacked", "routing/detected")


def evaluation_table(evaluations: Mapping[str, ModeEvaluation], step: int, width: int | None = None) -> str:
    """Aligned text, at most so wide if that can be; "–" stands for what could not be computed."""
    names = (*EVALUATED, *FLAGS)
    rows = {mode: [cell(evaluation.metrics[name]) for name in names] for mode, evaluation in evaluations.items()}
    return f"[Evaluation @ {step}]\n{fitted('mode', names, rows, width)}"


def rewards_table(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Further rewards by mode: the mean with its interval, and the hack rate by the reward's own predicate."""
    table = plain_table("further rewards", numbers=[*rows])
    for name in names:
        for title, key in ((name, f"eval_rewards/{name}"), ("  hacked", f"eval_rewards/{name}/hacked")):
            table.add_row(title, *(cell_with_interval(row[key], row.get(f"{key}/interval")) for row in rows.values()))
    return text_of(table)


def samples_table(evaluations: Mapping[str, ModeEvaluation], count: int) -> Table:
    """The first completions, modes side by side; what was cut at the length limit ends with an ellipsis."""
    heads = (Column(name, ratio=1, overflow="fold") for name in ("prompt", *evaluations))
    table = Table(*heads, title="samples", show_lines=True)
    for row in list(zip(*(evaluation.completions for evaluation in evaluations.values()), strict=True))[:count]:
        texts = [one_line(completion.text) + ("" if completion.finished else " …") for completion in row]
        table.add_row(*map(Text, [one_line(row[0].prompt.text), *texts]))
    return table


def training_history(run_folder: Path, step: int) -> dict[str, Any]:
    """Means of what training logged, over its first and its last steps before `step`. Raises UserError for damaged rows."""
    rows = [row for row in read_rows(run_folder, files.METRICS) if row["step"] < step]
    try:
        return {"window": min(WINDOW, len(rows))} | window_means(rows, HISTORY)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run_folder / files.METRICS}: not the rows of a run: {error!r}") from error


def history_line(history: Mapping[str, Any], step: int) -> str:
    ends = [f"{name} {cell(history[name]['first'])} → {cell(history[name]['last'])}" for name in HISTORY]
    return f"training, first → last {history['window']} of {step} steps: {',  '.join(ends)}"
