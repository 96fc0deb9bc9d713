"""How a sweep comes along: a live table on a terminal, plain lines elsewhere, both on standard error.

What a run has reached is read from the last rows in its folder, so that it does not matter where it runs.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from sweeps.plan import Plan, PlannedRun

ACTIVE = ("running", "resumed")
STATES = (*ACTIVE, "waiting", "failed", "interrupted", "finished", "skipped")  # in the order of the table
TAIL = 1 << 14  # bytes of a file's end that are read: a few rows
RECENT = 20  # steps whose mean time tells the speed
REFRESH, TOTALS = 1.0, 30.0  # seconds between tables, between plain lines of totals
COLUMNS = ("run", "state", "step", "reward", "KL", "hacked", "s/step", "left")
FIXED = 72  # columns of the screen that all but the run's name take
UNKNOWN = "–"


@dataclass(frozen=True)
class Progress:
    """A run's last rows; None is what is not known."""

    steps: int | None = None  # done
    reward: float | None = None
    kl: float | None = None
    hacked: float | None = None
    step_time: float | None = None  # seconds


@dataclass(frozen=True)
class Row:
    """One run, as shown."""

    name: str  # its label
    state: str
    max_steps: int
    progress: Progress

    def seconds_left(self, step_time: float | None) -> float | None:
        """With a step time to go by where it has none of its own."""
        speed = step_time if self.progress.step_time is None else self.progress.step_time
        return None if speed is None else (self.max_steps - (self.progress.steps or 0)) * speed


def label(run: PlannedRun) -> str:
    """What tells a run from the sweep's others, in few words; its folder's name tells everything."""
    return f"{run.configuration} s{run.experiment.seed}"


def read_progress(folder: Path) -> Progress:
    metrics, timing = last_rows(folder / "metrics.jsonl"), last_rows(folder / "timing.jsonl")
    last = metrics[-1] if metrics else {}
    times = [row["step_time"] for row in timing[-RECENT:]]
    return Progress(
        steps=last["step"] + 1 if "step" in last else None,  # rows count from 0
        reward=last.get("reward"),
        kl=last.get("kl"),
        hacked=last.get("routing/hacked"),
        step_time=fmean(times) if times else None,
    )


def last_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows in the file's last few kilobytes; a row is whole when its line has an end."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, 2) - TAIL)
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
    except OSError:  # not yet, or not any more
        return []
    rows = []
    for line in lines[1:] if start else lines:
        try:
            rows.append(json.loads(line))
        except ValueError:  # damaged: for the run, and for the report, to complain about
            continue
    return rows


def time_left(rows: list[Row]) -> float | None:
    """Seconds until all is done, as many runs going on at once as do now; None where no speed is known."""
    times = [row.progress.step_time for row in rows if row.progress.step_time is not None]
    usual = fmean(times) if times else None
    to_do = [left for row in rows if row.state in (*ACTIVE, "waiting") and (left := row.seconds_left(usual)) is not None]
    at_once = sum(row.state in ACTIVE for row in rows)
    if usual is None or not at_once:
        return None
    return max(max(to_do), sum(to_do) / at_once)


def totals(name: str, rows: list[Row]) -> str:
    count = Counter(row.state for row in rows)
    told = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    to_do = any(row.state in (*ACTIVE, "waiting") for row in rows)
    return f"{name}: {len(rows)} run{'s' * (len(rows) != 1)}: {told}" + (f"; {duration(time_left(rows))} left" if to_do else "")


def table(rows: list[Row], width: int, height: int) -> Table:
    """Running runs first, as many rows as fit."""
    shown = sorted(rows, key=lambda row: STATES.index(row.state))
    room = max(1, height - 4)  # header, line, what is left out, totals
    result = Table(*(Column(name, no_wrap=True) for name in COLUMNS), box=None, pad_edge=False, header_style="bold")
    for row in shown[:room]:
        result.add_row(*map(Text, cells(row, max(12, width - FIXED))))
    if len(shown) > room:
        result.add_row(f"… {len(shown) - room} more")
    return result


def cells(row: Row, width: int) -> list[str]:
    """Of a name that is too long, its end is shown: there runs differ."""
    name = row.name if len(row.name) <= width else f"…{row.name[1 - width :]}"
    progress = row.progress
    steps = f"{UNKNOWN if progress.steps is None else progress.steps}/{row.max_steps}"
    numbers = [number(progress.reward), number(progress.kl), number(progress.hacked), number(progress.step_time)]
    return [name, row.state, steps, *numbers, duration(row.seconds_left(None) if row.state in ACTIVE else None)]


def line(row: Row) -> str:
    """A row in plain text, with what is known."""
    name, state, steps, *values = cells(row, len(row.name))
    known = [f"{label} {value}" for label, value in zip(COLUMNS[2:], [steps, *values], strict=True) if value != UNKNOWN]
    return f"{name}: {state}" + (f" ({', '.join(known)})" if row.progress.steps is not None else "")


def number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Board:
    """Shows a sweep while it runs: `with Board(plan, console) as board: board.update(states)`, often."""

    def __init__(self, plan: Plan, console: Console | None = None):
        self.plan = plan
        self.console = console or Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.rows = {run.name: Row(label(run), "waiting", run.experiment.max_steps, Progress()) for run in plan.runs}
        self.shown = -REFRESH
        self.told = time.monotonic()

    def __enter__(self) -> "Board":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.update(self.screen())
            self.live.stop()
        elif error[0] is None:
            self.say(totals(self.plan.name, [*self.rows.values()]))

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True)

    def update(self, states: Mapping[str, str]) -> None:
        """The runs' states by name. Folders are read when it is time to show what they hold."""
        changed = [name for name, row in self.rows.items() if row.state != states[name]]
        now = time.monotonic()
        due = now >= self.shown + REFRESH
        for name, row in self.rows.items():
            if name in changed or (due and row.state in ACTIVE):
                progress = read_progress(self.plan.folder / name)
                self.rows[name] = replace(row, state=states[name], progress=progress)
        if due:
            self.shown = now
        if self.live is not None and (due or changed):
            self.live.update(self.screen(), refresh=True)
        elif self.live is None:
            self.tell(changed, now)

    def screen(self) -> Group:
        rows = [*self.rows.values()]
        shown = table(rows, self.console.width, self.console.height)
        return Group(shown, Text(totals(self.plan.name, rows), no_wrap=True, overflow="ellipsis"))

    def tell(self, changed: list[str], now: float) -> None:
        """Plain lines: one for each change of state, and the totals from time to time."""
        for name in changed:
            self.say(line(self.rows[name]))
        if now >= self.told + TOTALS:
            self.told = now
            self.say(totals(self.plan.name, [*self.rows.values()]))
