"""The table at the end of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.resolved import ResolvedExperiment
from records.figures import WINDOW, Number, cell, mean, window_means
from records.text import plain_table, text_of

TRAINING = ("reward", "kl", "entropy", "routing/hacked", "routing/detected", "completions/clipped_ratio")
EVALUATED = ("reward", "hacked", "unique", "jaccard", "finished", "nll_base", "degenerate", "template_collapse")
Row = Mapping[str, Number]
LEAST_RECALL = 0.05


def summarize(
    config: ResolvedExperiment, metrics: Sequence[Row], evaluation: Mapping[str, Row], warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """First and last means of what training logged, and the evaluation at the end by mode. Nothing of the wall clock."""
    return {
        "steps": config.max_steps,
        "window": min(WINDOW, len(metrics)),
        "training": window_means(metrics, TRAINING),
        "warnings": [*warnings],
        "modes": {mode: {name: values[name] for name in EVALUATED} for mode, values in evaluation.items()},
    }


def warnings_at_start(config: ResolvedExperiment, evaluations: Sequence[Row]) -> list[str]:
    """Of a run that needs a detector: whether it missed nearly all hacks that the model made before the first step."""
    if config.treatment.name == "unrouted" and config.advantages == "group":
        return []
    warnings = []
    for row in evaluations:
        recall, hacked = row["detector_recall"], row["hacked"]
        if recall is not None and hacked is not None and recall < LEAST_RECALL:
            hacks = round(hacked * float(row["samples"] or 0))
            warnings.append(
                f"detector {config.env.detector} sees {round(recall * hacks)} of {hacks} hacks that the model makes before the "
                f"first step (under {LEAST_RECALL:.0%}); what it does not see, the run treats as good"
            )
    return warnings


def summary_table(summary: dict[str, Any]) -> str:
    training = plain_table("training", numbers=[f"{end} {summary['window']} steps" for end in ("first", "last")])
    for name, ends in summary["training"].items():
        training.add_row(name, cell(ends["first"]), cell(ends["last"]))
    evaluated = plain_table("evaluation", numbers=EVALUATED)
    for mode, values in summary["modes"].items():
        evaluated.add_row(mode, *(cell(values[name]) for name in EVALUATED))
    tables = [text_of(table) for table in (training, evaluated) if table.row_count]
    return "\n".join([*tables, *(f"WARNING: {warning}" for warning in summary["warnings"])])


def speed_line(timing: Sequence[Mapping[str, float | int]]) -> str:
    seconds, rate = mean([row["step_time"] for row in timing]), mean([row["tokens_per_second"] for row in timing])
    return f"{seconds:.2f} s a step, {rate:.0f} tokens/s sampled and trained on"
