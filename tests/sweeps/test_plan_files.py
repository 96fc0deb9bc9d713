"""What a plan writes, which is all that its runs and whoever reads the sweep know of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from configs.baselines import BASELINES
from configs.cli import ExperimentOptions, parse_with_config
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash
from configs.sweep import Sweep
from envs.prepare import folder_of, prepare
from records.reader import read_sweep
from reports.choices import dropdowns, runs_of_page
from sweeps.plan_files import plan_record, strangers, write_plan
from sweeps.summary import flat_rows, summarize_sweep
from tests.sweeps.planned import ARMS, GRID, ROUTED, SHORT, plan_of


def test_the_files_of_a_plan(tmp_path: Path):
    reward = {"components": [{"name": "happy_exp", "role": "retain", "scale": 0.5}], "cap": 1.0}
    sweep = Sweep(
        replace(ROUTED, output_dir=tmp_path), {"reward": [reward, "happy_count(cap=5)"], "seed": [1]}, baselines=["lora"]
    )
    plan = plan_of(sweep, "mine")
    write_plan(plan)
    assert sorted(path.name for path in plan.folder.iterdir()) == ["configs", "sweep.json"]
    assert json.loads((plan.folder / "sweep.json").read_text()) == plan_record(plan) == {
        "name": "mine",
        "axes": ["reward", "seed"],
        "sample": None,
        "runs": [
            {
                "name": run.name,
                "config_hash": run.config_hash,
                "kind": kind,
                "configuration": f"{kind} reward={told}",
                "values": {"reward": value, "seed": 1},
                "baseline_of": [] if kind == "routed" else [plan.runs[i % 2].name],
            }
            for i, (run, kind, told, value) in enumerate(
                zip(plan.runs, ["routed"] * 2 + ["lora"] * 2, ["happy_exp", "happy_count(cap=5)"] * 2,
                    [reward, "happy_count(cap=5)"] * 2, strict=True)
            )
        ],
    }  # fmt: skip
    assert sorted(path.name for path in (plan.folder / "configs").iterdir()) == sorted(f"{run.name}.yaml" for run in plan.runs)
    before = {path: path.read_bytes() for path in plan.folder.rglob("*") if path.is_file()}
    write_plan(plan_of(sweep, "mine"))
    assert {path: path.read_bytes() for path in plan.folder.rglob("*") if path.is_file()} == before


def test_the_settings_of_a_run_are_yaml(tmp_path: Path):
    plan = plan_of(Sweep(Experiment(output_dir=tmp_path)), "mine")
    write_plan(plan)
    settings = yaml.safe_load((plan.folder / "configs" / f"{plan.runs[0].name}.yaml").read_text())
    assert (settings["output_dir"], settings["wandb"]["group"], settings["device"]) == (str(tmp_path / "mine"), "mine", "cpu")


def test_launch_takes_a_run_s_settings_as_they_were_planned(tmp_path: Path):
    base = replace(ROUTED, output_dir=tmp_path / "a b", reward="sentence_length_5_with_happy")
    plan = plan_of(Sweep(base, {"adapter.preset": ["r1h", None], "beta": [0, 1e-7]}, baselines=[*BASELINES]))
    write_plan(plan)
    for run in plan.runs:
        words = ["--config", str(plan.folder / "configs" / f"{run.name}.yaml")]
        again = prepare(parse_with_config(ExperimentOptions, words, "", "")[0].experiment, cuda_available=False)
        assert again == run.experiment
        assert config_hash(again) == run.config_hash
        assert folder_of(again) == plan.folder / run.name


def test_an_arm_stands_in_the_plan_s_file(tmp_path: Path):
    plan = plan_of(Sweep(replace(SHORT, output_dir=tmp_path), arms=ARMS, seeds=[1], baselines=["lora"]), "mine")
    write_plan(plan)
    swept = read_sweep(plan.folder)
    assert swept.axes == ("arm", "seed")
    assert [run.values for run in swept.runs] == [run.values for run in plan.runs]
    assert [run.values.get("arm") for run in swept.runs] == [*ARMS, None]
    rows = [*flat_rows(summarize_sweep(swept))]  # of summary.csv
    assert {(row["configuration"], row["arm"]) for row in rows} == {*zip(ARMS, ARMS, strict=True), ("lora", None)}
    (dropdown,) = [dropdown for dropdown in dropdowns(swept) if dropdown.key == "arm"]
    assert {value for value, _ in dropdown.options} == {"", *ARMS, "–"}
    assert runs_of_page(swept)["configurations"][1] == {
        "configuration": "exclusive, half retain rollouts", "kind": "routed", "arm": "exclusive, half retain rollouts",
    }  # fmt: skip


def test_a_sample_stands_in_the_plan(tmp_path: Path):
    plan = plan_of(Sweep(replace(ROUTED, output_dir=tmp_path), GRID, sample=10, sample_seed=3), "mine")
    write_plan(plan)
    assert json.loads((plan.folder / "sweep.json").read_text())["sample"] == {"points": 10, "of": 36, "seed": 3}
    assert read_sweep(plan.folder).sample == {"points": 10, "of": 36, "seed": 3}


def test_other_runs_of_the_folder_stay_and_are_told(tmp_path: Path):
    base = Experiment(output_dir=tmp_path)
    before = plan_of(Sweep(base, seeds=[1, 2]), "mine")
    write_plan(before)
    for run in before.runs:
        (before.folder / run.name).mkdir()
        (before.folder / run.name / "config.yaml").write_text("")
    assert strangers(before) == []
    now = plan_of(Sweep(base, seeds=[2, 3]), "mine")
    write_plan(now)
    assert strangers(now) == [before.runs[0].name]
    assert (before.folder / before.runs[0].name / "config.yaml").exists()


def test_where_nothing_can_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"--output_dir {tmp_path}/file: cannot be written: Not a directory"):
        write_plan(plan_of(Sweep(Experiment(output_dir=tmp_path / "file"))))
