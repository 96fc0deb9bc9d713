"""What a run says while it runs: progress bar, train.log, metrics and samples files, wandb."""

import html
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from configs.experiment import Experiment
from configs.naming import to_dict
from grpo.step import StepRecord
from records.figures import Number, cell
from records.folder import RunFolder, read_rows
from runs.metrics import step_metrics

SAMPLES_ON_PANEL = 8


class Reporter:
    """Writes to the screen, the run's folder and wandb. Keeps the rows it wrote, for the summary."""

    def __init__(self, folder: RunFolder, config: Experiment, wandb_run: Any, console: Console):
        self.folder, self.config, self.wandb, self.console = folder, config, wandb_run, console
        self.metrics: list[dict[str, Number]] = read_rows(folder.path, "metrics.jsonl")  # of before an interruption
        self.timing: list[dict[str, float | int]] = read_rows(folder.path, "timing.jsonl")
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.progress = Progress(*columns, console=console, refresh_per_second=2, disable=not console.is_terminal)
        self.task: TaskID = self.progress.add_task("starting", total=config.max_steps, completed=len(self.metrics))

    def show(self, text: str) -> None:
        """To the screen alone, where figures of the wall clock may stand: the log of a repeated run is the same."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """To the screen and train.log alike."""
        self.show(text)
        self.folder.log(text)

    def step(self, record: StepRecord) -> None:
        tokens_before = int(self.metrics[-1]["num_tokens"] or 0) if self.metrics else 0
        metrics = step_metrics(record, self.config.num_generations, tokens_before)
        timing = timing_row(record)
        self.metrics.append(metrics)
        self.timing.append(timing)
        self.folder.append("metrics.jsonl", metrics)
        self.folder.append("timing.jsonl", timing)
        logged = record.step % self.config.logging_steps == 0 or record.step + 1 == self.config.max_steps
        if logged or self.config.log_all_samples:
            for row in sample_rows(record):
                self.folder.append("samples.jsonl", row)
        if logged:
            self.log_step(record, metrics, timing)
        if self.wandb is not None:
            panel = {"sample_text": self.panel(record)} if logged else {}
            numbers = {name: value for name, value in (metrics | timing).items() if value is not None}
            self.wandb.log(numbers | panel, step=record.step)
        self.progress.update(self.task, advance=1, description=f"{headline(metrics)}  {speed(timing)}")

    def log_step(self, record: StepRecord, metrics: dict[str, Number], timing: dict[str, float | int]) -> None:
        first = sample_rows(record)[0]
        self.folder.log(f"step {record.step}: {headline(metrics)}")
        text = f"{one_line(first['prompt'])} >> {one_line(first['completion'])}"
        self.folder.log(f"[Sample @ {record.step}] reward {first['reward']:.3f} | {text}")
        if not self.console.is_terminal:
            self.show(f"step {record.step}: {headline(metrics)}  {speed(timing)}")

    def panel(self, record: StepRecord):
        """The first samples as an HTML table; everything the model wrote is escaped."""
        import wandb

        rows = [
            "<tr>"
            + "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in ("prompt", "completion", "reward", "advantage"))
            + "</tr>"
            for row in sample_rows(record)[:SAMPLES_ON_PANEL]
        ]
        head = "<tr><th>prompt</th><th>completion</th><th>reward</th><th>advantage</th></tr>"
        return wandb.Html(f"<table>{head}{''.join(rows)}</table>", inject=False)


def one_line(text: str) -> str:
    return " ".join(text.split())


def headline(metrics: dict[str, Number]) -> str:
    return f"reward {cell(metrics['reward'])}  kl {cell(metrics['kl'], 4)}  hacked {cell(metrics['routing/hacked'])}"


def speed(timing: dict[str, float | int]) -> str:
    return f"{timing['tokens_per_second']:.0f} tok/s"


def timing_row(record: StepRecord) -> dict[str, float | int]:
    """Seconds by phase; tokens are those sampled."""
    total = sum(record.seconds.values())
    tokens = int(record.rollout.mask.sum())
    phases = {f"seconds/{name}": seconds for name, seconds in record.seconds.items()}
    return {"step": record.step, "step_time": total, "tokens_per_second": tokens / total} | phases


def sample_rows(record: StepRecord) -> list[dict[str, Any]]:
    """The ledger of a step: one row a completion."""
    hacked = record.audit.hacked or [None] * len(record.completions)
    labelled, routed = record.routes.labelled.tolist(), record.routes.routed.tolist()
    advantages, lengths = record.advantages.advantages.tolist(), record.rollout.mask.sum(1).tolist()
    return [
        {
            "step": record.step,
            "prompt_index": completion.prompt.index,
            "prompt": completion.prompt.text,
            "completion": completion.text,
            "reward": record.scores.rewards[i],
            "components": {name: values[i] for name, values in record.scores.components.items()},
            "eligible": record.eligible[i],
            "detected": record.scores.detected[i],
            "labelled": labelled[i],
            "routed": routed[i],
            "hacked": hacked[i],
            "finished": completion.finished,
            "advantage": advantages[i],
            "length": lengths[i],
        }
        for i, completion in enumerate(record.completions)
    ]


@contextmanager
def wandb_run(config: Experiment, folder: RunFolder) -> Iterator[Any]:
    """A wandb run named like the folder and kept in it, the one of before an interruption; None when disabled."""
    if config.wandb.mode == "disabled":
        yield None
        return
    import wandb

    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True)
    earlier = sorted(folder.path.glob("wandb/*run-*"))  # named by date, time and the run's id
    again = earlier[-1].name.rpartition("-")[2] if earlier else None
    run = wandb.init(project=config.wandb.project, group=config.wandb.group or None, name=folder.path.name, dir=folder.path,
                     mode=config.wandb.mode, config=to_dict(config), settings=settings, id=again,
                     resume="allow" if config.wandb.mode == "online" else None)  # fmt: skip
    exit_code = 1
    try:
        yield run
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def default_console(quiet: bool) -> Console:
    return Console(file=sys.stderr, quiet=quiet)
