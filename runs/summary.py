"""The tables at the end of a run, but for that of its evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.resolved import ResolvedExperiment
from grpo.run import Run
from records import files
from records.figures import WINDOW, Number, cell, cell_with_interval, mean, window_means
from records.measures import Outcomes, has_measures, measures_over_samples, measures_record
from records.reader import outcomes_of
from records.relearning import FIGURES as OF_RELEARNING
from records.text import plain_table, text_of
from runs.evaluation import ModeEvaluation, mode_sample_rows

TRAINING = ("reward", "kl", "entropy", "routing/hacked", "routing/detected", "completions/clipped_ratio")
EVALUATED = ("reward", "hacked", "unique", "jaccard", "finished", "nll_base", "degenerate", "template_collapse")
Row = Mapping[str, Number]
LEAST_RECALL = 0.05
NO_LOSS = "every completion was dropped, or cut off at the length limit and masked (--grpo.mask_truncated)"


def summarize(
    config: ResolvedExperiment, metrics: Sequence[Row], evaluation: Mapping[str, Row], warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """First and last means of what training logged, and the evaluation at the end by mode. Nothing of the wall clock."""
    return {
        "steps": config.max_steps,
        "window": min(WINDOW, len(metrics)),
        "training": window_means(metrics, TRAINING),
        "warnings": [*warnings, *warnings_of_idling(metrics)],
        "modes": {mode: closing_figures(values) for mode, values in evaluation.items()},
    }


def closing_figures(values: Row) -> dict[str, Number]:
    """Of a mode; those of relearning where it was a start of it."""
    return {name: values[name] for name in (*EVALUATED, *(name for name in OF_RELEARNING if name in values))}


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


def is_idle(row: Row) -> bool:
    """Whether no sample was in the loss of a step."""
    return row["loss"] is None


def starts_idling(metrics: Sequence[Row]) -> bool:
    """Whether the last step learnt nothing, and the one before, if any, something."""
    return is_idle(metrics[-1]) and not (len(metrics) > 1 and is_idle(metrics[-2]))


def warnings_of_idling(metrics: Sequence[Row]) -> list[str]:
    idle = sum(map(is_idle, metrics))
    return [f"nothing was learnt in {idle} of {len(metrics)} steps: {NO_LOSS}"] if idle else []


def run_measures(run: Run, evaluations: Mapping[str, ModeEvaluation]) -> dict[str, Any]:
    """The measures of the policy's two adapters over its samples, as an entry; {} where these are not at hand."""
    if not has_measures(evaluations):
        return {}
    return {"measures": measures_record(measures_over_samples(outcomes_in(run, evaluations)))}


def outcomes_in(run: Run, evaluations: Mapping[str, ModeEvaluation]) -> Outcomes:
    rows = [row for evaluation in evaluations.values() for row in mode_sample_rows(evaluation)]
    made_of = {"components": {component.name: component.role for component in run.reward.components}}
    return outcomes_of(Path(files.EVALUATION_SAMPLES), rows, made_of)


def measures_table(measures: Mapping[str, Mapping[str, Any]]) -> str:
    table = plain_table("measure", numbers=["with 95 % interval over samples of one run", "samples"])
    for name, estimate in measures.items():
        table.add_row(name, cell_with_interval(estimate["value"], estimate["interval"]), str(estimate["n"]))
    return text_of(table)


def summary_table(summary: dict[str, Any]) -> str:
    training = plain_table("training", numbers=[f"{end} {summary['window']} steps" for end in ("first", "last")])
    for name, ends in summary["training"].items():
        training.add_row(name, cell(ends["first"]), cell(ends["last"]))
    tables = [text_of(training)] if training.row_count else []
    measures = [measures_table(summary["measures"])] if "measures" in summary else []
    return "\n".join([*tables, *measures, *(f"WARNING: {warning}" for warning in summary["warnings"])])


def speed_line(timing: Sequence[Mapping[str, float | int]]) -> str:
    seconds, rate = mean([row["step_time"] for row in timing]), mean([row["tokens_per_second"] for row in timing])
    return f"{seconds:.2f} s a step, {rate:.0f} tokens/s sampled and trained on"
