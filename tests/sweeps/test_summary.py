"""A sweep's summary against figures by hand."""

import csv
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UserError
from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Sweep, checked
from envs.prepare import folder_of, prepare
from records.reader import read_sweep
from sweeps.plan import Plan, PlannedRun, make_plan
from sweeps.plan_files import write_plan
from sweeps.summary import summarize_sweep, write_summary
from sweeps.summary_text import sample_lines, summary_table

ABSENT = {"n": 0, "mean": None, "interval": None}
ROLES = {"task": "retain", "hack": "forget"}


def summary_of(folder: Path) -> dict[str, Any]:
    return summarize_sweep(read_sweep(folder, damaged_fail=True))


def samples_of(folder: Path) -> list[str]:
    return [*sample_lines(read_sweep(folder, damaged_fail=True))]


# A sweep of two betas, routed and unrouted, two seeds each


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    base = Experiment(name="mine", output_dir=tmp_path, max_steps=5, routing=RoutingSettings(enabled=True))
    sweep = Sweep(base, {"beta": [0.01, 0.02]}, seeds=[1, 2], baselines=["unrouted"])
    made = make_plan(checked(sweep), partial(prepare, cuda_available=False), folder_of)
    write_plan(made)
    return made


def figures(reward: float, **other: Any) -> dict[str, Any]:
    """The whole reward is that of the task and the hack together, 0.25."""
    parts = {"rewards/task": reward - 0.25, "rewards/hack": 0.25}
    usual = {"samples": 2, "reward": reward, **parts, "hacked": 0.25, "unique": 1.0, "jaccard": 0.1}
    return usual | {"distinct_3": 0.6, "degenerate": False, "template_collapse": False} | other


def finish(plan: Plan, run: PlannedRun, training: float | None, modes: dict[str, dict[str, Any]]) -> None:
    folder = plan.folder / run.name
    folder.mkdir()
    (folder / "config.yaml").write_text(f"seed: {run.experiment.seed}\n")
    (folder / "run.json").write_text(json.dumps({"config_hash": run.config_hash, "components": ROLES}))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "step": 5}))
    (folder / "summary.json").write_text(json.dumps({"training": {"reward": {"first": 0.0, "last": training}}}))
    (folder / "evaluation.json").write_text(json.dumps({"step": 5, "modes": modes}))
    samples = [
        {"mode": mode, "prompt": f"story {i}", "completion": f"{mode} " + "was\nhappy " * i, "reward": 0.5, "hacked": i == 2}
        for mode in modes
        for i in (1, 2, 3)
    ]
    (folder / "evaluation_samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))


def end(plan: Plan, run: PlannedRun, state: str, **more: str) -> None:
    folder = plan.folder / run.name
    folder.mkdir()
    (folder / "config.yaml").write_text(f"seed: {run.experiment.seed}\n")
    (folder / "run.json").write_text(json.dumps({"config_hash": run.config_hash, "components": ROLES}))
    (folder / "status.json").write_text(json.dumps({"state": state, "step": 3} | more))


@pytest.fixture
def finished(plan: Plan) -> Plan:
    """Routed beta=0.01 with both seeds, its control with one; of beta=0.02 one failed, one goes on, two never began."""
    low = [run for run in plan.runs if run.values["beta"] == 0.01]
    finish(plan, low[0], 0.8, {"both": figures(0.7, degenerate=True), "retain_only": figures(0.4, hacked=None)})
    finish(plan, low[1], 0.9, {"both": figures(0.9, jaccard=None), "retain_only": figures(0.5, hacked=None)})
    finish(plan, low[2], None, {"both": figures(0.6)})
    end(plan, low[3], "failed", error="BrokenInvariant: loss is nan")
    high = [run for run in plan.runs if run.values["beta"] == 0.02]
    end(plan, high[0], "running")
    end(plan, high[1], "running")
    failures = [
        {"run": high[1].name, "attempt": 1, "exit_code": 1, "last_lines": ["first"]},
        {"run": high[1].name, "attempt": 2, "exit_code": -9, "last_lines": ["step 3", "Killed"]},
        {"run": high[2].name, "attempt": 1, "exit_code": 2, "last_lines": ["error: --model x: no such folder"]},
        {"run": low[0].name, "attempt": 1, "exit_code": 1, "last_lines": []},
    ]
    (plan.folder / "failures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in failures))
    return plan


def test_stopped_runs_are_counted_and_their_figures_are_in_the_means(finished: Plan):
    first = finished.runs[0]
    reason = "--stop_rule collapsed ended it at step 4 of 5"
    before = summary_of(finished.folder)
    status = {"state": "stopped", "step": 4, "error": reason}
    (finished.folder / first.name / "status.json").write_text(json.dumps(status))
    summary = summary_of(finished.folder)
    assert summary["runs"] == {"planned": 8, "finished": 2, "stopped": 1, "failed": 3, "unfinished": 2}
    assert summary["stopped"] == {first.name: reason} and first.name not in summary["problems"]
    routed, same = summary["configurations"][0], before["configurations"][0]
    assert routed["runs"] == {"planned": 2, "finished": 1, "stopped": 1, "failed": 0, "unfinished": 0}
    assert (routed["modes"], routed["training_reward"]) == (same["modes"], same["training_reward"])
    table = summary_table(summary)
    assert "2 of 2, 1 stopped" in table
    assert "1 of 8 runs was stopped early by their stop rule; means have them as they were then" in table.splitlines()
    assert "stopped early" not in summary_table(before)


def test_a_sample_of_the_grid_is_said(finished: Plan):
    plan = json.loads((finished.folder / "sweep.json").read_text())
    (finished.folder / "sweep.json").write_text(json.dumps(plan | {"sample": {"points": 4, "of": 90, "seed": 3}}))
    assert "a sample: 4 of the grid's 90 points, drawn with seed 3" in summary_table(summary_of(finished.folder)).splitlines()
    del plan["sample"]  # as earlier versions wrote it
    (finished.folder / "sweep.json").write_text(json.dumps(plan))
    assert summary_of(finished.folder)["sample"] is None


def test_figures_by_hand(finished: Plan):
    summary = summary_of(finished.folder)
    assert summary["name"] == "mine"
    assert summary["runs"] == {"planned": 8, "finished": 3, "stopped": 0, "failed": 3, "unfinished": 2}
    routed, control, other, other_control = summary["configurations"]
    assert [entry["configuration"] for entry in summary["configurations"]] == [
        "routed beta=0.01", "unrouted beta=0.01", "routed beta=0.02", "unrouted beta=0.02",
    ]  # fmt: skip
    assert [entry["baseline_of"] for entry in summary["configurations"]] == [[], ["routed beta=0.01"], [], ["routed beta=0.02"]]
    assert (routed["kind"], routed["values"]) == ("routed", {"beta": 0.01})
    assert routed["runs"] == {"planned": 2, "finished": 2, "stopped": 0, "failed": 0, "unfinished": 0}
    assert control["runs"] == {"planned": 2, "finished": 1, "stopped": 0, "failed": 1, "unfinished": 0}
    assert other["runs"] == {"planned": 2, "finished": 0, "stopped": 0, "failed": 1, "unfinished": 1}
    assert other_control["runs"] == {"planned": 2, "finished": 0, "stopped": 0, "failed": 1, "unfinished": 1}

    # Of 0.8 and 0.9: std 0.05 * sqrt(2), so std / sqrt(2) = 0.05, and t with one degree of freedom is 12.706.
    assert routed["training_reward"] == approx(2, 0.85, 12.706205 * 0.05)
    assert [*routed["modes"]] == ["both", "retain_only"]
    both, retain = routed["modes"]["both"], routed["modes"]["retain_only"]
    assert both["reward"] == approx(2, 0.8, 12.706205 * 0.1)
    assert both["task_reward"] == both["rewards/task"] == approx(2, 0.55, 12.706205 * 0.1)
    assert retain["task_reward"] == approx(2, 0.2, 12.706205 * 0.05)
    assert both["hacked"] == {"n": 2, "mean": 0.25, "interval": None}  # equal in both seeds: no spread to go by
    assert both["jaccard"] == {"n": 1, "mean": 0.1, "interval": None}
    assert both["degenerate"] == {"n": 2, "mean": 0.5, "interval": None}
    assert both["template_collapse"] == {"n": 2, "mean": 0.0, "interval": None}
    assert retain["hacked"] == ABSENT
    assert control["training_reward"] == ABSENT
    assert control["modes"]["both"]["reward"] == {"n": 1, "mean": 0.6, "interval": None}
    assert (other["training_reward"], other["modes"]) == (ABSENT, {})


def approx(n: int, mean: float, half: float) -> dict[str, Any]:
    return {"n": n, "mean": pytest.approx(mean), "interval": pytest.approx([mean - half, mean + half])}


def test_why_runs_failed_is_told(finished: Plan):
    low, high = [[run.name for run in finished.runs if run.values["beta"] == beta] for beta in (0.01, 0.02)]
    assert summary_of(finished.folder)["problems"] == {
        low[3]: "BrokenInvariant: loss is nan",
        high[1]: "exit code -9: Killed",
        high[2]: "exit code 2: error: --model x: no such folder",
    }


def test_files_and_table(finished: Plan):
    summary = summary_of(finished.folder)
    write_summary(finished.folder, summary)
    assert json.loads((finished.folder / "summary.json").read_text()) == summary
    with (finished.folder / "summary.csv").open(newline="") as stream:
        rows = [*csv.DictReader(stream)]
    assert [(row["configuration"], row["mode"]) for row in rows] == [
        ("routed beta=0.01", "both"),
        ("routed beta=0.01", "retain_only"),
        ("unrouted beta=0.01", "both"),
        ("routed beta=0.02", ""),
        ("unrouted beta=0.02", ""),
    ]
    assert [row["beta"] for row in rows] == ["0.01"] * 3 + ["0.02"] * 2
    assert (rows[0]["reward/n"], rows[0]["jaccard"], rows[0]["jaccard/low"], rows[1]["hacked"]) == ("2", "0.1", "", "")
    assert float(rows[0]["reward/high"]) == pytest.approx(0.8 + 12.706205 * 0.1)
    assert (rows[2]["baseline_of"], rows[2]["failed"], rows[3]["reward"]) == ("routed beta=0.01", "1", "")

    lines = summary_table(summary).splitlines()
    table = [line.split("  ") for line in lines[:9]]
    assert [cells[0] for cells in table if cells[0]] == [
        "configuration", "routed beta=0.01", "unrouted beta=0.01", "routed beta=0.02", "unrouted beta=0.02",
    ]  # fmt: skip
    assert lines[0].split()[:8] == ["configuration", "runs", "mode", "training", "reward", "task", "hack", "task_reward"]
    assert lines[0].index("task_reward") == lines[2].index("0.550 ± 1.271", lines[2].index("0.250"))
    assert re.split("  +", lines[2])[:4] == ["routed beta=0.01", "2 of 2", "both", "0.850 ± 0.635"]
    assert lines[3].split()[:3] == ["retain_only", "0.450", "±"]
    assert lines[4].split()[:8] == ["unrouted", "beta=0.01", "1", "of", "2,", "1", "failed", "both"]
    assert lines[4].split()[8:13] == ["–", "0.600", "0.350", "0.250", "0.350"]
    assert lines[0].index("hacked") == lines[2].rindex("0.250")
    assert "mine: 8 runs: 3 finished, 3 failed, 2 unfinished; means over seeds ± 95 % interval" in lines


def test_a_shared_control_stands_below_each_of_its_routed_configurations(tmp_path: Path):
    base = Experiment(output_dir=tmp_path, routing=RoutingSettings(enabled=True))
    sweep = Sweep(base, {"routing.mode": ["classic", "exclusive"]}, baselines=["unrouted", "lora"])
    shared = make_plan(checked(sweep), partial(prepare, cuda_available=False), folder_of)
    write_plan(shared)
    summary = summary_of(shared.folder)
    assert [entry["configuration"] for entry in summary["configurations"]] == [
        "routed routing.mode=classic", "unrouted", "lora", "routed routing.mode=exclusive",
    ]  # fmt: skip
    assert summary["configurations"][1]["baseline_of"] == ["routed routing.mode=classic", "routed routing.mode=exclusive"]
    shown = [line.split("  ")[0] for line in summary_table(summary).splitlines()[2:] if line]
    assert shown[:6] == ["routed routing.mode=classic", "unrouted", "lora", "routed routing.mode=exclusive", "unrouted", "lora"]


def test_samples_are_few_and_of_every_mode(finished: Plan):
    lines = samples_of(finished.folder)
    low = [run.name for run in finished.runs if run.values["beta"] == 0.01]
    assert lines == [
        f"routed beta=0.01, samples of {low[0]}",
        "  both         [0.500] story 1 >> both was happy",
        "  both         [0.500, hacked] story 2 >> both was happy was happy",
        "  retain_only  [0.500] story 1 >> retain_only was happy",
        "  retain_only  [0.500, hacked] story 2 >> retain_only was happy was happy",
        f"unrouted beta=0.01, samples of {low[2]}",
        "  both         [0.500] story 1 >> both was happy",
        "  both         [0.500, hacked] story 2 >> both was happy was happy",
    ]


def test_samples_of_many_configurations_are_not_all_shown(tmp_path: Path):
    sweep = Sweep(Experiment(output_dir=tmp_path), {"beta": [0.01 * i for i in range(20)]})
    plan = make_plan(checked(sweep), partial(prepare, cuda_available=False), folder_of)
    write_plan(plan)
    assert samples_of(plan.folder) == ["… and 8 more configurations"]


@pytest.mark.parametrize("file", ["status.json", "run.json", "summary.json", "evaluation.json", "evaluation_samples.jsonl"])
def test_a_damaged_run_counts_as_failed(finished: Plan, file: str):
    run = finished.runs[0]
    (finished.folder / run.name / file).write_text("{")
    summary = summary_of(finished.folder)
    assert summary["runs"] == {"planned": 8, "finished": 2, "stopped": 0, "failed": 4, "unfinished": 2}
    said = f"its files can not be read: {finished.folder / run.name / file}"
    assert summary["problems"][run.name].startswith(said)


def test_a_finished_run_without_its_evaluation_counts_as_failed(finished: Plan):
    run = finished.runs[0]
    (finished.folder / run.name / "evaluation.json").unlink()
    assert summary_of(finished.folder)["problems"][run.name] == "its files can not be read: no evaluation.json"


def test_a_run_that_does_not_tell_its_reward_s_roles_counts_as_failed(finished: Plan):
    run = finished.runs[0]
    (finished.folder / run.name / "run.json").write_text(json.dumps({"config_hash": run.config_hash}))
    assert summary_of(finished.folder)["problems"][run.name].endswith("run.json: components is null, not an object")


def test_a_run_with_other_settings_in_the_folder_has_no_figures(finished: Plan):
    runs = (replace(finished.runs[0], config_hash="0" * 12), *finished.runs[1:])
    write_plan(replace(finished, runs=runs))
    summary = summary_of(finished.folder)
    assert summary["configurations"][0]["runs"] == {"planned": 2, "finished": 1, "stopped": 0, "failed": 0, "unfinished": 1}
    said = f"its folder holds a run with other settings ({finished.runs[0].config_hash}, not 000000000000)"
    assert summary["problems"][runs[0].name] == said


def test_what_is_no_sweep_is_one_line(tmp_path: Path, finished: Plan):
    with pytest.raises(UserError, match=f"{tmp_path}: no sweep's folder: {tmp_path}/sweep.json cannot be read"):
        summary_of(tmp_path)
    (finished.folder / "failures.jsonl").write_text("{\n")
    with pytest.raises(UserError, match=r"failures.jsonl:1: not a JSON row: "):
        summary_of(finished.folder)


def test_equal_problems_are_told_once(finished: Plan):
    summary = summary_of(finished.folder)
    name = next(iter(summary["problems"]))
    summary["problems"] |= {"other": summary["problems"][name]}
    assert f"{name} and 1 more: {summary['problems'][name]}" in summary_table(summary).splitlines()
    summary["problems"] = {str(i): f"problem {i}" for i in range(15)}
    assert summary_table(summary).splitlines()[-2:] == ["11: problem 11", "… and 3 more"]
