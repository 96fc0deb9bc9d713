"""Screens: a terminal, a log, or a notebook, where one bar is shown and renewed in place.

rich would draw its bars in a notebook with ipywidgets, and warn where those are missing. A display that is updated needs none.
"""

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn

SECONDS = 0.5  # between two pictures of a bar


def screen(quiet: bool) -> Console:
    """stderr; a notebook counts as a terminal: its bar says what lines would."""
    console = Console(stderr=True, quiet=quiet)
    return Console(force_terminal=True, force_jupyter=True, quiet=quiet) if console.is_jupyter else console


def progress_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """Nothing but on a terminal and in a notebook."""
    if console.is_jupyter:
        return NotebookBar(*columns, console=console, auto_refresh=False, disable=console.quiet)
    return Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal)


class NotebookBar(Progress):
    """One output of the cell, renewed in place."""

    handle: Any = None  # of what is displayed, from the start on
    shown = 0.0  # when it was renewed

    def start(self) -> None:
        if not self.disable:
            from IPython.display import display  # a notebook has it

            self.handle, self.shown = display(self, display_id=True), time.monotonic()

    def update(self, *task: Any, **changes: Any) -> None:
        super().update(*task, **changes)
        if time.monotonic() - self.shown >= SECONDS:
            self.refresh()

    def refresh(self) -> None:
        if self.handle is not None:
            self.handle.update(self)
            self.shown = time.monotonic()

    def stop(self) -> None:
        self.refresh()
