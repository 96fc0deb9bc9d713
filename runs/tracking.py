"""A run as wandb has it: one wandb run, in the run's folder, and nothing in it but what the rows of the run's files say.

So a run that is taken up again is told from its files once more, those rows aside that wandb's server has already.
Evaluations have the number of steps done as their axis, and a section for each figure, with the modes side by side.
"""

import html
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.naming import to_dict
from configs.resolved import ResolvedExperiment
from records import files
from records.folder import RunFolder
from records.names import MODES, kind_of
from records.reader import grouped
from records.rows import read_rows

EVALUATED_AT = "eval/step"  # training steps done
CHARTS = {"reward": "mean reward", "hacked": "share of hacked samples"}  # of all modes in one, `eval/hacked`
SHOWN = ("reward", "hacked", "detected", "unique", "mean_length", "kl_to_base")  # and components; other figures draw no panel
COLUMNS = ("step", "prompt", "completion", "reward", "advantage", "detected", "labelled", "routed", "hacked", "length")
SAMPLES_SHOWN = 8  # of a logged step
Row = Mapping[str, Any]


class Tracker:
    """Tells wandb what the run's files tell, row by row."""

    def __init__(self, wandb_run: Any, config: ResolvedExperiment):
        self.run, self.config = wandb_run, config
        self.known = wandb_run.starting_step  # wandb's server has these steps
        self.samples: list[Row] = []  # of the logged steps since the last evaluation
        self.evaluations: list[Row] = []
        self.figures: set[str] = set()
        wandb_run.define_metric(EVALUATED_AT, hidden=True)

    def step(self, metrics: Row, timing: Row, samples: Sequence[Row]) -> None:
        """One row of metrics.jsonl and one of timing.jsonl; `samples` are the step's, shown where it is a logged one."""
        numbers = {name: value for name, value in {**metrics, **timing}.items() if value is not None}
        if is_logged(self.config, metrics["step"]):
            self.samples += samples[:SAMPLES_SHOWN]
            numbers |= {"sample_text": samples_panel(samples)}
        self._log(metrics["step"], numbers)

    def evaluation(self, rows: Sequence[Row]) -> None:
        """The rows of routing_eval.jsonl of one evaluation, which stands at the last step before it."""
        self.evaluations += rows
        step = rows[0]["step"]
        numbers: dict[str, Any] = {EVALUATED_AT: step}
        for row in rows:
            figures = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
            self._define({*figures})
            numbers |= {f"{section_of(name)}/{row['mode']}": float(value) for name, value in figures.items()}
        for name in CHARTS:
            if known := [row for row in self.evaluations if row[name] is not None]:  # a reward without a detector has no hacks
                numbers[f"eval/{name}"] = modes_chart(known, name)
        if self.samples:
            numbers["samples"] = samples_table(self.samples)
            self.samples = []
        self._log(max(step - 1, 0), numbers)

    def tell_again(self, folder: Path) -> None:
        """All that the run's files have so far."""
        metrics, timing = read_rows(folder, files.METRICS), read_rows(folder, files.TIMING)
        samples = grouped(read_rows(folder, files.SAMPLES), lambda row: row["step"])
        evaluations = grouped(read_rows(folder, files.ROUTING_EVAL), lambda row: row["step"])
        if rows := evaluations.get(0):
            self.evaluation(rows)
        for row, seconds in zip(metrics, timing, strict=True):
            self.step(row, seconds, samples.get(row["step"], []))
            if rows := evaluations.get(row["step"] + 1):
                self.evaluation(rows)

    def _define(self, figures: set[str]) -> None:
        for name in sorted(figures - self.figures):
            shown = name in SHOWN or name.startswith("rewards/")
            self.run.define_metric(f"{section_of(name)}/*", step_metric=EVALUATED_AT, hidden=not shown)
        self.figures |= figures

    def _log(self, step: int, values: Mapping[str, Any]) -> None:
        if step >= self.known:
            self.run.log(values, step=step)


@contextmanager
def tracking(config: ResolvedExperiment, folder: RunFolder) -> Iterator[Tracker | None]:
    """A wandb run named like the folder and kept in it, the one of before an interruption; None when disabled."""
    if config.wandb.mode == "disabled":
        yield None
        return
    import wandb

    # Named by date, time and id, of which the file inside has the id alone; of one second, the last has a number behind it.
    earlier = sorted(folder.path.glob("wandb/*run-*/run-*.wandb"))
    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True)
    kind = kind_of(to_dict(config))
    run = wandb.init(project=config.wandb.project, group=config.wandb.group or None, name=folder.path.name, dir=folder.path,
                     mode=config.wandb.mode, config=to_dict(config), settings=settings, job_type=kind,
                     tags=[*dict.fromkeys([kind, *config.tags])], notes=config.notes or None,
                     id=earlier[-1].stem.removeprefix("run-") if earlier else None,
                     resume="allow" if config.wandb.mode == "online" else None)  # fmt: skip
    exit_code = 1
    try:
        tracker = Tracker(run, config)
        tracker.tell_again(folder.path)
        for file in earlier:
            shutil.rmtree(file.parent)
        yield tracker
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def is_logged(config: ResolvedExperiment, step: int) -> bool:
    """Whether a step's samples are shown: every few, and the last one's."""
    return step % config.logging_steps == 0 or step + 1 == config.max_steps


def section_of(figure: str) -> str:
    """wandb puts the names that are equal up to the first slash into one section."""
    return f"eval_{figure.replace('/', '_')}"


def modes_chart(evaluations: Sequence[Row], name: str) -> Any:
    """One figure of every mode over training, in one chart. Of `evaluations`, at least one, it is known."""
    import wandb

    by_mode = grouped(evaluations, lambda row: row["mode"])
    lines = {mode: by_mode[mode] for mode in MODES if mode in by_mode}
    xs, ys = ([[row[key] for row in rows] for rows in lines.values()] for key in ("step", name))
    return wandb.plot.line_series(xs, ys, keys=[*lines], title=CHARTS[name], xname="training step")


def samples_table(samples: Sequence[Row]) -> Any:
    import wandb

    return wandb.Table(columns=[*COLUMNS], data=[[row[name] for name in COLUMNS] for row in samples])


def samples_panel(samples: Sequence[Row]) -> Any:
    """The first samples as an HTML table; everything the model wrote is escaped."""
    import wandb

    heads = ("prompt", "completion", "reward", "advantage")
    rows = [[f"<td>{html.escape(str(row[head]))}</td>" for head in heads] for row in samples[:SAMPLES_SHOWN]]
    lines = [f"<tr>{''.join(cells)}</tr>" for cells in ([f"<th>{head}</th>" for head in heads], *rows)]
    return wandb.Html(f"<table>{''.join(lines)}</table>", inject=False)
