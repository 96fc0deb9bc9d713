"""Ctrl-C and SIGTERM: once lets a step come to its end and a checkpoint be written, twice stops at once."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME = 0.5  # seconds within which two signals are one Ctrl-C, passed on by the terminal and by `uv run`


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, and did between two steps, its checkpoint written."""


class StopRequest:
    """`requested` tells whether the run was asked to stop while it was not to be disturbed."""

    def __init__(self) -> None:
        self.requested = False
        self._undisturbed = False
        self._asked_at = 0.0

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, the first signal only sets `requested`. The second raises KeyboardInterrupt, as the first does elsewhere."""
        self._undisturbed = True
        try:
            yield
        finally:
            self._undisturbed = False

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        now = time.monotonic()
        if self.requested and now < self._asked_at + SAME:
            return
        if self.requested or not self._undisturbed:
            raise KeyboardInterrupt
        self.requested, self._asked_at = True, now
        print("stopping after this step; once more stops at once", file=sys.stderr)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM within; outside the main thread, where Python cannot, signals stay as they are."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
