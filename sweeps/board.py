"""A sweep while it runs: a live table on a terminal, plain lines elsewhere, both on standard error."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from records.text import plain_table
from sweeps.expectations import Expectations
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import (
    ACTIVE,
    COLUMNS,
    STATES,
    Progress,
    RunProgress,
    progress_cells,
    progress_line,
    read_progress,
    totals_line,
)

REFRESH, TOTALS = 1.0, 30.0  # seconds between tables, between plain lines of totals
FIXED = 82  # columns of the screen that all but the run's label take
LEFT_OUT = {"s/step": 100, "KL": 92}  # on screens that are narrower


def run_label(run: PlannedRun) -> str:
    """What tells a run from the sweep's others, in few words; its folder's name tells everything."""
    return f"{run.configuration} s{run.experiment.seed}"


def progress_table(runs: Sequence[RunProgress], width: int, height: int) -> Table:
    """Running runs first, as many rows as fit."""
    ordered = sorted(runs, key=lambda run: STATES.index(run.state))
    room = max(1, height - 4)  # header, line, what is left out, totals
    left_out = {COLUMNS.index(name) for name, least in LEFT_OUT.items() if width < least}
    label = max(12, width - FIXED + 8 * len(left_out))
    table = plain_table(*(name for i, name in enumerate(COLUMNS) if i not in left_out))
    for run in ordered[:room]:
        table.add_row(*(Text(text) for i, text in enumerate(progress_cells(run, label)) if i not in left_out))
    if len(ordered) > room:
        table.add_row(f"… {len(ordered) - room} more")
    return table


class Board:
    """Shows a sweep while it runs: `with Board(plan, console) as board: board.update(states)`, often."""

    def __init__(self, plan: Plan, console: Console | None = None, clock: Callable[[], float] = time.time):
        self.plan = plan
        self.console = console or Console(stderr=True)
        self.clock = clock  # of file times
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.runs = {run.name: RunProgress(run_label(run), "waiting", run.experiment.max_steps, Progress()) for run in plan.runs}
        self.expectations = Expectations(plan)
        self.began = clock()
        self.started: dict[str, float] = {}  # when each run's present or last process was
        self.last_table = -REFRESH
        self.last_totals = time.monotonic()

    def __enter__(self) -> "Board":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.update(self.screen())
            self.live.stop()
        elif error[0] is None:
            self.say(self.totals())

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True)

    def update(self, states: Mapping[str, str]) -> None:
        """The runs' states by name. Folders are read when it is time to show what they hold."""
        changed = [name for name, run in self.runs.items() if run.state != states[name]]
        now = time.monotonic()
        due = now >= self.last_table + REFRESH
        for name in changed:
            self.change(name, states[name])
        for name, run in self.runs.items():
            if due and run.state in ACTIVE:
                self.follow(name)
        if due:
            self.last_table = now
        if self.live is not None and (due or changed):
            self.live.update(self.screen(), refresh=True)
        elif self.live is None:
            for name in changed:
                self.say(progress_line(self.runs[name]))
            if now >= self.last_totals + TOTALS:
                self.last_totals = now
                self.say(self.totals())

    def change(self, name: str, state: str) -> None:
        """Takes note of a run's new state: its clock starts with a process, and its end teaches what others will take."""
        before, folder = self.runs[name], self.plan.folder / name
        if state in ACTIVE and before.state not in ACTIVE:
            self.started[name] = self.clock()
            self.expectations.begin(name, read_progress(folder).steps or 0)
        self.runs[name] = replace(before, state=state)
        self.follow(name)
        if state in ("finished", "stopped"):
            self.expectations.learn(name)
        self.runs = {each: replace(run, expected=self.expectations.seconds(each)) for each, run in self.runs.items()}

    def follow(self, name: str) -> None:
        since = self.started.get(name)
        progress = read_progress(self.plan.folder / name, since)
        elapsed = None if since is None else self.clock() - since
        self.runs[name] = replace(self.runs[name], progress=progress, elapsed=elapsed)

    def totals(self) -> str:
        return totals_line(self.plan.name, [*self.runs.values()], self.clock() - self.began)

    def screen(self) -> Group:
        table = progress_table([*self.runs.values()], self.console.width, self.console.height)
        return Group(table, Text(self.totals(), no_wrap=True, overflow="ellipsis"))
