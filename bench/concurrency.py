"""How many runs to train side by side: steps a second of 1, 2, 4, ... of them, all together.

    uv run python -m bench.concurrency

Each is a process of its own with its share of the cores' threads, as `sweep.py` starts them; what is best is what to give
`--jobs`, or on a GPU (`--device cuda`) `--per_gpu`, with NVIDIA MPS or without: as it is found.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.cli import parse, run_main
from configs.errors import UserError
from records import files
from records.reader import is_run
from records.rows import read_rows
from sweeps.backends.local import cores, thread_limits

ROOT = Path(__file__).parents[1]
RUN = ("--reward", "happy_count", "--routing.enabled", "--wandb.mode", "disabled", "--eval.final_samples", "0")


@dataclass(frozen=True)
class Options:
    jobs: tuple[int, ...] = ()
    """Numbers of runs to try; by default 1, 2, 4, ... up to twice the cores."""
    steps: int = 8
    """Of each run."""
    device: str = "cpu"
    """cpu, cuda."""
    json: bool = False
    """One line."""


@dataclass(frozen=True)
class Throughput:
    """Of `jobs` runs side by side; `step_seconds` is the median over the steps of all of them."""

    jobs: int
    threads: int  # of each
    step_seconds: float
    steps_per_second: float  # of all


def numbers_to_try(cores: int) -> list[int]:
    """Powers of two up to twice the cores."""
    return [2**i for i in range((2 * cores).bit_length())]


def throughput(step_times: Sequence[Sequence[float]], threads: int) -> Throughput:
    """From each run's seconds a step, the first left out: runs do not reach theirs at the same moment, and it warms up."""
    times = [steps[1:] for steps in step_times]
    together = sum(1 / statistics.median(steps) for steps in times)
    return Throughput(len(times), threads, statistics.median(time for steps in times for time in steps), together)


def train_side_by_side(jobs: int, options: Options) -> Throughput:
    """Raises UserError with what a run said where it fails."""
    threads = max(1, cores() // jobs)
    environment = os.environ | thread_limits(threads)
    with tempfile.TemporaryDirectory() as temporary:
        words = ["--max_steps", str(options.steps), "--device", options.device, "--output_dir", temporary]
        commands = [[sys.executable, str(ROOT / "launch.py"), *RUN, *words, "--seed", str(seed)] for seed in range(jobs)]
        processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
        try:
            said = [process.communicate()[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        for process, text in zip(processes, said, strict=True):
            if process.returncode:
                raise UserError(f"a run failed: {text.strip()}")
        rows = [read_rows(folder, files.TIMING) for folder in sorted(filter(is_run, Path(temporary).iterdir()))]
    return throughput([[float(row["step_time"]) for row in each] for each in rows], threads)


def show(results: Sequence[Throughput], console: Console) -> None:
    best = max(results, key=lambda result: result.steps_per_second)
    table = Table("runs", "threads each", "seconds a step", "steps a second, all runs", "to the first")
    for result in results:
        mark = " (best)" if result is best else ""
        ratio = result.steps_per_second / results[0].steps_per_second
        table.add_row(f"{result.jobs}{mark}", str(result.threads), f"{result.step_seconds:.3f}",
                      f"{result.steps_per_second:.3f}", f"{ratio:.2f}")  # fmt: skip
    console.print(table)


def run_benchmark(words: Sequence[str]) -> None:
    options = parse(Options, words, "Measures the steps a second of runs side by side.", "bench.concurrency")
    results = [train_side_by_side(jobs, options) for jobs in options.jobs or numbers_to_try(cores())]
    if options.json:
        print(json.dumps({"device": options.device, "cores": cores(), "results": [asdict(result) for result in results]}))
    else:
        show(results, Console())


def main() -> int:
    return run_main(lambda: run_benchmark(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
