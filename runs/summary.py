"""The table at the end of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.resolved import ResolvedExperiment
from records.figures import WINDOW, Number, cell, mean, window_means
from records.text import plain_table, text_of

TRAINING = ("reward", "kl", "entropy", "routing/hacked", "routing/detected", "completions/clipped_ratio")
EVALUATED = ("reward", "hacked", "unique", "jaccard", "finished", "nll_base", "degenerate", "template_collapse")
Row = Mapping[str, Number]


def summarize(config: ResolvedExperiment, metrics: Sequence[Row], evaluation: Mapping[str, Row]) -> dict[str, Any]:
    """First and last means of what training logged, and the evaluation at the end by mode. Nothing of the wall clock."""
    return {
        "steps": config.max_steps,
        "window": min(WINDOW, len(metrics)),
        "training": window_means(metrics, TRAINING),
        "modes": {mode: {name: values[name] for name in EVALUATED} for mode, values in evaluation.items()},
    }


def summary_table(summary: dict[str, Any]) -> str:
    training = plain_table("training", numbers=[f"{end} {summary['window']} steps" for end in ("first", "last")])
    for name, ends in summary["training"].items():
        training.add_row(name, cell(ends["first"]), cell(ends["last"]))
    evaluated = plain_table("evaluation", numbers=EVALUATED)
    for mode, values in summary["modes"].items():
        evaluated.add_row(mode, *(cell(values[name]) for name in EVALUATED))
    return "\n".join(text_of(table) for table in (training, evaluated) if table.row_count)


def speed_line(timing: Sequence[Mapping[str, float | int]]) -> str:
    seconds, rate = mean([row["step_time"] for row in timing]), mean([row["tokens_per_second"] for row in timing])
    return f"{seconds:.2f} s a step, {rate:.0f} tokens/s sampled and trained on"
