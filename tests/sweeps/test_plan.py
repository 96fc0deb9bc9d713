"""Plans by hand: which runs, whose controls, their names and labels; and that a plan needs no torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.baselines import BASELINES
from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment
from configs.sweep import Sweep, checked
from envs.prepare import folder_of, prepare
from sweeps.plan import make_plan
from tests.sweeps.planned import ROUTED, launched, plan_of, refusal

ROOT = Path(__file__).parents[2]


def test_two_by_two_with_controls(tmp_path: Path):
    base = replace(ROUTED, output_dir=tmp_path)
    plan = plan_of(Sweep(base, {"beta": [0.01, 0.02]}, seeds=[1, 2], baselines=["unrouted", "lora"]), "mine")
    assert (plan.name, plan.folder, plan.axes) == ("mine", tmp_path / "mine", ("beta", "seed"))
    names = {
        "routed": "happy_binary_routed_duallora4x4_lr1e-3_beta{}_bs32_s{}_max_steps5",
        "unrouted": "happy_binary_unrouted_duallora4x4_lr1e-3_beta{}_bs32_s{}_max_steps5_advantagesgood_only",
        "lora": "happy_binary_unrouted_lora8_lr1e-3_beta{}_bs32_s{}_max_steps5_advantagesgood_only_alpha32",
    }
    combinations = [(0.01, 1), (0.01, 2), (0.02, 1), (0.02, 2)]
    assert [(run.name, run.kind, run.configuration, run.values, run.baseline_of) for run in plan.runs] == [
        (
            names[kind].format(beta, seed),
            kind,
            f"{kind} beta={beta}",
            {"beta": beta, "seed": seed},
            () if kind == "routed" else (names["routed"].format(beta, seed),),
        )
        for kind in names
        for beta, seed in combinations
    ]
    asked = [replace(base, beta=beta, seed=seed) for beta, seed in combinations]
    controls = [BASELINES[kind](each) for kind in ("unrouted", "lora") for each in asked]
    assert [run.config_hash for run in plan.runs] == [launched(each) for each in asked + controls]
    for run in plan.runs:
        assert run.experiment.output_dir == plan.folder
        assert run.experiment.wandb.group == "mine"
        assert folder_of(run.experiment) == plan.folder / run.name
        assert (run.experiment.device, run.experiment.env.detector) == ("cpu", "happy_at_least(threshold=3)")


def test_a_control_of_several_routed_runs_is_planned_once():
    plan = plan_of(Sweep(ROUTED, {"routing.mode": ["classic", "exclusive"]}, seeds=[1], baselines=["unrouted"]))
    classic, exclusive, control = plan.runs
    assert control.baseline_of == (classic.name, exclusive.name)
    assert control.values == {"seed": 1}
    labels = [run.configuration for run in plan.runs]
    assert labels == ["routed routing.mode=classic", "routed routing.mode=exclusive", "unrouted"]


def test_a_control_that_is_in_the_grid_is_planned_once():
    base = replace(ROUTED, adapter=AdapterSettings(kind="dual_lora"), advantages="good_only")
    plan = plan_of(Sweep(base, {"routing.enabled": [True, False]}, seeds=[1, 2], baselines=["unrouted", "filter"]))
    routed = [run.name for run in plan.runs[:2]]
    assert [run.kind for run in plan.runs] == ["routed"] * 2 + ["unrouted"] * 2 + ["filter"] * 2
    assert [run.baseline_of for run in plan.runs] == [(), (), *((name,) for name in routed * 2)]
    assert plan.runs[2].values == {"routing.enabled": False, "seed": 1}
    assert plan.runs[4].values == {"seed": 1}
    assert [run.configuration for run in plan.runs] == ["routed"] * 2 + ["unrouted"] * 2 + ["filter"] * 2


LABELS = [
    ({"seed": [1, 2]}, [], ["full"] * 2),
    ({"beta": [0.1, 0.25], "reward": ["happy_exp", "happy_count(cap=5)"]}, [], [
        "full beta=0.1 reward=happy_exp",
        "full beta=0.1 reward=happy_count(cap=5)",
        "full beta=0.25 reward=happy_exp",
        "full beta=0.25 reward=happy_count(cap=5)",
    ]),
    ({"routing.enabled": [True, False], "beta": [0.1]}, [], ["routed", "full"]),
    ({"adapter.kind": ["none", "lora", "dual_lora"]}, [], ["full", "lora", "unrouted"]),
    ({"baseline": ["none", "filter"], "adapter.kind": ["lora", "dual_lora"]}, [], [
        "lora", "unrouted", "filter adapter.kind=lora", "filter adapter.kind=dual_lora",
    ]),
    ({"routing.enabled": [True], "adapter.preset": ["r1", "r4"]}, ["unrouted", "lora"], [
        "routed adapter.preset=r1", "routed adapter.preset=r4",
        "unrouted adapter.preset=r1", "unrouted adapter.preset=r4",
        "lora adapter.rank=2 adapter.alpha=2", "lora adapter.rank=8 adapter.alpha=8",
    ]),
    ({"routing.enabled": [True], "adapter.retain_rank": [4, 2]}, ["lora"], [
        "routed adapter.retain_rank=4", "routed adapter.retain_rank=2", "lora adapter.rank=8", "lora adapter.rank=6",
    ]),
    ({"log_all_samples": [True, False]}, [], ["full log_all_samples=true", "full log_all_samples=false"]),
    ({"beta": [0.1, 0.1000000001]}, [], ["full beta=0.1", "full beta=0.1000000001"]),
]  # fmt: skip


@pytest.mark.parametrize(("grid", "baselines", "labels"), LABELS)
def test_labels_are_short_and_tell_configurations_apart(grid: dict, baselines: list[str], labels: list[str]):
    assert [run.configuration for run in plan_of(Sweep(grid=grid, baselines=baselines)).runs] == labels


def combination(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"components": [{"role": "retain"} | component for component in components], **more}


def test_rewards_of_the_same_name_have_different_labels():
    counts = [{"name": "happy_count", "params": {"cap": cap}} for cap in (3, 5)]
    rewards = [combination({"name": "happy_exp", "scale": 0.5}, count) for count in counts]
    rewards += [combination(counts[0], cap=cap) for cap in (0.5, 1.0)] + ["happy_exp"]
    assert [run.configuration for run in plan_of(Sweep(grid={"reward": rewards})).runs] == [
        "full reward=0.5*happy_exp+happy_count(cap=3)",
        "full reward=0.5*happy_exp+happy_count(cap=5)",
        "full reward=happy_count(cap=3)(cap=0.5)",
        "full reward=happy_count(cap=3)(cap=1)",
        "full reward=happy_exp",
    ]
    named = [combination(count, name="counted") for count in counts]
    first, second = (run.configuration for run in plan_of(Sweep(grid={"reward": named})).runs)
    assert first.startswith("full reward=counted ") and first != second


def test_keep_leaves_combinations_out():
    plan = plan_of(Sweep(Experiment(), {"beta": [0.0, 0.1], "lr": [1e-5, 1e-4]}, keep=lambda e: e.beta > 0 or e.lr == 1e-4))
    assert [run.values for run in plan.runs] == [{"beta": 0.0, "lr": 1e-4}, {"beta": 0.1, "lr": 1e-5}, {"beta": 0.1, "lr": 1e-4}]
    # What can not run need not be planned.
    assert len(plan_of(Sweep(grid={"batch_size": [40, 32]}, keep=lambda e: e.batch_size == 32)).runs) == 1


def test_a_sweep_without_axes_is_one_run():
    (run,) = plan_of(Sweep()).runs
    assert (run.configuration, run.values, run.config_hash) == ("full", {}, launched(Experiment()))


# Names


def test_the_name_is_readable_and_that_of_the_same_runs():
    sweep = Sweep(Experiment(reward="sentence_length_5"), {"seed": [1, 2], "grpo.num_iterations": [1, 2]})
    name = plan_of(sweep).name
    assert name.startswith("sweep_sentence_length_5_seed_num_iterations_")
    assert len(name.rpartition("_")[2]) == 8
    turned = replace(sweep, grid={"seed": [2, 1], "grpo.num_iterations": [2, 1]})
    elsewhere = replace(sweep, base=replace(sweep.base, output_dir=Path("elsewhere")))
    assert plan_of(turned).name == plan_of(elsewhere).name == name
    assert plan_of(replace(sweep, seeds=[], grid={"seed": [1, 3]})).name.rpartition("_")[2] != name.rpartition("_")[2]
    assert plan_of(Sweep(grid={"reward": ["happy_exp", "happy_binary"]})).name.startswith("sweep_reward_")


def test_the_base_s_name_is_the_sweep_s_folder_and_its_runs_have_none(tmp_path: Path):
    base = replace(ROUTED, output_dir=tmp_path, tags=("pilot",), notes="first try")
    named, plain = (plan_of(Sweep(base, seeds=[1, 2], baselines=["lora"]), name) for name in ("mine", None))
    assert (named.folder, named.name) == (tmp_path / "mine", "mine")
    assert [run.name for run in named.runs] == [run.name for run in plain.runs]
    assert {(run.experiment.name, run.experiment.tags, run.experiment.notes) for run in named.runs} == {
        ("", ("pilot",), "first try")
    }


def test_a_run_s_folder_is_no_sweep_s(tmp_path: Path):
    base = Experiment(output_dir=tmp_path)
    (tmp_path / "run").mkdir()
    assert plan_of(Sweep(base), "run").folder == tmp_path / "run"
    (tmp_path / "run" / "config.yaml").write_text("")
    assert refusal(Sweep(base), "run") == f"--name run: {tmp_path}/run is a run, not a sweep's folder"
    (tmp_path / "file").write_text("")
    assert refusal(Sweep(base), "file") == f"--name file: {tmp_path}/file is a file, not a sweep's folder"


# What is wrong

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"grid": {"beta": [0.1, -1], "seed": [3]}}, "in grid: --beta -1.0: must be 0 or more"),
    ({"grid": {"reward": ["happy_binary", "happy_sad"]}}, "reward=happy_sad: --reward happy_sad: "),
    ({"grid": {"batch_size": [32, 40]}}, "batch_size=40: --batch_size 40: must be a multiple of --num_generations 16"),
    ({"grid": {"routing.mode": ["exclusive"]}}, "routing.mode=exclusive: --routing.mode exclusive: has no effect without"),
    (
        {"base": replace(ROUTED, baseline="filter"), "baselines": ["lora"], "seeds": [1]},
        "seed=1: --baseline filter: contradicts --routing.enabled",
    ),
    ({"grid": {"lr": [None, 1e-5], "seed": [1]}}, "lr=None seed=1 and lr=1e-05 seed=1 are the same run"),
    ({"grid": {"device": ["auto", "cpu"]}}, "device=auto and device=cpu are the same run"),
    (
        {"grid": {"routing.mode": ["none"], "routing.enabled": [True, False], "adapter.kind": ["dual_lora"]}},
        "routing.mode=none routing.enabled=false adapter.kind=dual_lora: --routing.mode none: has no effect without",
    ),
    ({"grid": {"seed": [1]}, "baselines": ["lora"]}, "--baselines: has no effect, for no run is routed"),
    ({"grid": {"seed": [1]}, "keep": lambda _: False}, "keep: leaves none of the combinations"),
    ({"arms": {"a": {"lr": None}, "b": {"lr": 1e-5}}, "seeds": [1]}, "arm=a seed=1 and arm=b seed=1 are the same run"),
    (
        {"arms": {"a": {"lr": None}, "b": {"lr": 1e-5}}, "seeds": [1, 2], "keep": lambda e: (e.lr is None) == (e.seed == 1)},
        "arm=a seed=1 and arm=b seed=2 are the same but for the seed",
    ),
    # At its default, but somebody wrote it; in another arm it stands idle.
    (
        {"arms": {"a": {"routing.enabled": True}, "b": {"routing.mode": "classic"}}},
        "arm=b: --routing.mode classic: has no effect without",
    ),
    (
        {"arms": {"a": {"grpo.kl_estimator": "k3"}}, "grid": {"beta": [0.1, 0]}},
        "arm=a beta=0: --grpo.kl_estimator k3: has no effect with --beta 0",
    ),
    ({"arms": {"a": {"batch_size": 40}}}, "arm=a: --batch_size 40: must be a multiple"),
    (
        {"grid": {"seed": [1]}, "keep": lambda e: e.sed},
        "keep: AttributeError: 'Experiment' object has no attribute 'sed' (seed=1)",
    ),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_what_is_wrong_names_the_combination(settings: dict, message: str):
    assert refusal(Sweep(**settings)).startswith(message)


def test_a_control_that_can_not_run_is_named():
    base = replace(ROUTED, adapter=AdapterSettings(kind="dual_lora"))

    def without_lora(asked: Experiment) -> Experiment:
        if asked.adapter.kind == "lora":
            raise UserError("--adapter.kind lora: not here")
        return prepare(asked, cuda_available=False)

    with pytest.raises(UserError) as caught:
        make_plan(checked(Sweep(base, seeds=[3], baselines=["lora"])), without_lora, folder_of)
    assert str(caught.value) == "the lora control of seed=3: --adapter.kind lora: not here"


def test_runs_of_the_same_folder_are_refused():
    said = "device=cuda and device=cpu would have the same folder, happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42"
    with pytest.raises(UserError, match=said):
        plan_of(Sweep(grid={"device": ["cuda", "cpu"]}), cuda=True)


# Speed

CODE = """
import sys
from functools import partial
from sweep import parse_options
from envs.prepare import folder_of, prepare
from sweeps.plan import make_plan
from sweeps.plan_files import plan_record
words = ["--grid", "seed=" + ",".join(map(str, range(100))), "beta=0.01,0.02,0.03", "--fixed", "lr=1e-5"]
plan = make_plan(parse_options(words)[1], partial(prepare, cuda_available=False), folder_of)
print(len(plan_record(plan)["runs"]), [name for name in ("torch", "transformers", "datasets", "pandas") if name in sys.modules])
"""


def test_three_hundred_runs_are_planned_at_once_and_without_torch():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "300 []\n"
