"""What an evaluation says on the screen, beside its table of metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from configs.errors import UserError
from records.figures import cell
from records.folder import read_rows
from runs.evaluation import ModeEvaluation
from runs.reporting import one_line
from runs.summary import WINDOW, window_mean

HISTORY = ("reward", "kl", "routing/hacked", "routing/detected")


def rewards_table(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Further rewards by mode: the mean with its interval, and the hack rate by the reward's own predicate."""
    width = max(len(name) for name in ("further rewards", *names)) + 2
    lines = [f"{'further rewards':<{width}}" + "".join(f"{mode:>22}" for mode in rows)]
    for name in names:
        key = f"eval_rewards/{name}"
        means = "".join(f"{with_interval(row, key):>22}" for row in rows.values())
        hacked = "".join(f"{with_interval(row, f'{key}/hacked'):>22}" for row in rows.values())
        lines += [f"{name:<{width}}{means}", f"{'  hacked':<{width}}{hacked}"]
    return "\n".join(lines)


def with_interval(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return cell(None)
    low, high = row[f"{name}/interval"]
    return f"{row[name]:.3f} [{low:.3f}, {high:.3f}]"


def stories_table(evaluations: Mapping[str, ModeEvaluation], count: int) -> Table:
    """The first completions, modes side by side; what was cut at the length limit ends with an ellipsis."""
    table = Table(title="samples", show_lines=True)
    for name in ("prompt", *evaluations):
        table.add_column(name, ratio=1, overflow="fold")
    for row in list(zip(*(evaluation.completions for evaluation in evaluations.values()), strict=True))[:count]:
        texts = [one_line(completion.text) + ("" if completion.finished else " …") for completion in row]
        table.add_row(*map(Text, [one_line(row[0].prompt.text), *texts]))
    return table


def training_history(run_folder: Path, step: int) -> dict[str, Any]:
    """Means of what training logged, over its first and its last steps before `step`. Raises UserError for damaged rows."""
    try:
        rows = [row for row in read_rows(run_folder, "metrics.jsonl") if row["step"] < step]
        ends = {name: {"first": window_mean(rows[:WINDOW], name), "last": window_mean(rows[-WINDOW:], name)} for name in HISTORY}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run_folder / 'metrics.jsonl'}: not the rows of a run: {error!r}") from error
    return {"window": min(WINDOW, len(rows))} | ends


def history_line(history: Mapping[str, Any], step: int) -> str:
    ends = [f"{name} {cell(history[name]['first'])} → {cell(history[name]['last'])}" for name in HISTORY]
    return f"training, first → last {history['window']} of {step} steps: {',  '.join(ends)}"
