"""Sweeps as somebody asks for them, in words or in a file of Python."""

from collections.abc import Callable
from typing import Any

import pytest

from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolve import flatten
from configs.sweep import Sweep
from sweep import SweepOptions, parse_options

IMPORTS = """
from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Series, Sweep
"""


def read(*words: str) -> tuple[SweepOptions, Sweep]:
    return parse_options(words)


def refusal(*words: str) -> str:
    return one_line(lambda: read(*words))


def one_line(refused: Callable[[], object]) -> str:
    """What the UserError says that this call must raise."""
    with pytest.raises(UserError) as caught:
        refused()
    message = str(caught.value)
    assert "\n" not in message
    return message


def differing(asked: Experiment, usual: Experiment | None = None) -> dict[str, Any]:
    beneath = flatten(Experiment() if usual is None else usual)
    return {name: value for name, value in flatten(asked).items() if value != beneath[name]}
