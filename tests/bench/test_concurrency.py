"""Figures of runs side by side, by hand; and runs that fail."""

import pytest

from bench import concurrency
from bench.concurrency import Options, Throughput, numbers_to_try, throughput, train_side_by_side
from configs.errors import UserError


@pytest.mark.parametrize(("cores", "expected"), [(1, [1, 2]), (2, [1, 2, 4]), (3, [1, 2, 4]), (4, [1, 2, 4, 8])])
def test_powers_of_two_up_to_twice_the_cores_are_tried(cores: int, expected: list[int]):
    assert numbers_to_try(cores) == expected


def test_steps_a_second_of_all_runs_add_up():
    """Medians of 2 s and 4 s a step, the first steps left out: 0.5 and 0.25 steps a second; the median of all six is 3 s."""
    assert throughput([[9.0, 2.0, 1.0, 2.0], [9.0, 4.0, 4.0, 5.0]], threads=3) == Throughput(2, 3, 3.0, 0.75)


def test_a_run_that_fails_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(concurrency, "RUN", ("--reward", "nonsense"))
    with pytest.raises(UserError, match="a run failed: error: --reward nonsense"):
        train_side_by_side(1, Options(steps=1))
