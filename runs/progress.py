"""What a run is doing: one bar on a terminal, a line elsewhere, and the phase in status.json for those who read its folder."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from records.figures import cell
from records.folder import RunFolder
from records.names import EVALUATING, RELEARNING, RUNNING, TRAINING
from runs.notebook import progress_bar

STATUS_SECONDS = 1.0  # between two updates of the step in status.json
Watch = Callable[[str, int], None]  # told of a mode that so many more of its completions are there; of 0 as it begins


class Count(MofNCompleteColumn):
    """Nothing where the end is not known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class Display:
    """Only one bar is seen at a time, so that a notebook shows one."""

    def __init__(self, console: Console):
        self.console, self.step = console, 0
        self.folder: RunFolder | None = None
        columns = TextColumn("{task.description}"), BarColumn(), Count(), TimeRemainingColumn()
        self.bars = progress_bar(console, *columns)
        self.training = self.bars.add_task("", total=None, visible=False)
        self._told = 0.0

    @property
    def width(self) -> int | None:
        """Of a terminal; elsewhere lines may be as long as they are."""
        return self.console.width if self.console.is_terminal else None

    def follow(self, folder: RunFolder, step: int = 0) -> None:
        """From here on its status.json is kept; so many steps have been done."""
        self.folder, self.step = folder, step

    def tell(self, phase: str) -> None:
        """In status.json."""
        if self.folder is not None:
            self.folder.status(RUNNING, self.step, phase=phase)
            self._told = time.monotonic()

    @contextmanager
    def preparing(self, phase: str, doing: str) -> Iterator[None]:
        """What comes before training. Elsewhere than on a terminal it is said when it is done: an error is to be one line."""
        self.tell(phase)
        bar, start = self.bars.add_task(doing, total=None), time.monotonic()
        try:
            yield
        finally:
            self.bars.remove_task(bar)
        if not self.console.is_terminal:
            self.console.out(f"{doing}: {time.monotonic() - start:.1f} s", highlight=False)

    def start_training(self, total: int) -> None:
        self.bars.update(self.training, description="training", total=total, completed=self.step, visible=True)
        self.tell(TRAINING)

    def step_done(self, step: int, headline: str) -> None:
        """`step` have been done now. They are told about once a second: a write that is synced may take longer than a step."""
        self.step = step
        self.bars.update(self.training, completed=step, description=headline)
        if time.monotonic() - self._told >= STATUS_SECONDS:
            self.tell(TRAINING)

    @contextmanager
    def evaluating(self, modes: Sequence[str], count: int) -> Iterator[Watch]:
        """Within, the bar is of the completions of all modes, `count` each, and names the mode. What it gives counts them."""
        self.tell(EVALUATING)
        begun: list[str] = []
        bar = self.bars.add_task("evaluating", total=count * len(modes))
        if not self.console.is_terminal:
            self.console.out(f"evaluating {', '.join(modes)}: {count} completions each", highlight=False)

        def watch(mode: str, completions: int) -> None:
            if mode not in begun:
                begun.append(mode)
            self.bars.update(bar, advance=completions, description=f"evaluating {mode} {len(begun)}/{len(modes)}")

        self.bars.update(self.training, visible=False)
        try:
            yield watch
        finally:
            self.bars.remove_task(bar)
            self.bars.update(self.training, visible=self.bars.tasks[0].total is not None)
        self.tell(TRAINING)

    @contextmanager
    def relearning(self, start: str, steps: int, threshold: float) -> Iterator[Callable[[int, float], None]]:
        """Within, the bar is of the steps from a start. What it gives is told the steps done and the hack rate measured last."""
        self.tell(RELEARNING)
        doing = f"relearning from {start}"
        if not self.console.is_terminal:
            self.console.out(f"{doing}: at most {steps} steps, until it hacks at {cell(threshold)}", highlight=False)
        self.bars.update(self.training, visible=False)
        bar = self.bars.add_task(doing, total=steps)
        try:
            yield lambda done, hacked: self.bars.update(bar, completed=done, description=f"{doing}: hacked {cell(hacked)}")
        finally:
            self.bars.remove_task(bar)


def unwatched(mode: str, completions: int) -> None:
    """For evaluations that nobody follows."""
