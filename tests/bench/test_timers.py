"""The timers by a clock that the test moves, and their table against the engine."""

import sys
from types import ModuleType

import pytest
import torch

from bench import timers
from bench.timers import PHASES, MissedPhase, owner_of, pass_name, timed_phases
from routing.router import MicroBatch

CPU = torch.device("cpu")


@pytest.fixture
def engine(monkeypatch):
    """A module of functions that take 1, 10 and 100 seconds, the last of which calls the others."""
    clock = [0.0]
    module = ModuleType("engine")

    def short():
        clock[0] += 1

    def long():
        clock[0] += 10

    def whole():
        clock[0] += 100
        module.short()
        module.long()

    module.short, module.long, module.whole = short, long, whole
    monkeypatch.setitem(sys.modules, "engine", module)
    monkeypatch.setattr(timers, "now", lambda _: clock[0])
    return module


@pytest.mark.parametrize("path", PHASES)
def test_every_phase_names_a_function_of_the_engine(path):
    owner, name = owner_of(path)
    assert callable(getattr(owner, name))


@pytest.mark.parametrize("path", ["grpo.sampler.no_such_function", "grpo.adamw.AdamW.no_such_method"])
def test_a_name_that_does_not_exist_is_an_error(path):
    with pytest.raises(MissedPhase, match=r"no_such_\w+ does not exist"), timed_phases({path: "a"}, CPU):
        pass


def test_a_phase_leaves_out_those_within_it_and_sums_its_calls(engine):
    with timed_phases({"engine.short": "inner", "engine.whole": "outer"}, CPU) as seconds:
        engine.whole()
        engine.short()
    assert seconds == {"inner": 2, "outer": 110}


def test_functions_of_one_phase_add_up_and_none_counts_twice(engine):
    with timed_phases({"engine.short": "all", "engine.long": "all", "engine.whole": "all"}, CPU) as seconds:
        engine.whole()
    assert seconds == {"all": 111}


def test_an_error_within_is_timed_and_the_functions_come_back(engine):
    before = engine.short

    def failing():
        before()
        raise ValueError

    engine.short = failing
    with pytest.raises(ValueError), timed_phases({"engine.short": "inner", "engine.whole": "outer"}, CPU) as seconds:
        engine.whole()
    assert seconds == {"inner": 1, "outer": 100}
    assert engine.short is failing


def test_a_function_that_was_never_called_is_an_error(engine):
    with (
        pytest.raises(MissedPhase, match=r"never called: engine\.long;"),
        timed_phases({"engine.short": "a", "engine.long": "b"}, CPU),
    ):
        engine.short()


def test_a_pass_is_named_by_its_micro_batch():
    assert pass_name("run", "batch", MicroBatch("bad", torch.arange(2), None), denominator=1) == "bad pass"
