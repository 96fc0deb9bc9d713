"""What a busy core costs a run: steps beside a process that spins, and without it.

    uv run python -m bench.busy_neighbour

Three ways to compute take turns: one thread, all threads, and the default of `launch.py`, which measures how many do well. It
should be no worse than 1.3 times the better of the first two beside the neighbour, and cost nothing without.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
RUN = ("--reward", "happy_count", "--routing.enabled", "--batch_size", "8", "--num_generations", "4", "--wandb.mode", "disabled",
       "--eval.final_samples", "0", "--eval.num_prompts", "8", "--device", "cpu")  # fmt: skip
ONE, ALL, DEFAULT = "one thread", "all threads", "default"
WAYS = {ONE: ["--threads", "1"], ALL: ["--threads", str(cores())], DEFAULT: []}
MOST = 1.3  # times the better of one and all threads
SPIN = "while True: pass"


@dataclass(frozen=True)
class Options:
    steps: int = 8
    """Of each run."""
    repetitions: int = 3
    """Of each way, with and without the neighbour; the median over all steps is told."""
    json: bool = False
    """One line."""


@dataclass(frozen=True)
class Figures:
    """Median seconds a step by way of WAYS."""

    busy: dict[str, float]
    quiet: dict[str, float]

    @property
    def to_the_better(self) -> float:
        """The default beside the neighbour, over the better of one and all threads."""
        return self.busy[DEFAULT] / min(self.busy[ONE], self.busy[ALL])

    @property
    def cost(self) -> float:
        """The default without a neighbour, over all threads."""
        return self.quiet[DEFAULT] / self.quiet[ALL]


@contextmanager
def neighbour(is_there: bool) -> Iterator[None]:
    """Spins within."""
    process = subprocess.Popen([sys.executable, "-c", SPIN]) if is_there else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def step_times(way: str, steps: int) -> list[float]:
    """Seconds of each step but the first, of a run in a process of its own. Raises UserError with what it said where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in thread_limits(1)}
    with tempfile.TemporaryDirectory() as temporary:
        words = [*RUN, *WAYS[way], "--max_steps", str(steps), "--output_dir", temporary]
        command = [sys.executable, str(ROOT / "launch.py"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"a run failed: {done.stderr.strip()}")
        (folder,) = filter(is_run, Path(temporary).iterdir())
        return [float(row["step_time"]) for row in read_rows(folder, files.TIMING)][1:]


def measure(options: Options) -> Figures:
    """The ways take turns, so that what else the machine does meets all of them."""
    times: dict[bool, dict[str, list[float]]] = {busy: {way: [] for way in WAYS} for busy in (True, False)}
    for _ in range(options.repetitions):
        for busy, by_way in times.items():
            for way, so_far in by_way.items():
                with neighbour(busy):
                    so_far += step_times(way, options.steps)
    busy, quiet = ({way: statistics.median(each) for way, each in times[key].items()} for key in (True, False))
    return Figures(busy, quiet)


def show(figures: Figures, console: Console) -> None:
    table = Table(f"seconds a step, {cores()} cores", "beside a busy neighbour", "without")
    for way in WAYS:
        table.add_row(way, f"{figures.busy[way]:.2f}", f"{figures.quiet[way]:.2f}")
    console.print(table)
    held = "held" if figures.to_the_better <= MOST else "not held"
    console.print(
        f"default over the better of the others, beside the neighbour: {figures.to_the_better:.2f} (at most {MOST}: {held})"
    )
    console.print(f"default over all threads, without: {figures.cost:.2f}")


def run_benchmark(words: Sequence[str]) -> None:
    options = parse(Options, words, "Measures steps beside a process that keeps a core busy.", "bench.busy_neighbour")
    if options.steps < 2:
        raise UserError(f"--steps {options.steps}: must be at least 2: the first is left out")
    figures = measure(options)
    if options.json:
        told = {"cores": cores(), "load": os.getloadavg(), "to_the_better": figures.to_the_better, "cost": figures.cost}
        print(json.dumps(vars(figures) | told))
    else:
        show(figures, Console())


def main() -> int:
    return run_main(lambda: run_benchmark(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
