"""How far a sweep's runs have come, read from the last rows in their folders, so that it does not matter where they run."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from records import files
from records.figures import WINDOW, cell, duration, mean
from records.names import LOADING, RUNNING, TRAINING
from records.reader import read_status
from records.rows import Row, last_rows
from sweeps.costs import seconds_on_slots

ACTIVE = ("running", "resumed")
TO_DO = (*ACTIVE, "waiting")
STATES = (*TO_DO, "failed", "interrupted", "stopped", "finished", "skipped")  # in the order of the table
COLUMNS = ("run", "state", "step", "reward", "KL", "hacked", "s/step", "elapsed", "left")


@dataclass(frozen=True)
class Progress:
    """A run's last rows; None is what is not known."""

    steps: int | None = None  # done
    reward: float | None = None
    kl: float | None = None
    hacked: float | None = None
    step_time: float | None = None  # seconds
    phase: str | None = None  # what it is doing


@dataclass(frozen=True)
class RunProgress:
    label: str
    state: str
    max_steps: int
    progress: Progress
    elapsed: float | None = None  # seconds since it was started; of one that has ended, that it took
    expected: float | None = None  # seconds from its start to its end; None where nothing like it has finished

    @property
    def shown_state(self) -> str:
        """What a running run is doing, unless it trains."""
        phase = self.progress.phase
        return phase if self.state in ACTIVE and phase not in (None, TRAINING) else self.state

    def seconds_left(self, step_time: float | None = None) -> float | None:
        """By what is expected of it, or else by its steps alone, with a step time to go by where it has none of its own."""
        speed = step_time if self.progress.step_time is None else self.progress.step_time
        by_steps = None if speed is None else (self.max_steps - (self.progress.steps or 0)) * speed
        if self.expected is None:
            return by_steps
        return max(self.expected - (self.elapsed or 0.0), by_steps or 0.0)


def read_progress(folder: Path, since: float | None = None) -> Progress:
    """`since`, as `time.time` has it, is when its process was started: a status from before says nothing of its phase."""
    metrics, timing = last_rows(folder, files.METRICS), last_rows(folder, files.TIMING)
    last = metrics[-1] if metrics else {}
    status, phase = last_status(folder, since)
    steps = max(status.get("step") or 0, last["step"] + 1 if "step" in last else 0)  # rows count from 0
    speed = mean([row["step_time"] for row in timing[-WINDOW:]])
    return Progress(steps or None, last.get("reward"), last.get("kl"), last.get("routing/hacked"), speed, phase)


def last_status(folder: Path, since: float | None) -> tuple[Row, str | None]:
    """status.json and the phase: loading as long as the process has not written it; None where that is not known."""
    file = folder / files.STATUS
    with suppress(OSError, UserError):  # not there yet, or damaged, for others to complain about
        written = file.stat().st_mtime
        status = read_status(folder)
        if since is None or written >= since:
            return status, status.get("phase") if status["state"] == RUNNING else None
        return status, LOADING
    return {}, None if since is None else LOADING


def time_left(runs: Sequence[RunProgress]) -> float | None:
    """Seconds until all is done, as many runs going on at once as do now; None where no speed is known."""
    usual = mean([run.progress.step_time for run in runs if run.progress.step_time is not None])
    to_do = [(run.state, run.seconds_left(usual)) for run in runs if run.state in TO_DO]
    running = [left for state, left in to_do if state in ACTIVE and left is not None]
    waiting = [left for state, left in to_do if state not in ACTIVE and left is not None]
    if not running or len(running) + len(waiting) < len(to_do):
        return None
    return seconds_on_slots(waiting, len(running), running)


def totals_line(name: str, runs: Sequence[RunProgress], elapsed: float) -> str:
    count = Counter(run.state for run in runs)
    states = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    to_do = [run for run in runs if run.state in TO_DO]
    left = time_left(runs)
    at_least = "at least " if left is not None and any(run.expected is None for run in to_do) else ""
    ends = f" so far, {at_least}{duration(left)} left" if to_do else ""
    return f"{name}: {len(runs)} run{'s' * (len(runs) != 1)}: {states}; {duration(elapsed)}{ends}"


def progress_cells(run: RunProgress, width: int) -> list[str]:
    """One for each of COLUMNS. Of a label that is too long, its end is shown: there runs differ."""
    label = run.label if len(run.label) <= width else f"…{run.label[1 - width :]}"
    progress = run.progress
    steps = f"{cell(None) if progress.steps is None else progress.steps}/{run.max_steps}"
    numbers = (progress.reward, progress.kl, progress.hacked, progress.step_time)
    left = duration(run.seconds_left() if run.state in ACTIVE else None)
    figures = [cell(None) if number is None else f"{number:.3g}" for number in numbers]
    return [label, run.shown_state, steps, *figures, duration(run.elapsed), left]


def progress_line(run: RunProgress) -> str:
    """In plain text, with what is known."""
    label, state, *values = progress_cells(run, len(run.label))
    known = [f"{name} {value}" for name, value in zip(COLUMNS[2:], values, strict=True) if value != cell(None)]
    return f"{label}: {state}" + (f" ({', '.join(known)})" if run.progress.steps is not None else "")
