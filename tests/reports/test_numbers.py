"""The numbers that are drawn, by hand."""

from pathlib import Path

import pandas as pd
import pytest

from records.reader import RunFiles, read_sweep
from reports.charts import TRAINING
from reports.choices import choices
from reports.numbers import (
    band_rows,
    bin_width,
    end_rows,
    mode_rows,
    paired_rows,
    places,
    rounded,
    run_rows,
    seed_rows,
    training_rows,
    with_step_zero,
)
from reports.run_tables import at_the_end
from tests.reports.report_runs import MADE_OF, write_sweep


@pytest.fixture
def sweep(tmp_path: Path):
    return read_sweep(write_sweep(tmp_path / "sweep"), list(TRAINING), iter)


def rows_at(rows: list[dict], **where) -> list[dict]:
    """Those whose entries are `where`; one that a row lacks is None."""
    return [row for row in rows if all(row.get(name) == value for name, value in where.items())]


def places_of(steps, points: int = 100) -> list[float]:
    return places(pd.Series(steps, dtype=float), points).tolist()


def test_up_to_a_hundred_steps_stand_where_they_are():
    assert places_of(range(100)) == [*range(100)]
    assert places_of([0, 100, 200, 250]) == [0, 100, 200, 250]
    assert places_of([]) == []


def test_more_are_drawn_together_in_the_middle_of_their_bin():
    """250 steps in bins of 3: the first has steps 0, 1, 2; the last has step 249 alone and its middle is 250."""
    where = places_of(range(250))
    assert bin_width(range(250)) == 3
    assert [where[step] for step in (0, 1, 2, 3, 249)] == [1, 1, 1, 4, 250]
    assert len(set(where)) == 84
    assert len(set(places_of(range(2000)))) == 100
    assert len(set(places_of(range(2000), 50))) == 50
    assert places_of(range(2000))[0] == 9.5


def run_of(**metrics: list[float | None]) -> RunFiles:
    return RunFiles("r", "full", "c", {}, metrics=metrics)


def test_a_mean_is_of_the_values_that_there_are_and_else_there_is_a_gap():
    """200 steps in bins of 2."""
    rewards: list[float | None] = [1.0, None, None, None, 2.0, 0.0, *[None] * 194]
    rows = run_rows(run_of(step=[*range(200)], reward=rewards, kl=[0.5] + [None] * 199), ["reward", "kl", "entropy"])
    assert rows == [{"x": 0.5, "y0": 1.0, "y1": 0.5}, {"x": 4.5, "y0": 1.0, "l0": 0.0, "h0": 2.0}]
    assert run_rows(run_of(), ["reward"]) == []


def test_two_runs_are_paired_where_both_have_been():
    a, b = run_of(step=[0, 1, 2], reward=[0.25, 0.5, None]), run_of(step=[1, 2, 3], reward=[0.75, 1.0, 1.0])
    rows = paired_rows({"A": a, "B": b}, ["reward"])
    assert [(row["x"], row["y0"]) for row in rows_at(rows, r="A") if "y0" in row] == [(0, 0.25), (1, 0.5)]
    assert [(row["x"], row["y0"]) for row in rows_at(rows, r="B")] == [(1, 0.75), (2, 1.0), (3, 1.0)]
    assert [(row["x"], row["d0"]) for row in rows if "d0" in row] == [(1, 0.25)]
    three = paired_rows({"A": a, "B": b, "C": a}, ["reward"])
    assert [row["y0"] for row in rows_at(three, r="C") if "y0" in row] == [0.25, 0.5] and not any("d0" in row for row in three)


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    seeds = pd.DataFrame(
        [(3, 0, 1.0, None), (3, 5, 2.0, 7.0), (3, 0, 4.0, None), (3, 9, None, None)], columns=["c", "x", "a", "b"]
    )
    rows = band_rows(seeds, ["a", "b"], ["c", "x"])
    assert rows == [{"c": 3, "x": 0, "y0": 2.5, "l0": 1.0, "h0": 4.0}, {"c": 3, "x": 5, "y0": 2.0, "y1": 7.0}]


def test_each_seed_follows_by_itself():
    rows = seed_rows(pd.DataFrame([(0, 4, 0, 1.0), (0, 6, 0, 3.0)], columns=["c", "s", "x", "a"]), ["a"], ["c"])
    assert rows == [{"c": 0, "x": 0, "y0": 2.0, "l0": 1.0, "h0": 3.0}, {"c": 0, "s": 4, "x": 0, "y0": 1.0},
                    {"c": 0, "s": 6, "x": 0, "y0": 3.0}]  # fmt: skip


def test_training_curves_of_a_sweep(sweep):
    """beta 0.01 at step 3: rewards 0.4 and 0.6, hack rates 0.2 and 0.4. beta 0.02 goes on with one seed after step 1."""
    rows = training_rows(sweep.runs, list(TRAINING))
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
    rows = mode_rows(sweep.runs, ["reward", "hacked"])
    (row,) = rows_at(rows, c=0, m="retain_only", x=4, s=None)
    assert [row[name] for name in ("y0", "l0", "h0", "y1", "l1", "h1")] == [0.4, 0.3, 0.5, 0.15, 0.1, 0.2]
    (policy,) = rows_at(rows, c=2, s=None)
    assert policy == {"c": 2, "m": "both", "x": 4, "y0": 0.9, "y1": 1.0}
    assert {row["m"] for row in rows} == {"both", "retain_only", "forget_only"}


def evaluated(**config) -> RunFiles:
    """Evaluated at steps 0, the base alone, and 50."""
    rows = [(0, "base", 0.25), (50, "both", 0.75), (50, "retain_only", 0.5), (50, "base", 0.25)]
    evaluations = [{"step": step, "mode": mode, "reward": reward} for step, mode, reward in rows]
    return RunFiles("r", "routed", "c", {}, config=config, evaluations=evaluations)


def test_before_the_first_update_every_mode_is_the_base():
    rows = [(row["step"], row["mode"], row["reward"]) for row in with_step_zero(evaluated())]
    assert rows[:2] == [(0, "both", 0.25), (0, "retain_only", 0.25)] and rows[2][:2] == (0, "base")
    drawn = mode_rows([evaluated()], ["reward"])
    assert [(row["m"], row["x"], row["y0"]) for row in drawn if "s" not in row] == [
        ("both", 0, 0.25), ("both", 50, 0.75), ("retain_only", 0, 0.25), ("retain_only", 50, 0.5)]  # fmt: skip


def test_a_run_from_another_s_weights_or_without_a_base_starts_where_it_was_evaluated():
    assert [row["step"] for row in with_step_zero(evaluated(continue_from="output/a")) if row["mode"] == "both"] == [50]
    run = evaluated()
    del run.evaluations[0]
    assert with_step_zero(run) == run.evaluations


def test_the_end_of_a_sweep(sweep):
    """beta 0.01, both: hack rates 0.2 and 0.4, task rewards 0.8 and 0.7, rewards 0.4 and 0.6."""
    rows = end_rows(sweep.runs)
    (row,) = rows_at(rows, c=0, m="both", s=None)
    assert row == {"x": 0.3, "task": 0.75, "reward": 0.5, "rewards/task": 0.75, "c": 0, "m": "both", "n": 2}
    assert [(row["x"], row["task"]) for row in rows_at(rows, c=0, m="retain_only") if "s" in row] == [(0.15, 0.7), (0.35, 0.6)]
    (policy,) = rows_at(rows, c=2, m="both", s=None)
    assert (policy["x"], policy["task"], policy["n"]) == (1.0, 0.3, 1)
    assert {row["c"] for row in rows} == {0, 1, 2}


def test_a_run_without_a_hack_rate_is_not_in_the_picture_of_the_end():
    run = RunFiles("r", "full", "c", {}, final={"policy": {"reward": 0.5, "hacked": None, "step": 3}}, made_of=MADE_OF)
    assert end_rows([run]) == []


def test_the_end_of_training_is_its_last_twenty_steps():
    run = RunFiles("r", "full", "c", {}, metrics={"step": list(range(30)), "reward": [9.0] * 10 + [1.0, None] * 10})
    assert at_the_end(run, "reward") == 1.0
    assert at_the_end(run, "kl") is None


def test_what_varies_is_what_has_several_values(sweep):
    assert choices(sweep) == {"beta": [0.01, 0.02, 0.1]}


def test_numbers_are_cut_to_what_a_picture_shows():
    assert [rounded(value) for value in (0.123456, 12345.6, 0.0)] == [0.1235, 12350.0, 0.0]
