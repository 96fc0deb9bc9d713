"""The shipped sweeps are the experiments whose figures the documentation gives: a changed hash is another experiment."""

from functools import partial
from pathlib import Path

import pytest

from configs.sweep import load_sweep
from envs.prepare import folder_of, prepare
from sweeps.plan import PlannedRun, make_plan

FOLDER = Path(__file__).parents[2] / "configs" / "sweeps"


def planned_runs(name: str) -> list[PlannedRun]:
    return [*make_plan(load_sweep(FOLDER / f"{name}.py"), partial(prepare, cuda_available=False), folder_of, name).runs]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_every_file_is_a_sweep_and_says_how_it_is_run(file: Path):
    assert planned_runs(file.stem)
    assert f"uv run sweep.py configs/sweeps/{file.name}" in file.read_text()


def test_happy_binary_is_three_routed_runs():
    hashes = {run.values["seed"]: run.config_hash for run in planned_runs("happy_binary")}
    assert hashes == {42: "691b0e30ae31", 123: "828c6adfaad2", 7: "87715ebcef38"}


def test_routing_ablation_is_the_runs_of_its_table():
    """Exclusive routing stands there at the high learning rate with two seeds; both modes share their controls."""
    runs = planned_runs("routing_ablation")
    assert [(run.kind, run.experiment.treatment.mode, run.values["lr"], run.values["seed"], run.config_hash) for run in runs] == [
        ("routed", "classic", 3e-4, 42, "1bc57a68c2cf"),
        ("routed", "classic", 3e-4, 123, "4bc3e9d39b96"),
        ("routed", "classic", 3e-4, 7, "2dfc0d81d596"),
        ("routed", "classic", 1e-3, 42, "8e249a1bbc13"),
        ("routed", "classic", 1e-3, 123, "26d937756d6a"),
        ("routed", "classic", 1e-3, 7, "d506f7cf069e"),
        ("routed", "exclusive", 1e-3, 42, "7e4589ef04cb"),
        ("routed", "exclusive", 1e-3, 123, "94b47e59d32e"),
        ("unrouted", "none", 3e-4, 42, "10838c5ff4fd"),
        ("unrouted", "none", 3e-4, 123, "4d78bedcf4ab"),
        ("unrouted", "none", 3e-4, 7, "5f79445bb803"),
        ("unrouted", "none", 1e-3, 42, "b8462d281e44"),
        ("unrouted", "none", 1e-3, 123, "6e27de592219"),
        ("unrouted", "none", 1e-3, 7, "1f80545963db"),
    ]
    assert [len(run.baseline_of) for run in runs if run.kind == "unrouted"] == [1, 1, 1, 2, 2, 1]


def test_template_collapse_is_six_cases_of_two_seeds():
    runs = planned_runs("template_collapse")
    hashes = {tuple(run.values[name] for name in ("reward", "lr", "beta", "seed")): run.config_hash for run in runs}
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
