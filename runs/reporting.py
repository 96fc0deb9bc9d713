"""What a run says while it runs: on the screen, in train.log, metrics and samples files, to wandb (runs/tracking.py)."""

from typing import Any

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
from runs.tracking import Tracker, is_logged


class Reporter:
    """Writes to the screen, the run's folder and wandb. Keeps the rows it wrote, for the summary."""

    def __init__(self, folder: RunFolder, config: ResolvedExperiment, tracker: Tracker | None, display: Display):
        self.folder, self.config, self.tracker, self.display = folder, config, tracker, display
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
        logged = is_logged(self.config, record.step)
        if logged or self.config.log_all_samples:
            self.folder.append(files.SAMPLES, *samples)
        if logged:
            self.log_step(samples[0], metrics, timing)
        if self.tracker is not None:
            self.tracker.step(metrics, timing, samples)
        if starts_idling(self.metrics):
            self.say(f"WARNING: step {record.step}: nothing is learnt: {NO_LOSS}")
        self.display.step_done(record.step + 1, f"{headline(metrics)}  {speed(timing)}")

    def log_step(self, sample: dict[str, Any], metrics: dict[str, Number], timing: dict[str, float | int]) -> None:
        step, text = metrics["step"], f"{one_line(sample['prompt'])} >> {one_line(sample['completion'])}"
        self.folder.log(f"step {step}: {headline(metrics)}")
        self.folder.log(shown := f"[Sample @ {step}] reward {sample['reward']:.3f} | {text}")
        if self.display.console.is_terminal:  # whose bar has the headline
            if not self.display.console.is_jupyter:  # where the bar is all
                self.print(shown)
        else:
            self.print(f"step {step}: {headline(metrics)}  {speed(timing)}")


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
