"""How far a sweep's runs have come, read from the last rows in their folders, so that it does not matter where they run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from records import files
from records.figures import WINDOW, cell, duration, mean
from records.rows import last_rows

ACTIVE = ("running", "resumed")
STATES = (*ACTIVE, "waiting", "failed", "interrupted", "finished", "skipped")  # in the order of the table
COLUMNS = ("run", "state", "step", "reward", "KL", "hacked", "s/step", "left")


@dataclass(frozen=True)
class Progress:
    """A run's last rows; None is what is not known."""

    steps: int | None = None  # done
    reward: float | None = None
    kl: float | None = None
    hacked: float | None = None
    step_time: float | None = None  # seconds


@dataclass(frozen=True)
class RunProgress:
    label: str
    state: str
    max_steps: int
    progress: Progress

    def seconds_left(self, step_time: float | None = None) -> float | None:
        """With a step time to go by where it has none of its own."""
        speed = step_time if self.progress.step_time is None else self.progress.step_time
        return None if speed is None else (self.max_steps - (self.progress.steps or 0)) * speed


def read_progress(folder: Path) -> Progress:
    metrics, timing = last_rows(folder, files.METRICS), last_rows(folder, files.TIMING)
    last = metrics[-1] if metrics else {}
    steps = last["step"] + 1 if "step" in last else None  # rows count from 0
    speed = mean([row["step_time"] for row in timing[-WINDOW:]])
    return Progress(steps, last.get("reward"), last.get("kl"), last.get("routing/hacked"), speed)


def time_left(runs: Sequence[RunProgress]) -> float | None:
    """Seconds until all is done, as many runs going on at once as do now; None where no speed is known."""
    usual = mean([run.progress.step_time for run in runs if run.progress.step_time is not None])
    to_do = [left for run in runs if run.state in (*ACTIVE, "waiting") and (left := run.seconds_left(usual)) is not None]
    at_once = sum(run.state in ACTIVE for run in runs)
    return None if usual is None or not at_once else max(max(to_do), sum(to_do) / at_once)


def totals_line(name: str, runs: Sequence[RunProgress]) -> str:
    count = Counter(run.state for run in runs)
    states = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    to_do = any(run.state in (*ACTIVE, "waiting") for run in runs)
    return f"{name}: {len(runs)} run{'s' * (len(runs) != 1)}: {states}" + (f"; {duration(time_left(runs))} left" if to_do else "")


def progress_cells(run: RunProgress, width: int) -> list[str]:
    """One for each of COLUMNS. Of a label that is too long, its end is shown: there runs differ."""
    label = run.label if len(run.label) <= width else f"…{run.label[1 - width :]}"
    progress = run.progress
    steps = f"{cell(None) if progress.steps is None else progress.steps}/{run.max_steps}"
    numbers = (progress.reward, progress.kl, progress.hacked, progress.step_time)
    left = duration(run.seconds_left() if run.state in ACTIVE else None)
    return [label, run.state, steps, *(cell(None) if number is None else f"{number:.3g}" for number in numbers), left]


def progress_line(run: RunProgress) -> str:
    """In plain text, with what is known."""
    label, state, *values = progress_cells(run, len(run.label))
    known = [f"{name} {value}" for name, value in zip(COLUMNS[2:], values, strict=True) if value != cell(None)]
    return f"{label}: {state}" + (f" ({', '.join(known)})" if run.progress.steps is not None else "")
