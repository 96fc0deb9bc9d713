"""A run with a clock beside it, its times made up, against arithmetic by hand."""

import pytest

from bench.overhead import BEGINNING, TimedRun, beginning, between_steps, evaluations_between, longer_run, wait
from bench.timed_run import Span, clocked

# Started at 100, ended at 160. Three steps, an evaluation of 4 s after the second.
RUN = TimedRun(
    started=100.0,
    ended=160.0,
    spans=[
        ("build_run", 102.0, 105.0),
        ("preflight", 105.5, 107.0),
        ("base_samples", 108.0, 109.5),
        ("evaluate_modes", 109.5, 110.0),
        ("train_step", 110.25, 112.0),
        ("train_step", 112.5, 113.5),
        ("evaluate_modes", 114.0, 118.0),
        ("train_step", 118.0, 119.0),
        ("save_checkpoint", 119.0, 119.5),
        ("base_samples", 119.5, 130.0),
        ("evaluate_modes", 130.0, 150.0),
    ],
    step_times=[1.5, 1.0, 0.75],
)


def test_the_parts_of_the_beginning_add_up_to_the_time_until_the_first_step_has_ended():
    parts = beginning(RUN)
    assert list(parts.values()) == [2.0, 3.0, 2.0, 1.0, 2.0, 2.0]
    assert list(parts) == list(BEGINNING)
    assert sum(parts.values()) == 112.0 - 100.0


def test_what_is_no_step_is_waiting():
    assert wait(RUN) == 60.0 - 3.25


def test_between_steps_lies_what_is_done_from_one_to_the_next_without_an_evaluation():
    assert between_steps(RUN) == 0.5


def test_a_longer_run_has_more_steps_and_more_evaluations_and_the_same_fixed_costs():
    """100 steps of 1 s; 56.75 s around three of them, two more evaluations of 4 s, 97 times 0.5 s more between steps."""
    assert longer_run(RUN, 100, 3) == (100.0, 56.75 + 8.0 + 48.5)


@pytest.mark.parametrize(("steps", "expected"), [(99, 0), (100, 0), (101, 1), (300, 2), (301, 3)])
def test_the_evaluation_at_the_last_step_is_the_one_at_the_end(steps: int, expected: int):
    assert evaluations_between(steps, 100) == expected


def test_a_clocked_function_does_what_it_did_and_notes_when():
    spans: list[Span] = []
    add = clocked("add", lambda a, b: a + b, spans)
    assert (add(1, 2), add(3, 4)) == (3, 7)
    assert [name for name, _, _ in spans] == ["add", "add"]
    times = [time for _, *both in spans for time in both]
    assert times == sorted(times)
