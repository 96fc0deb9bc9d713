"""Runs that no plan belongs to, as a sweep."""

from pathlib import Path
from typing import Any

from records.reader import RunFiles
from reports.loose import distinct_names, loose_sweep
from tests.reports.report_runs import CONFIG


def made(name: str, kind: str = "routed", **config: Any) -> RunFiles:
    return RunFiles(name, kind, name, {}, config=CONFIG | config)


def test_a_configuration_is_told_by_its_kind_and_by_what_varies_among_runs_of_its_kind():
    lora = {"routing": {"enabled": False}, "adapter": {"kind": "lora", "rank": 8}, "lr": 0.1}
    sweep = loose_sweep("x", [made("a"), made("b", seed=2), made("c", beta=0.5), made("d", "lora", **lora)])
    assert sweep.axes == ("seed", "beta")
    assert [run.configuration for run in sweep.runs] == [
        "routed beta=0.01",
        "routed beta=0.01",
        "routed beta=0.5",
        "lora beta=0.01",
    ]
    assert sweep.runs[1].values == {"seed": 2, "beta": 0.01}


def test_where_a_run_lies_and_how_it_is_shown_make_no_difference():
    wandb = {"mode": "offline", "group": "x"}
    sweep = loose_sweep("x", [made("a", output_dir="a"), made("b", wandb=wandb, output_dir="b", seed=2)])
    assert sweep.axes == ("seed",) and {run.configuration for run in sweep.runs} == {"routed"}


def test_the_same_seed_twice_is_no_two_seeds():
    sweep = loose_sweep("x", [made("a"), made("b"), made("c", beta=0.5)])
    assert [run.configuration for run in sweep.runs] == ["routed beta=0.01 a", "routed beta=0.01 b", "routed beta=0.5"]


def test_folders_of_the_same_name_are_told_apart_by_their_paths(tmp_path: Path):
    assert distinct_names([tmp_path / "x" / "a", tmp_path / "x" / "b"]) == ["a", "b"]
    assert distinct_names([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == ["x/a", "y/a"]
