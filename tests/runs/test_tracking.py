"""What wandb is told of a run, read from real wandb runs in its folder by wandb's own reader."""

import html
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

import runs.trainer
from configs.experiment import Experiment
from grpo.run import prepare
from records.folder import RunFolder
from records.rows import read_rows
from runs.tracking import Tracker, samples_panel, tracking
from runs.trainer import RunRecord, resume, train
from tests.helpers import failing, only_run
from tests.runs.wandb_server import wandb_server

WANDB = [sys.executable, "-m", "wandb"]
ROUTED = {"reward": "sentence_length_5_with_happy", "routing.enabled": True, "lr": 0.05, "eval_every": 2, "logging_steps": 2}
OFFLINE = {
    **ROUTED,
    "max_steps": 5,
    "save_steps": 2,
    "wandb.mode": "offline",
    "wandb.group": "a sweep",
    "tags": ("first", "second"),
    "notes": "what for",
}
KEY = "0123456789abcdef" * 3
SCRIPT = "<script>alert(1)</script>"
SAMPLE = {"prompt": 'said\n"no" &', "completion": SCRIPT, "reward": 1.0, "advantage": 0.5}
MODES = ("both", "retain_only", "forget_only", "base")


@pytest.fixture(scope="module", autouse=True)
def wandb_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where wandb stages tables until they are uploaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("wandb")))
        yield


@pytest.fixture(scope="module")
def records(tracked: Path) -> list[dict[str, Any]]:
    return records_of(tracked)


@pytest.fixture(scope="module")
def tracked(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of five steps, evaluated every two, its samples logged every two."""
    return trained_once(tmp_path_factory.mktemp("tracked"), **OFFLINE).folder


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Of the one offline run in there."""
    (file,) = folder.glob("wandb/*run-*/run-*.wandb")
    assert file.parent.name.startswith("offline-")
    done = subprocess.run([*WANDB, "leet", "inspect", "--json", file], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def history_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a wandb step, what wandb adds of itself left out."""
    rows = [record["item"] for record in of_type(records, "history")]
    return [{name: value for name, value in row.items() if name == "_step" or not name.startswith("_")} for row in rows]


def expected_numbers(folder: Path) -> list[dict[str, float]]:
    """What the run's files say of each step: metrics, timing, and an evaluation at the last step before it."""
    steps = [{**m, **t} for m, t in zip(read_rows(folder, "metrics.jsonl"), read_rows(folder, "timing.jsonl"), strict=True)]
    rows = [{"_step": row["step"]} | {name: value for name, value in row.items() if value is not None} for row in steps]
    for each in read_rows(folder, "routing_eval.jsonl"):
        figures = {name: value for name, value in each.items() if type(value) in (int, float, bool) and name != "step"}
        row = rows[max(each["step"] - 1, 0)]
        row |= {f"eval_{name.replace('/', '_')}/{each['mode']}": float(value) for name, value in figures.items()}
        row["eval/step"] = each["step"]
    return rows


def numbers_of(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if not isinstance(value, str | dict | list) and not is_media(name)}
            for row in history]  # fmt: skip


def is_media(name: str) -> bool:
    return name.startswith(("samples.", "sample_text.", "eval/hacked_table.", "eval/reward_table."))


def test_a_disabled_run_is_none(tmp_path: Path, tiny: Callable[..., Experiment]):
    with tracking(prepare(tiny()), RunFolder(tmp_path)) as tracker:
        assert tracker is None
    assert not list(tmp_path.iterdir())


def test_wandb_has_the_numbers_of_the_runs_files(tracked: Path, records: list[dict[str, Any]]):
    assert numbers_of(history_of(records)) == expected_numbers(tracked)


def test_the_run_lies_in_the_folder_and_has_its_name_its_kind_and_its_group(tracked: Path, records: list[dict[str, Any]]):
    (run,) = of_type(records, "run")
    described = {key: run.get(key) for key in ("display_name", "project", "run_group", "job_type", "tags", "notes")}
    assert described == {
        "display_name": tracked.name,
        "project": "small-rl",
        "run_group": "a sweep",
        "job_type": "routed",
        "tags": ["routed", "first", "second"],
        "notes": "what for",
    }
    assert of_type(records, "exit")[0].get("exit_code") == 0


def test_modes_stand_in_one_section_a_figure_and_no_section_is_long(records: list[dict[str, Any]]):
    names = {name.split(".")[0] for row in history_of(records) for name in row}
    metrics = {each.get("glob_name") or each["name"]: each for each in of_type(records, "metric")}
    hidden = {name for name, each in metrics.items() if each["options"].get("hidden")}
    sections = Counter(name.split("/")[0] if "/" in name else "Charts" for name in names)
    assert max(sections.values()) <= 20, sections
    assert {section for section in sections if section.startswith("eval_") and f"{section}/*" not in hidden} == {
        "eval_reward", "eval_rewards_sentence_length_5", "eval_rewards_happy_bonus", "eval_hacked", "eval_detected",
        "eval_unique", "eval_mean_length", "eval_kl_to_base",
    }  # fmt: skip
    assert {name for name in names if name.startswith("eval_hacked/")} == {f"eval_hacked/{mode}" for mode in MODES}
    evaluated = {name: each.get("step_metric") for name, each in metrics.items() if name.startswith("eval_")}
    assert set(evaluated.values()) == {"eval/step"}
    assert {f"{section}/*" for section in sections if section.startswith("eval_")} == set(evaluated)
    assert "eval/step" in hidden


def test_a_chart_has_all_modes_over_training(tracked: Path):
    rows = read_rows(tracked, "routing_eval.jsonl")
    # wandb's own columns are of a chart's lines: x, the line's name, y.
    chart = last_table(tracked, "eval/hacked_table")
    expected = {(row["step"], row["mode"], row["hacked"]) for row in rows if row["hacked"] is not None}
    assert {tuple(row) for row in chart["data"]} == expected
    assert chart["columns"] == ["step", "lineKey", "lineVal"]


def test_a_reward_without_a_detector_has_no_chart_of_hacks(trained_once: Callable[..., RunRecord], tmp_path: Path):
    """Nothing is "hacked" there, so that such a chart would have no point, which wandb refuses."""
    folder = trained_once(tmp_path, reward="sentence_length_10", max_steps=1, **{"wandb.mode": "offline"}).folder
    history = history_of(records_of(folder))
    assert numbers_of(history) == expected_numbers(folder)
    charts = {name.split(".")[0] for row in history for name in row if name.startswith("eval/")}
    assert charts == {"eval/step", "eval/reward_table"}
    assert last_table(folder, "eval/reward_table")["data"]


def last_table(folder: Path, name: str) -> dict[str, Any]:
    files = folder.glob(f"wandb/offline-run-*/files/media/table/{name}_*.table.json")
    newest = max(files, key=lambda file: int(file.name.removeprefix(f"{Path(name).name}_").split("_")[0]))
    return json.loads(newest.read_text())


def test_samples_are_a_table_and_a_panel(tracked: Path):
    table = last_table(tracked, "samples")
    rows = read_rows(tracked, "samples.jsonl")
    since = [row for row in rows if row["step"] == 4]  # of the logged steps since the evaluation after four steps
    assert table["data"] == [[row[name] for name in table["columns"]] for row in since]
    assert {"step", "prompt", "completion", "reward", "hacked", "detected"} <= {*table["columns"]}
    panels = [*tracked.glob("wandb/offline-run-*/files/media/html/sample_text_*.html")]
    assert len(panels) == 3  # of the steps 0, 2 and 4


def test_what_the_model_wrote_is_escaped():
    shown = samples_panel([SAMPLE]).html
    assert html.escape(SCRIPT) in shown
    assert "<script" not in shown
    assert "said\n&quot;no&quot; &amp;" in shown


def test_after_an_interruption_there_is_one_run_and_every_step_is_in_it_once(
    tiny: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
):
    experiment = tiny(**OFFLINE)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        failing(patch, runs.trainer, "train_step", RuntimeError("the machine is gone"), at=3)  # a step after the checkpoint
        train(experiment, quiet=True)
    folder = only_run(experiment.output_dir)
    before = records_of(folder)
    resume(folder, quiet=True)
    after = records_of(folder)
    ids = [of_type(records, "run")[0]["run_id"] for records in (before, after)]
    assert ids[0] == ids[1]
    assert [row["_step"] for row in history_of(before)] == [0, 1, 2]
    assert [row["_step"] for row in history_of(after)] == [0, 1, 2, 3, 4]
    assert numbers_of(history_of(after)) == expected_numbers(folder)


def test_of_a_run_that_the_server_has_already_the_rest_is_told(tracked: Path, tiny: Callable[..., Experiment]):
    told: list[tuple[int, set[str]]] = []
    server = SimpleNamespace(
        starting_step=3, define_metric=lambda *_, **__: None, log=lambda values, step: told.append((step, {*values}))
    )
    Tracker(server, prepare(tiny(**OFFLINE))).tell_again(tracked)
    assert [step for step, _ in told] == [3, 3, 4, 4]  # a step's row, then the evaluation after it
    assert [("reward" in names, "eval_reward/both" in names) for _, names in told] == [(True, False), (False, True)] * 2


def test_wandbs_sync_uploads_each_step_once(tracked: Path, tmp_path: Path):
    with wandb_server() as server:
        account = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        command = [*WANDB, "sync", tracked / "wandb"]
        subprocess.run(command, env=os.environ | account, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100)
        told = [{name: value for name, value in row.items() if name in ("_step", "reward")} for row in server.rows()]
    assert told == [{"_step": row["step"], "reward": row["reward"]} for row in read_rows(tracked, "metrics.jsonl")]


def test_online_a_run_taken_up_again_goes_on_where_the_server_is(
    tiny: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
):
    """After a checkpoint at step 2 the server had a third step, whose figures the resumed run has again."""
    with wandb_server() as server, monkeypatch.context() as patch:
        wandb.teardown()  # what it has read of its environment so far
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        experiment = tiny(**OFFLINE | {"wandb.mode": "online"})
        with patch.context() as crash, pytest.raises(RuntimeError):
            failing(crash, runs.trainer, "train_step", RuntimeError("the machine is gone"), at=3)
            train(experiment, quiet=True)
        folder = only_run(experiment.output_dir)
        assert [row["_step"] for row in server.rows()] == [0, 1, 2]
        resume(folder, quiet=True)
        wandb.teardown()
        told = [(row["_step"], row["reward"]) for row in server.rows()]
    assert told == [(row["step"], row["reward"]) for row in read_rows(folder, "metrics.jsonl")]
    assert len(list(folder.glob("wandb/*run-*"))) == 1
