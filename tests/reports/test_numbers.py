"""The numbers that are drawn, by hand."""

from pathlib import Path

import pytest

from records.reader import RunFiles, read_sweep
from reports.numbers import (
    at_the_end,
    band_rows,
    bin_width,
    end_rows,
    mode_rows,
    places,
    seed_rows,
    short,
    thinned,
    training_rows,
)
from reports.sweep_page import TRAINING, choices, seed_numbers
from tests.reports.report_runs import MADE_OF, write_sweep


@pytest.fixture
def sweep(tmp_path: Path):
    return read_sweep(write_sweep(tmp_path / "sweep"), list(TRAINING), iter)


def rows_at(rows: list[dict], **where) -> list[dict]:
    """Those whose entries are `where`; one that a row lacks is None."""
    return [row for row in rows if all(row.get(name) == value for name, value in where.items())]


def test_up_to_a_hundred_steps_stand_where_they_are():
    assert places(range(100)) == {step: step for step in range(100)}
    assert places([0, 100, 200, 250]) == {0: 0, 100: 100, 200: 200, 250: 250}
    assert places([]) == {}


def test_more_are_drawn_together_in_the_middle_of_their_bin():
    """250 steps in bins of 3: the first has steps 0, 1, 2; the last has step 249 alone and its middle is 250."""
    where = places(range(250))
    assert bin_width(range(250)) == 3
    assert [where[step] for step in (0, 1, 2, 3, 249)] == [1, 1, 1, 4, 250]
    assert len(set(where.values())) == 84
    assert len(set(places(range(2000)).values())) == 100
    assert len(set(places(range(2000), 50).values())) == 50
    assert places(range(2000))[0] == 9.5


def test_a_mean_is_of_the_values_that_there_are_and_else_there_is_a_gap():
    where = {0: 0.5, 1: 0.5, 2: 2.5, 3: 2.5}
    assert thinned([0, 1, 2, 3], [1.0, None, None, None], where) == {0.5: 1.0}
    assert thinned([0, 1, 2, 3], [1.0, 2.0, 0.0, None], where) == {0.5: 1.5, 2.5: 0.0}


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    rows = band_rows([[{0: 1.0, 5: 2.0}, {0: 4.0}], [{5: 7.0}, {}]], c=3)
    assert rows == [{"c": 3, "x": 0, "y0": 2.5, "l0": 1.0, "h0": 4.0}, {"c": 3, "x": 5, "y0": 2.0, "y1": 7.0}]


def test_each_seed_follows_by_itself():
    rows = seed_rows([[{0: 1.0}, {0: 3.0}]], [4, 6], c=0)
    assert rows == [{"c": 0, "x": 0, "y0": 2.0, "l0": 1.0, "h0": 3.0}, {"c": 0, "s": 4, "x": 0, "y0": 1.0},
                    {"c": 0, "s": 6, "x": 0, "y0": 3.0}]  # fmt: skip


def test_training_curves_of_a_sweep(sweep):
    """beta 0.01 at step 3: rewards 0.4 and 0.6, hack rates 0.2 and 0.4. beta 0.02 goes on with one seed after step 1."""
    rows = training_rows(sweep.runs, list(TRAINING), seed_numbers(sweep.runs))
    (row,) = rows_at(rows, c=0, x=3, s=None)
    assert row == {
        "c": 0,
        "x": 3,
        "y0": 0.5,
        "l0": 0.4,
        "h0": 0.6,
        "y1": 0.3,
        "l1": 0.2,
        "h1": 0.4,
        "y2": 0.1,
        "l2": 0.1,
        "h2": 0.1,
    }
    assert [row["y0"] for row in rows_at(rows, c=0, s=None)] == [0.2, 0.3, 0.4, 0.5]
    assert [(row["y0"], row.get("h0")) for row in rows_at(rows, c=1, s=None)] == [
        (0.6, 0.7),
        (0.6, 0.7),
        (0.5, None),
        (0.5, None),
    ]
    assert [row["y0"] for row in rows_at(rows, c=0, s=1)] == [0.3, 0.4, 0.5, 0.6]
    assert rows_at(rows, c=3) == [], "a run that has not started has no curve"


def test_modes_of_a_sweep(sweep):
    """At step 4 retain_only has rewards 0.3 and 0.5 and hack rates 0.1 and 0.2; the LoRA's policy counts as both."""
    rows = mode_rows(sweep.runs, ["reward", "hacked"], seed_numbers(sweep.runs))
    (row,) = rows_at(rows, c=0, m="retain_only", x=4, s=None)
    assert [row[name] for name in ("y0", "l0", "h0", "y1", "l1", "h1")] == [0.4, 0.3, 0.5, 0.15, 0.1, 0.2]
    (policy,) = rows_at(rows, c=2, s=None)
    assert policy == {"c": 2, "m": "both", "x": 4, "y0": 0.9, "y1": 1.0}
    assert {row["m"] for row in rows} == {"both", "retain_only", "forget_only"}


def test_the_end_of_a_sweep(sweep):
    """beta 0.01, both: hack rates 0.2 and 0.4, task rewards 0.8 and 0.7, rewards 0.4 and 0.6."""
    rows = end_rows(sweep.runs, seed_numbers(sweep.runs))
    (row,) = rows_at(rows, c=0, m="both", s=None)
    assert row == {"x": 0.3, "task": 0.75, "reward": 0.5, "rewards/task": 0.75, "c": 0, "m": "both", "n": 2}
    assert [(row["x"], row["task"]) for row in rows_at(rows, c=0, m="retain_only") if "s" in row] == [(0.15, 0.7), (0.35, 0.6)]
    (policy,) = rows_at(rows, c=2, m="both", s=None)
    assert (policy["x"], policy["task"], policy["n"]) == (1.0, 0.3, 1)
    assert {row["c"] for row in rows} == {0, 1, 2}


def test_a_run_without_a_hack_rate_is_not_in_the_picture_of_the_end():
    run = RunFiles("r", "full", "c", {}, final={"policy": {"reward": 0.5, "hacked": None, "step": 3}}, made_of=MADE_OF)
    assert end_rows([run], {"r": 0}) == []


def test_the_end_of_training_is_its_last_twenty_steps():
    run = RunFiles("r", "full", "c", {}, metrics={"step": list(range(30)), "reward": [9.0] * 10 + [1.0, None] * 10})
    assert at_the_end(run, "reward") == 1.0
    assert at_the_end(run, "kl") is None


def test_what_varies_is_what_has_several_values(sweep):
    assert choices(sweep) == {"beta": [0.01, 0.02, 0.1]}


def test_numbers_are_cut_to_what_a_picture_shows():
    assert [short(value) for value in (0.123456, 12345.6, 0.0)] == [0.1235, 12350.0, 0.0]
