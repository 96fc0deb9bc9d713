"""What a run says while it runs: on the screen, in train.log, metrics and samples files, to wandb."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from configs.naming import to_dict
from configs.resolved import ResolvedExperiment
from grpo.step import StepRecord
from records import files
from records.figures import Number, cell
from records.folder import RunFolder
from records.rows import read_rows
from runs.metrics import step_metrics
from runs.progress import Display
from runs.samples import step_sample_rows
from runs.summary import NO_LOSS, starts_idling

SAMPLES_ON_PANEL = 8


class Reporter:
    """Writes to the screen, the run's folder and wandb. Keeps the rows it wrote, for the summary."""

    def __init__(self, folder: RunFolder, config: ResolvedExperiment, wandb_run: Any, display: Display):
        self.folder, self.config, self.wandb, self.display = folder, config, wandb_run, display
        self.metrics: list[dict[str, Number]] = read_rows(folder.path, files.METRICS)  # of before an interruption
        self.timing: list[dict[str, float | int]] = read_rows(folder.path, files.TIMING)

    def print(self, text: str) -> None:
        """To the screen alone, where figures of the wall clock may stand: but for times, a repeated run's log is the same."""
        self.display.console.out(text, highlight=False)

    def say(self, text: str, on_screen: str | None = None) -> None:
        """To the screen and train.log alike, or to the screen in another form."""
        self.print(text if on_screen is None else on_screen)
        self.folder.log(text)

    def step(self, record: StepRecord) -> None:
        tokens_before = int(self.metrics[-1]["num_tokens"] or 0) if self.metrics else 0
        metrics, timing = step_metrics(record, self.config.num_generations, tokens_before), timing_row(record)
        self.metrics.append(metrics)
        self.timing.append(timing)
        self.folder.append(files.METRICS, metrics)
        self.folder.append(files.TIMING, timing)
        samples = step_sample_rows(record)
        logged = record.step % self.config.logging_steps == 0 or record.step + 1 == self.config.max_steps
        if logged or self.config.log_all_samples:
            self.folder.append(files.SAMPLES, *samples)
        if logged:
            self.log_step(samples[0], metrics, timing)
        if self.wandb is not None:
            panel = {"sample_text": samples_panel(samples)} if logged else {}
            numbers = {name: value for name, value in (metrics | timing).items() if value is not None}
            self.wandb.log(numbers | panel, step=record.step)
        if starts_idling(self.metrics):
            self.say(f"WARNING: step {record.step}: nothing is learnt: {NO_LOSS}")
        self.display.step_done(record.step + 1, f"{headline(metrics)}  {speed(timing)}")

    def log_step(self, sample: dict[str, Any], metrics: dict[str, Number], timing: dict[str, float | int]) -> None:
        step, text = metrics["step"], f"{one_line(sample['prompt'])} >> {one_line(sample['completion'])}"
        self.folder.log(f"step {step}: {headline(metrics)}")
        self.folder.log(shown := f"[Sample @ {step}] reward {sample['reward']:.3f} | {text}")
        if self.display.console.is_terminal:  # whose bar has the headline
            self.print(shown)
        else:
            self.print(f"step {step}: {headline(metrics)}  {speed(timing)}")


def samples_panel(samples: list[dict[str, Any]]) -> Any:
    """The first samples as an HTML table for wandb; everything the model wrote is escaped."""
    import wandb

    heads = ("prompt", "completion", "reward", "advantage")
    rows = [[f"<td>{html.escape(str(row[head]))}</td>" for head in heads] for row in samples[:SAMPLES_ON_PANEL]]
    lines = [f"<tr>{''.join(cells)}</tr>" for cells in ([f"<th>{head}</th>" for head in heads], *rows)]
    return wandb.Html(f"<table>{''.join(lines)}</table>", inject=False)


def one_line(text: str) -> str:
    return " ".join(text.split())


def headline(metrics: dict[str, Number]) -> str:
    return f"reward {cell(metrics['reward'])}  kl {cell(metrics['kl'], 4)}  hacked {cell(metrics['routing/hacked'])}"


def speed(timing: dict[str, float | int]) -> str:
    return f"{timing['tokens_per_second']:.0f} tok/s"


def timing_row(record: StepRecord) -> dict[str, float | int]:
    """Seconds by phase; tokens are those sampled."""
    total, tokens = sum(record.seconds.values()), int(record.rollout.mask.sum())
    phases = {f"seconds/{name}": seconds for name, seconds in record.seconds.items()}
    return {"step": record.step, "step_time": total, "tokens_per_second": tokens / total} | phases


@contextmanager
def wandb_run(config: ResolvedExperiment, folder: RunFolder) -> Iterator[Any]:
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
