"""The table at the end of a run."""

from typing import Any

from configs.experiment import Experiment
from records.figures import Number, cell, mean

WINDOW = 20  # steps at either end that a figure is averaged over


def summarize(
    config: Experiment,
    metrics: list[dict[str, Number]],
    evaluation: dict[str, dict[str, Number]],
) -> dict[str, Any]:
    """First and last means of what training logged, and the evaluation at the end by mode. Nothing of the wall clock."""
    training = {
        name: {"first": window_mean(metrics[:WINDOW], name), "last": window_mean(metrics[-WINDOW:], name)}
        for name in ("reward", "kl", "entropy", "routing/hacked", "routing/detected", "completions/clipped_ratio")
    }
    shown = ("reward", "hacked", "unique", "jaccard", "finished", "nll_base", "degenerate", "template_collapse")
    modes = {mode: {name: values[name] for name in shown} for mode, values in evaluation.items()}
    return {"steps": config.max_steps, "window": min(WINDOW, len(metrics)), "training": training, "modes": modes}


def window_mean(rows: list[dict[str, Number]], name: str) -> float | None:
    """None when any of the steps could not compute it."""
    values = [row[name] for row in rows]
    return None if any(value is None for value in values) else mean([float(value) for value in values if value is not None])


def summary_table(summary: dict[str, Any]) -> str:
    window = summary["window"]
    lines = [f"{'training':<28}{f'first {window} steps':>16}{f'last {window} steps':>16}"]
    lines += [f"{name:<28}{cell(ends['first']):>16}{cell(ends['last']):>16}" for name, ends in summary["training"].items()]
    if summary["modes"]:
        names = list(next(iter(summary["modes"].values())))
        lines.append(f"{'evaluation':<14}" + "".join(f"{name:>{len(name) + 3}}" for name in names))
        lines += [
            f"{mode:<14}" + "".join(f"{cell(values[name]):>{len(name) + 3}}" for name in names)
            for mode, values in summary["modes"].items()
        ]
    return "\n".join(lines)


def speed_line(timing: list[dict[str, float | int]]) -> str:
    seconds, rate = mean([row["step_time"] for row in timing]), mean([row["tokens_per_second"] for row in timing])
    return f"{seconds:.2f} s a step, {rate:.0f} tokens/s sampled and trained on"
