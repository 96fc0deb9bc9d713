"""What the tests of `sweep.py` stand on: a stand-in for the scheduler, a file, and how a slip is answered."""

from pathlib import Path

import pytest

import sweep
from sweeps.backends.backend import ScheduleOptions
from sweeps.plan import Plan
from sweeps.schedule import Outcome
from tests.helpers import one_line_error

CEILING = """
from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Sweep

routed = Experiment(reward="sentence_length_5_with_happy", routing=RoutingSettings(enabled=True))
sweep = Sweep(base=routed, seeds=[1], baselines=["unhackable"])
"""


class Scheduler:
    """Stands for `run_plan`: remembers what it was asked for, and runs nothing."""

    def __init__(self) -> None:
        self.outcome: Outcome | BaseException = Outcome(0, 0, 0, 0)
        self.each: dict[str, Outcome | BaseException] = {}  # by sweep of a series
        self.asked: list[tuple[Plan, ScheduleOptions]] = []

    def __call__(self, plan: Plan, options: ScheduleOptions) -> Outcome:
        self.asked.append((plan, options))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    said = one_line_error(sweep.main, capsys, *words)
    assert not Path("output").exists()
    return said
