"""Arms of a sweep, by hand: an axis of their own, their labels, controls and samples."""

from dataclasses import replace

from configs.experiment import AdapterSettings, RoutingSettings
from configs.sweep import Sweep, checked
from sweeps.plan import Sample, whole_if_small
from tests.sweeps.planned import ARMS, ROUTED, SHORT, launched, plan_of, refusal


def test_arms_are_the_slowest_axis_and_name_their_configurations():
    plan = plan_of(Sweep(SHORT, {"lr": [1e-3, 2e-3]}, arms=ARMS, seeds=[1, 2]))
    points = [(arm, lr, seed) for arm in ARMS for lr in (1e-3, 2e-3) for seed in (1, 2)]
    assert plan.axes == ("arm", "lr", "seed")
    assert [run.values for run in plan.runs] == [{"arm": arm, "lr": lr, "seed": seed} for arm, lr, seed in points]
    assert [run.configuration for run in plan.runs] == [f"{arm} lr={lr}" for arm, lr, _ in points]
    assert [run.kind for run in plan.runs] == ["routed"] * 8 + ["filter"] * 4 + ["unrouted"] * 4
    asked = {
        "classic": replace(SHORT, routing=RoutingSettings(enabled=True)),
        "exclusive, half retain rollouts": replace(SHORT, routing=RoutingSettings(True, "exclusive", 8)),
        "filter": replace(SHORT, adapter=AdapterSettings(kind="dual_lora"), baseline="filter"),
        "beta 0.1": replace(SHORT, adapter=AdapterSettings(kind="dual_lora"), beta=0.1, advantages="good_only"),
    }
    assert [run.config_hash for run in plan.runs] == [launched(replace(asked[arm], lr=lr, seed=seed)) for arm, lr, seed in points]
    assert plan.name.startswith("sweep_happy_binary_arm_lr_seed_")
    assert plan_of(Sweep(SHORT, arms={"a": {"reward": "happy_exp"}, "b": {}})).name.startswith("sweep_arm_")


def test_what_does_not_vary_is_not_in_an_arm_s_label():
    plan = plan_of(Sweep(SHORT, {"lr": [1e-3]}, arms=ARMS, seeds=[1, 2]))
    assert [run.configuration for run in plan.runs] == [arm for arm in ARMS for _ in range(2)]
    grid = {"routing.enabled": [True, False]}  # which no arm's name tells, though a kind does
    labels = [run.configuration for run in plan_of(Sweep(SHORT, grid, arms={"a": {"lr": 1e-3}, "b": {"lr": 2e-3}})).runs]
    assert labels == ["a routing.enabled=true", "a routing.enabled=false", "b routing.enabled=true", "b routing.enabled=false"]


def test_controls_of_arms_are_of_no_arm_unless_they_are_one():
    arms = {"classic": ARMS["classic"], "half": ARMS["classic"] | {"labels.fraction": 0.5}, "filter": ARMS["filter"]}
    plan = plan_of(Sweep(SHORT, {"beta": [0.1, 0.2]}, arms=arms, seeds=[1], baselines=["filter", "unrouted"]))
    names = {run.configuration: run.name for run in plan.runs}
    assert len(names) == len(plan.runs)
    known = {  # label: (values of its arm and beta, whose controls)
        **{f"{arm} beta={beta}": (arm, beta, []) for arm in ("classic", "half") for beta in (0.1, 0.2)},
        **{f"filter beta={beta} labels.fraction=1": ("filter", beta, [f"classic beta={beta}"]) for beta in (0.1, 0.2)},
        **{f"filter beta={beta} labels.fraction=0.5": (None, beta, [f"half beta={beta}"]) for beta in (0.1, 0.2)},
        **{f"unrouted beta={b} labels.fraction=1": (None, b, [f"classic beta={b}"]) for b in (0.1, 0.2)},
        **{f"unrouted beta={b} labels.fraction=0.5": (None, b, [f"half beta={b}"]) for b in (0.1, 0.2)},
    }
    assert {run.configuration: (run.values.get("arm"), run.values["beta"], [*run.baseline_of]) for run in plan.runs} == {
        label: (arm, beta, [names[twin] for twin in twins]) for label, (arm, beta, twins) in known.items()
    }
    alone = plan_of(Sweep(SHORT, arms={"classic": ARMS["classic"]}, seeds=[1], baselines=["unrouted"])).runs
    assert [(run.configuration, run.values) for run in alone] == [
        ("classic", {"arm": "classic", "seed": 1}),
        ("unrouted", {"seed": 1}),
    ]


def test_no_two_configurations_have_one_label_whatever_arms_are_called():
    arms = {"a": {}, "a lr=0.001": {"adapter.kind": "lora"}, "routed": {"beta": 0.1}}
    runs = plan_of(Sweep(ROUTED, {"lr": [1e-3, 2e-3]}, arms=arms | {"a lr=0.001": {"beta": 0.3}}, seeds=[1, 2])).runs
    assert len({run.configuration for run in runs}) == 6
    one_lr = plan_of(Sweep(ROUTED, {"lr": [1e-3, 2e-3]}, arms=arms | {"a lr=0.001": {"beta": 0.3}},
                           keep=lambda e: e.beta != 0.3 or e.lr == 1e-3)).runs  # fmt: skip
    labels = [run.configuration for run in one_lr]
    assert labels[1:3] == ["a lr=0.002", "a lr=0.001 lr=0.001"] and len({*labels}) == 5


def test_keep_sees_the_experiment_with_its_arm():
    plan = plan_of(Sweep(SHORT, {"seed": [1, 2]}, arms=ARMS, keep=lambda e: e.routing.enabled and (e.seed == 1 or e.beta == 0.1)))
    assert [tuple(run.values.values()) for run in plan.runs] == [(arm, 1) for arm in [*ARMS][:2]]


def test_a_sample_is_drawn_among_arms_and_grid():
    grid = {"lr": [1e-4, 3e-4, 1e-3], "seed": range(1, 4)}  # 36 points
    plan = plan_of(Sweep(SHORT, grid, arms=ARMS, sample=3))
    assert plan.sample == Sample(3, 36, 0)
    # Of test_the_same_seed_draws...: points 16, 27 and 30 of 36, nine to an arm, three to an lr.
    arms = [*ARMS]
    assert [tuple(run.values.values()) for run in plan.runs] == [(arms[1], 1e-3, 2), (arms[3], 1e-4, 1), (arms[3], 3e-4, 1)]


def test_a_sweep_no_larger_than_its_sample_may_be_run_whole():
    sweep = checked(Sweep(SHORT, arms=ARMS, seeds=[1, 2], keep=lambda e: e.seed == 1, sample=4, sample_seed=3))
    assert whole_if_small(sweep) == replace(sweep, sample=None, sample_seed=None)
    assert whole_if_small(replace(sweep, sample=3)) == replace(sweep, sample=3)
    assert whole_if_small(replace(sweep, sample=None, sample_seed=None)).sample is None


def test_what_the_command_line_fixes_no_arm_that_is_run_may_set():
    arms = {"early": {"max_steps": 2}, "whole": {}}
    sweep = Sweep(SHORT, arms=arms, seeds=[1, 2], fixed=frozenset({"max_steps", "lr"}))
    assert refusal(sweep) == "--max_steps 5: the arm early sets it"
    assert refusal(replace(sweep, sample=1, sample_seed=1)) == "--max_steps 5: the arm early sets it"
    (run,) = plan_of(replace(sweep, sample=1)).runs
    assert (run.values["arm"], run.experiment.max_steps) == ("whole", 5)
