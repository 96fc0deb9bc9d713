"""A sample of a grid: which points, in which order, as likely as others, and with their controls."""

from dataclasses import replace

import pytest

from configs.sweep import Sweep
from sweeps.plan import Plan, Sample, drawn
from tests.sweeps.planned import GRID, ROUTED, plan_of, refusal


def points(plan: Plan) -> list[tuple]:
    return [tuple(run.values.values()) for run in plan.runs if not run.baseline_of]


def test_a_sample_is_of_distinct_points_in_the_grid_s_order():
    whole, sampled = plan_of(Sweep(ROUTED, GRID)), plan_of(Sweep(ROUTED, GRID, sample=10))
    assert sampled.sample == Sample(points=10, of=36, seed=0)
    assert whole.sample is None and whole.axes == sampled.axes
    assert len({*points(sampled)}) == 10
    assert points(sampled) == [point for point in points(whole) if point in {*points(sampled)}]
    assert {run.name for run in sampled.runs} < {run.name for run in whole.runs}


def test_the_same_seed_draws_the_same_points_and_a_larger_sample_holds_them():
    draws = [Sweep(ROUTED, GRID, sample=count, sample_seed=seed) for count, seed in ((10, 0), (10, 1), (11, 0))]
    first, other, more = map(plan_of, draws)
    assert plan_of(replace(draws[0], sample_seed=None)) == first
    assert {*points(first)} < {*points(more)} and points(first) != points(other)
    # By hand: uniforms 0.844, 0.758, 0.421 of random.Random(0); of 36, 35 and 34 left, moved as in a shuffle.
    assert drawn(Sample(3, 36, 0)) == [int(0.844 * 36), 1 + int(0.758 * 35), 2 + int(0.421 * 34)] == [30, 27, 16]
    assert sorted(drawn(Sample(36, 36, 5))) == [*range(36)]


def test_all_points_are_as_likely():
    draws = [drawn(Sample(2, 5, seed)) for seed in range(4000)]
    counts = [sum(i in draw for draw in draws) for i in range(5)]
    assert all(abs(count - 1600) < 4 * (4000 * 0.4 * 0.6) ** 0.5 for count in counts)  # four standard errors


def test_a_sample_brings_its_controls_along_and_heeds_keep():
    sweep = Sweep(ROUTED, GRID, baselines=["unrouted"], sample=6, keep=lambda experiment: experiment.seed < 3)
    plan = plan_of(sweep)
    assert plan.sample == Sample(6, 18, 0)
    assert all(seed < 3 for _, _, seed in points(plan))
    assert [name for run in plan.runs if run.kind == "unrouted" for name in run.baseline_of] == [
        run.name for run in plan.runs[:6]
    ]


def test_points_of_a_huge_grid_are_not_all_made():
    grid = {name: range(1, 300) for name in ("seed", "max_steps", "env.num_prompts", "env.num_eval_prompts")}
    assert len(plan_of(Sweep(grid=grid, sample=3)).runs) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample": 36}, "--sample 36: has no effect: the grid has 36 points"),
        ({"sample": 0}, "--sample 0: must be at least 1"),
        ({"sample": 2.0}, "--sample 2.0: must be at least 1"),
        ({"sample": 2, "sample_seed": -1}, "--sample_seed -1: must be 0 or more"),
        ({"sample_seed": 0}, "--sample_seed 0: has no effect without --sample"),
    ],
)
def test_what_is_wrong_with_a_sample(settings: dict, message: str):
    assert refusal(Sweep(ROUTED, GRID, **settings)) == message
