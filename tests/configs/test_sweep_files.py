"""The shipped sweeps are the experiments whose figures the documentation gives: a changed hash is another experiment."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from configs.naming import config_hash
from configs.sweep import Series, Sweep, load_file, load_sweep
from envs.prepare import folder_of, prepare
from sweeps.plan import PlannedRun, make_plan

FOLDER = Path(__file__).parents[2] / "configs" / "sweeps"


def planned_runs(name: str) -> list[PlannedRun]:
    return planned(load_sweep(FOLDER / f"{name}.py"))


def planned(sweep: Sweep) -> list[PlannedRun]:
    return [*make_plan(sweep, partial(prepare, cuda_available=False), folder_of).runs]


def first_hash(run: PlannedRun) -> str:
    """Of the run as it was when its figures were made: evaluated with draws of its own."""
    return config_hash(replace(run.experiment, eval=replace(run.experiment.eval, seed="run")))


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_every_file_is_a_sweep_or_a_series_and_says_how_it_is_run(file: Path):
    built = load_file(file)
    assert all(planned(sweep) for sweep in (built.sweeps.values() if isinstance(built, Series) else [built]))
    assert f"uv run sweep.py configs/sweeps/{file.name}" in file.read_text()


def test_happy_binary_is_three_routed_runs():
    hashes = {run.values["seed"]: first_hash(run) for run in planned_runs("happy_binary")}
    assert hashes == {42: "691b0e30ae31", 123: "828c6adfaad2", 7: "87715ebcef38"}


def test_routing_ablation_is_masks_times_rules_over_three_seeds():
    """Four arms a seed, all else equal, evaluations included; the detector is that of the reward, which sees every hack."""
    runs = planned_runs("routing_ablation")
    arms = {(run.kind, run.experiment.treatment.mode, run.experiment.advantages, run.values["seed"]) for run in runs}
    masks = {"routed": "classic", "unrouted": "none"}
    assert arms == {(kind, masks[kind], rule, seed) for kind in masks for rule in ("good_only", "group") for seed in (42, 123, 7)}
    assert len(runs) == 12
    assert {len(run.baseline_of) for run in runs if (run.kind, run.experiment.advantages) != ("routed", "good_only")} == {1}
    alike = [replace(run.experiment, treatment=runs[0].experiment.treatment, advantages="", seed=0) for run in runs]
    assert all(each == alike[0] for each in alike)
    assert {(run.experiment.env.detector, run.experiment.eval.seed) for run in runs} == {("happy_at_least(threshold=1)", 0)}


def test_template_collapse_is_six_cases_of_two_seeds():
    runs = planned_runs("template_collapse")
    hashes = {tuple(run.values[name] for name in ("reward", "lr", "beta", "seed")): first_hash(run) for run in runs}
    assert hashes == {
        ("happy_binary", 3e-4, 0.02, 1): "7c3e3755a644",
        ("happy_binary", 3e-4, 0.02, 2): "40ac28fa8585",
        ("sentence_length_10_smooth", 3e-4, 0.02, 1): "3d5e2c1fda87",
        ("sentence_length_10_smooth", 3e-4, 0.02, 2): "095785f4cf7d",
        ("sentence_length_5", 3e-4, 0.02, 1): "0ad9d09b7e65",
        ("sentence_length_5", 3e-4, 0.02, 2): "3ee64bd52137",
        ("happy_count(cap=20)", 3e-3, 0.0, 1): "832373d27015",
        ("happy_count(cap=20)", 3e-3, 0.0, 2): "35ba33e5164b",
        ("sentence_length_5", 3e-3, 0.0, 1): "c1e07190a471",
        ("sentence_length_5", 3e-3, 0.0, 2): "a514d788e1d0",
        ("sentence_length_10", 3e-3, 0.0, 1): "40490c92bcae",
        ("sentence_length_10", 3e-3, 0.0, 2): "538bac1bfc5c",
    }
