"""Ctrl-C and SIGTERM: the first lets a step, or the runs of a sweep, end with a checkpoint; the next stops at once."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SAME = 0.5  # seconds within which two signals are one Ctrl-C, passed on by the terminal and by `uv run`


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; `folder` holds what there is of it, from which it can go on."""

    def __init__(self, reason: str, folder: Path):
        super().__init__(reason)
        self.folder = folder


class StopRequest:
    """`count` tells how often it was asked to stop while it was not to be disturbed."""

    def __init__(self, message: str = "") -> None:
        self.message = message  # printed at the first
        self.count = 0
        self._deferred = 0
        self._last = 0.0

    @property
    def requested(self) -> bool:
        return self.count > 0

    @contextmanager
    def deferred(self, times: int = 1) -> Iterator[None]:
        """Within, signals are only counted, so many times. The next raises KeyboardInterrupt, as the first does elsewhere."""
        self._deferred = times
        try:
            yield
        finally:
            self._deferred = 0

    def handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        now = time.monotonic()
        if self.count and now < self._last + SAME:
            return
        if self.count >= self._deferred:
            raise KeyboardInterrupt
        self.count, self._last = self.count + 1, now
        if self.message and self.count == 1:
            print(self.message, file=sys.stderr)


@contextmanager
def stop_request(message: str = "") -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM within; outside the main thread, where Python cannot, signals stay as they are."""
    request = StopRequest(message)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
