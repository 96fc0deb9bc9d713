"""What a user waits for around the steps: from the command to the first of them, and in a whole run.

    uv run python -m bench.overhead                    # a few minutes
    uv run python -m bench.overhead --whole            # a run of --steps steps from end to end, in place of what one would take

Files are read from a warm disk. What a run of `--steps` steps takes is put together from one of a few steps, from end to end:
its fixed costs, as many evaluations as the longer run has, and the median step, as often. As a run learns, its steps may become
longer or shorter.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.timed_run import Span
from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import Experiment
from records import files
from records.reader import is_run
from records.rows import read_rows

ROOT = Path(__file__).parents[1]
RUN = ("--reward", "happy_count", "--routing.enabled")  # the README's
FEW = 6  # steps of the run that stands for a longer one, with an evaluation in the middle and one at the end
SOON = ("--max_steps", "1", "--eval.final_samples", "0")  # where only the beginning counts
# From the command to the end of the first step, in this order.
BEGINNING = ("imports and settings", "loading", "preflight", "starting", "evaluation before the first step", "first step")

BEFORE_STEPS = ("build_run", "preflight", "base_samples", "evaluate_modes", "train_step")


@dataclass(frozen=True)
class Options:
    steps: int = 300
    """Of the run whose share is told."""
    repetitions: int = 5
    """Of the beginning; medians are told."""
    whole: bool = False
    """Train all the steps."""
    json: bool = False
    """One line."""


@dataclass(frozen=True)
class TimedRun:
    """Seconds on one clock: when the process was started and when it had ended, and `spans` between."""

    started: float
    ended: float
    spans: list[Span]
    step_times: list[float]  # of timing.jsonl

    def durations(self, phase: str) -> list[float]:
        return [end - start for name, start, end in self.spans if name == phase]


def timed_run(words: Sequence[str]) -> TimedRun:
    """Trains in a process of its own. Raises UserError with what it said where it fails."""
    with tempfile.TemporaryDirectory() as temporary:
        marks, output = Path(temporary) / "spans.json", Path(temporary) / "output"
        command = [sys.executable, "-m", "bench.timed_run", str(marks), *RUN, "--output_dir", str(output), *words]
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        ended = time.monotonic()
        if done.returncode:
            raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        (folder,) = filter(is_run, output.iterdir())
        times = [float(row["step_time"]) for row in read_rows(folder, files.TIMING)]
        return TimedRun(started, ended, [tuple(span) for span in json.loads(marks.read_text())], times)


def beginning(run: TimedRun) -> dict[str, float]:
    """Seconds of each part until the first step has ended; they add up to all of it."""
    first = {name: (start, end) for name, start, end in reversed(run.spans)}
    loading, preflight, sampling, evaluation, step = (first[name] for name in BEFORE_STEPS)
    ends = (loading[0], loading[1], preflight[1], sampling[0], evaluation[1], step[1])
    return {name: end - start for name, start, end in zip(BEGINNING, (run.started, *ends), ends, strict=False)}


def wait(run: TimedRun) -> float:
    """Seconds that are not training steps."""
    return run.ended - run.started - sum(run.step_times)


def longer_run(run: TimedRun, steps: int, evaluations: int) -> tuple[float, float]:
    """What a run of so many steps, with so many evaluations between them, takes: seconds of steps, and seconds around them.

    `run` is one of fewer steps, with one evaluation between two of them.
    """
    _, between, _ = run.durations("evaluate_modes")
    further = (evaluations - 1) * between + (steps - len(run.step_times)) * between_steps(run)
    return steps * statistics.median(run.step_times), wait(run) + further


def between_steps(run: TimedRun) -> float:
    """Median seconds from the end of a step to the next one, where nothing else is done between them."""
    pairs = zip(run.spans, run.spans[1:], strict=False)
    return statistics.median(b[1] - a[2] for a, b in pairs if a[0] == b[0] == "train_step")


def evaluations_between(steps: int, eval_every: int) -> int:
    """Those after the first step and before the last one's."""
    return (steps - 1) // eval_every


def measure(options: Options) -> dict[str, object]:
    beginnings = [beginning(timed_run(SOON)) for _ in range(options.repetitions)]
    if options.whole:
        run = timed_run(["--max_steps", str(options.steps)])
        in_steps, around = sum(run.step_times), wait(run)
    else:
        run = timed_run(["--max_steps", str(FEW), "--eval_every", str(FEW // 2)])
        in_steps, around = longer_run(run, options.steps, evaluations_between(options.steps, Experiment().eval_every))
    return {
        "first_step_seconds": statistics.median(sum(parts.values()) for parts in beginnings),
        "parts": {name: statistics.median(parts[name] for parts in beginnings) for name in BEGINNING},
        "steps": options.steps,
        "whole": options.whole,
        "seconds_in_steps": in_steps,
        "seconds_around": around,
        "share_around": around / (around + in_steps),
        "evaluation_at_the_end_seconds": sum(run.durations(name)[-1] for name in ("base_samples", "evaluate_modes")),
    }


def show(figures: dict, console: Console) -> None:
    table = Table("from command to first finished step", "seconds")
    for name, seconds in figures["parts"].items():
        table.add_row(name, f"{seconds:.2f}")
    table.add_row("all of it", f"{figures['first_step_seconds']:.2f}")
    console.print(table)
    kind = "measured" if figures["whole"] else f"from a run of {FEW}"
    table = Table(f"a run of {figures['steps']} steps ({kind})", "seconds", "share")
    total = figures["seconds_in_steps"] + figures["seconds_around"]
    rows = {
        "steps": "seconds_in_steps",
        "around them": "seconds_around",
        "of which the evaluation at the end": "evaluation_at_the_end_seconds",
    }
    for name, key in rows.items():
        table.add_row(name, f"{figures[key]:.1f}", f"{figures[key] / total:.1%}")
    console.print(table)


def run_benchmark(words: Sequence[str]) -> None:
    options = parse(Options, words, "Measures what a user waits for around training steps.", "bench.overhead")
    figures = measure(options)
    if options.json:
        print(json.dumps(figures))
    else:
        show(figures, Console())


def main() -> int:
    return run_main(lambda: run_benchmark(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
