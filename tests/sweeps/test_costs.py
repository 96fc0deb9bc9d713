"""What a run takes and what a sweep takes, by hand."""

from dataclasses import replace
from typing import Any

import pytest

from configs.experiment import EnvironmentSettings, EvaluationSettings, Experiment, RoutingSettings
from configs.resolved import ResolvedExperiment
from envs.prepare import prepare
from records.names import BASE
from routing.modes import MODES
from sweeps import costs
from sweeps.costs import Costs, evaluated_completions, median_costs, run_seconds, seconds_on_slots

ROUTED = RoutingSettings(enabled=True)
EVALUATION = EvaluationSettings(num_prompts=10, final_samples=100)


def experiment(**settings: Any) -> ResolvedExperiment:
    return prepare(Experiment(**({"max_steps": 50, "eval_every": 20, "eval": EVALUATION} | settings)), cuda_available=False)


@pytest.mark.parametrize(
    ("settings", "steps_done", "count"),
    [
        ({}, 0, 2 * 10 + 100),  # after steps 20 and 40, and the end
        ({"max_steps": 40}, 0, 10 + 100),  # the last step's is the end's
        ({"max_steps": 41}, 0, 2 * 10 + 100),
        ({"routing": ROUTED}, 0, 3 * (2 * 10 + 100)),
        ({"beta": 0.0}, 0, 3 * 10 + 100),  # no base at hand: the policy before the first step
        ({"beta": 0.0}, 20, 10 + 100),
        ({}, 40, 100),
        ({}, 50, 100),
        ({"eval": replace(EVALUATION, final_samples=0)}, 0, 3 * 10),
        ({"env": EnvironmentSettings(num_eval_prompts=4)}, 0, 2 * 4 + 100),
    ],
)
def test_completions_of_evaluations(settings: dict[str, Any], steps_done: int, count: int):
    assert evaluated_completions(experiment(**settings), steps_done) == count


def test_modes_are_those_of_evaluations():
    assert {kind: len(modes.keys() - {BASE}) for kind, modes in MODES.items()} == costs.MODES


def test_seconds_of_a_run():
    measured = Costs(start=20.0, step=0.5, completion=0.25, source="")
    assert run_seconds(measured, experiment()) == 20 + 50 * 0.5 + 120 * 0.25
    assert run_seconds(measured, experiment(), steps_done=30) == 20 + 20 * 0.5 + 110 * 0.25


def test_relearning_counts_to_its_last_step_from_both_starts():
    """25 steps, and measurements at 0, 10, 20 and 25 of 100 completions, or 256 of more."""
    measured = Costs(start=20.0, step=0.5, completion=0.25, source="")
    for final, count in ((100, 100), (1000, 256)):
        usual = EvaluationSettings(num_prompts=10, final_samples=final)
        with_it, without = (run_seconds(measured, experiment(eval=replace(usual, relearn_steps=n))) for n in (25, 0))
        assert with_it - without == 2 * (25 * 0.5 + 4 * count * 0.25)


@pytest.mark.parametrize(
    ("seconds", "slots", "running", "whole"),
    [
        ([], 2, [], 0),
        ([5], 2, [], 5),
        ([5, 5, 5], 2, [], 10),  # not 7.5: a run is on one slot
        ([1, 9, 1, 1], 2, [], 9),
        ([4, 4], 2, [3, 1], 7),  # one starts after 1 s, one after 3 s
        ([], 2, [3], 3),
        ([6], 2, [3], 6),  # on the slot that is free
    ],
)
def test_runs_start_as_slots_become_free(seconds: list[float], slots: int, running: list[float], whole: float):
    assert seconds_on_slots(seconds, slots, running) == whole


def test_the_median_is_of_each_figure():
    known = [Costs(1.0, 20.0, 0.3, "a"), Costs(2.0, 10.0, 0.1, "b"), Costs(9.0, 30.0, 0.2, "c")]
    assert median_costs(known) == Costs(2.0, 20.0, 0.2, "3 runs")
