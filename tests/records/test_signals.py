"""Requests to stop: the first waits for the end of a step, the second does not."""

import os
import signal
import time

import pytest

from records.signals import StopRequest, stop_request


def test_the_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch):
    """Unless it is the first, passed on twice."""
    before = signal.getsignal(signal.SIGINT)
    with stop_request() as request, request.deferred():
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.requested
        now += 0.4
        os.kill(os.getpid(), signal.SIGINT)
        now += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_a_step_the_first_signal_stops():
    request = StopRequest()
    with pytest.raises(KeyboardInterrupt):
        request.handle(signal.SIGINT, None)
    assert not request.requested
