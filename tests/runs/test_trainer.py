"""Whole runs from Python: their folders, the same bytes from the same seed, and what a run that fails leaves behind."""

import json
import os
import re
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import runs.progress
import runs.trainer
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import to_dict
from grpo.checks import BrokenInvariant
from grpo.run import prepare
from models.loading import load_pretrained
from models.saving import save_pretrained
from records.folder import RunFolder
from records.rows import read_rows
from runs.provenance import ROOT, git_state
from runs.trainer import RunRecord, train
from tests.helpers import failing, log_lines, only_run

MakeExperiment = Callable[..., Experiment]
ROUTED = {"routing.enabled": True, "env.detector": "happy_at_least(threshold=2)", "lr": 1e-2}
CLOSELY = {"eval_every": 1, "save_steps": 1, "logging_steps": 1, "log_all_samples": True}
WRITTEN = {"metrics.jsonl", "samples.jsonl", "routing_eval.jsonl", "evaluation.json", "evaluation_samples.jsonl", "summary.json"}
WHOLE = WRITTEN | {"config.yaml", "run.json", "status.json", "train.log", "timing.jsonl", "checkpoint-3", ".lock"}


def contents(folder: Path) -> dict[str, bytes]:
    """By file; places and times cut out of train.log."""
    files = {file: (folder / file).read_bytes() for file in WRITTEN}
    files["train.log"] = "\n".join(log_lines(folder)).replace(str(folder.parent), "").encode()
    return files | {f"{file.parent.name}/{file.name}": file.read_bytes() for file in folder.glob("checkpoint-*/*")}


@pytest.fixture(scope="module")
def trained_anew(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`trained_anew(**settings)`: the folder of a finished run, each in an output_dir of its own."""
    return lambda **settings: trained_once(tmp_path_factory.mktemp("trained"), **(ROUTED | settings)).folder


@pytest.fixture(scope="module")
def trained(trained_anew: Callable[..., Path]) -> Callable[..., Path]:
    """The same, once for the same settings: only to be read."""
    return cache(trained_anew)


# The record and the folder


def test_a_run_returns_what_its_folder_holds(tiny: MakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    experiment = tiny(**ROUTED, eval_every=2, save_steps=2)
    record = train(experiment, quiet=True)
    assert isinstance(record, RunRecord)
    assert capsys.readouterr() == ("", "")
    assert record.config == prepare(experiment)
    assert record.folder.parent == tmp_path / "output"
    assert {path.name for path in record.folder.iterdir()} == WHOLE | {"checkpoint-2"}
    assert yaml.safe_load((record.folder / "config.yaml").read_text()) == to_dict(record.config)
    assert read_rows(record.folder, "metrics.jsonl") == record.metrics
    assert [row["step"] for row in record.metrics] == [0, 1, 2]
    assert [row["step"] for row in read_rows(record.folder, "timing.jsonl")] == [0, 1, 2]
    assert json.loads((record.folder / "evaluation.json").read_text()) == {"step": 3, "modes": record.evaluation}
    assert json.loads((record.folder / "summary.json").read_text()) == record.summary
    status = json.loads((record.folder / "status.json").read_text())
    assert (status.pop("state"), status.pop("step")) == ("finished", 3)
    assert {*status.pop("seconds")} == {"loading", "rehearsing", "training", "evaluating"}
    assert 2**27 < status.pop("peak_memory")["host"] < 2**34 and not status
    assert (record.folder / "checkpoint-2" / "trainer.json").is_file()


def test_evaluations_are_before_between_and_at_the_end(trained: Callable[..., Path]):
    rows = read_rows(trained(eval_every=2), "routing_eval.jsonl")
    dual = ["both", "retain_only", "forget_only", "base"]
    assert [(row["step"], row["mode"]) for row in rows] == [(0, "base"), *((step, mode) for step in (2, 3) for mode in dual)]
    assert [row["samples"] for row in rows] == [8] * 5 + [12] * 4
    base = {"step": 0, "mode": "base"}
    assert rows[0] | base == rows[4] | base  # the base is evaluated once
    assert rows[1]["reward/interval"][0] <= rows[1]["reward"] <= rows[1]["reward/interval"][1]


def test_evaluations_between_compare_with_the_base(trained: Callable[..., Path]):
    rows = read_rows(trained(eval_every=2), "routing_eval.jsonl")
    assert [(row["step"], row["mode"]) for row in rows if row["template_collapse"] is None] == []


def test_a_detector_that_sees_nothing_is_said_at_once_and_in_the_summary(trained: Callable[..., Path]):
    detector = "contains_words(words=['zebra'])"
    folder = trained(reward="sentence_length_5_with_happy", **{"env.detector": detector})
    hacks = round(read_rows(folder, "routing_eval.jsonl")[0]["hacked"] * 8)
    said = f"WARNING: detector {detector} sees 0 of {hacks} hacks that the model makes before the first step"
    lines = log_lines(folder)
    at_once, at_the_end = (i for i, line in enumerate(lines) if line.startswith(said))
    assert hacks and at_once < next(i for i, line in enumerate(lines) if line.startswith("step 0:")) < at_the_end
    assert [f"WARNING: {line}" for line in json.loads((folder / "summary.json").read_text())["warnings"]] == [lines[at_once]]
    seeing = trained(reward="sentence_length_5_with_happy", **{"env.detector": "happy_at_least(threshold=1)"})
    assert "WARNING" not in (seeing / "train.log").read_text()


def test_a_run_whose_completions_are_all_masked_says_that_it_learns_nothing(tiny: MakeExperiment):
    """Two tokens, of which EOS is made impossible: null in every figure of the update, and a line."""
    settings = {"sampling.max_completion_length": 2, "grpo.mask_truncated": True, "require_eos": False, "max_steps": 3}
    record = train(tiny(**settings, model=without_eos(tiny().model)), quiet=True)
    figures = ("loss", "ratio/mean", "ratio/min", "ratio/max", "clip_ratio/low_mean", "grad_norm", "entropy")
    assert [[row[name] for name in figures] for row in record.metrics] == [[None] * len(figures)] * 3
    assert record.summary["warnings"][-1].startswith("nothing was learnt in 3 of 3 steps: ")
    log = (record.folder / "train.log").read_text()
    assert log.count("WARNING: step 0: nothing is learnt: every completion was dropped, or cut off") == 1
    assert "step 1: nothing" not in log


def without_eos(folder: str) -> str:
    model = load_pretrained(folder)
    with torch.no_grad():
        model.model.model.embed_tokens.weight[model.model.config.eos_token_ids[0], 0] = -20.0
    save_pretrained(model.model, model.tokenizer, other := Path(folder).with_name("without_eos"))
    return str(other)


def test_full_fine_tuning_without_beta_has_one_mode_and_is_evaluated_before_the_first_step(trained: Callable[..., Path]):
    folder = trained(**{"routing.enabled": False, "adapter.kind": "none", "beta": 0.0, "env.detector": None})
    assert [(row["step"], row["mode"]) for row in read_rows(folder, "routing_eval.jsonl")] == [(0, "policy"), (3, "policy")]
    assert (folder / "checkpoint-3" / "model.safetensors").is_file()


def test_samples_are_those_of_the_logged_steps(trained: Callable[..., Path]):
    assert [row["step"] for row in read_rows(trained(logging_steps=2), "samples.jsonl")] == [0] * 8 + [2] * 8
    everything = read_rows(trained(**CLOSELY), "samples.jsonl")
    assert [row["step"] for row in everything] == [0] * 8 + [1] * 8 + [2] * 8
    assert {type(row["hacked"]) for row in everything} == {bool}


# The same bytes


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(
    trained: Callable[..., Path], trained_anew: Callable[..., Path]
):
    one, other, third = (contents(folder) for folder in (trained(**CLOSELY), trained_anew(**CLOSELY), trained(**CLOSELY, seed=7)))
    assert [name for name in one if one[name] != other[name]] == []
    assert {name for name in one if one[name] == third[name]} <= {f"checkpoint-{step}/adapter.json" for step in (1, 2, 3)}
    assert set(one) == set(third)


def test_a_run_without_the_preflight_is_the_same_run(
    trained: Callable[..., Path], trained_anew: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    rehearsed = contents(trained())
    monkeypatch.setattr(runs.trainer, "preflight", lambda _: ())
    assert contents(trained_anew()) == rehearsed


def test_looking_more_closely_does_not_change_what_is_seen(trained: Callable[..., Path]):
    seldom, often = trained(), trained(**CLOSELY)
    for file in ("metrics.jsonl", "evaluation.json", "checkpoint-3/adapter.safetensors"):
        assert (seldom / file).read_bytes() == (often / file).read_bytes()


# What fails


@pytest.mark.parametrize(
    ("name", "error", "at", "state", "step"),
    [
        ("train_step", BrokenInvariant("step 2: loss is nan"), 2, "failed", 2),
        ("train_step", KeyboardInterrupt(), 1, "interrupted", 1),
        ("save_checkpoint", OSError("disk full"), 0, "failed", 3),
        ("evaluate_modes", RuntimeError("no evaluation"), 0, "failed", 0),
        ("summarize", ZeroDivisionError("no summary"), 0, "failed", 3),
        ("tracking", RuntimeError("no wandb"), 0, "failed", 0),
    ],
)
def test_a_run_that_ends_early_says_so_and_keeps_what_it_has(
    tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, at: int, state: str, step: int
):
    failing(monkeypatch, runs.trainer, name, error, at)
    experiment = tiny(**ROUTED)
    with pytest.raises(type(error)):
        train(experiment, quiet=True)
    folder = only_run(experiment.output_dir)
    said = f"{type(error).__name__}: {error}"
    assert json.loads((folder / "status.json").read_text()) == {"state": state, "step": step, "error": said}
    assert log_lines(folder)[-1] == f"{state} at step {step}: {said}"
    assert len(read_rows(folder, "metrics.jsonl")) == step


@pytest.mark.parametrize("name", ["preflight", "build_run", "made_of", "write_json"])
def test_what_fails_before_the_first_step_creates_nothing(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, name: str):
    failing(monkeypatch, runs.trainer, name, BrokenInvariant("out of reach"))
    experiment = tiny(**ROUTED)
    with pytest.raises(BrokenInvariant, match="out of reach"):
        train(experiment, quiet=True)
    assert not experiment.output_dir.exists()


def test_interrupted_before_it_is_loaded_nothing_is_left(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, capsys):
    failing(monkeypatch, runs.trainer, "preflight", KeyboardInterrupt())
    experiment = tiny(**ROUTED)
    with pytest.raises(KeyboardInterrupt):
        train(experiment)
    assert not experiment.output_dir.exists()
    assert re.fullmatch(r"loading the model and the prompts: \d+\.\d s\n", capsys.readouterr().err)


def test_sigterm_while_it_is_loaded_leaves_nothing(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs.trainer, "build_run", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(tiny(**ROUTED), quiet=True)
    assert not tiny().output_dir.exists()


def test_a_run_that_is_to_be_overwritten_stays_until_the_new_one_is_loaded(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    folder = train(tiny(max_steps=1), quiet=True).folder
    before = contents_with_times(folder)
    failing(monkeypatch, runs.trainer, "preflight", BrokenInvariant("out of reach"))
    with pytest.raises(BrokenInvariant):
        train(tiny(max_steps=1, overwrite=True), quiet=True)
    assert contents_with_times(folder) == before
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [folder.name]


def test_the_status_tells_phase_and_step_as_they_come(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    """With two evaluations between steps, and a clock that lets every step be told."""
    monkeypatch.setattr(runs.progress, "STATUS_SECONDS", 0.0)
    told: list[tuple[str, int, str | None]] = []
    status = RunFolder.status

    def noted(self: RunFolder, state: str, step: int, **more: Any) -> None:
        told.append((state, step, more.get("phase")))
        status(self, state, step, **more)

    monkeypatch.setattr(RunFolder, "status", noted)
    folder = train(tiny(**ROUTED, eval_every=2), quiet=True).folder
    running = ["loading", "loading", "rehearsing", "evaluating", "training", "training", "training", "training"]
    steps = [0, 0, 0, 0, 0, 0, 1, 2]
    running, steps = [*running, "evaluating", "training", "training", "evaluating", "training"], [*steps, 2, 2, 3, 3, 3]
    assert told == [*(("running", step, phase) for step, phase in zip(steps, running, strict=True)), ("finished", 3, None)]
    ended = json.loads((folder / "status.json").read_text())
    assert (ended["state"], ended["step"], "phase" in ended) == ("finished", 3, False)


def test_run_json_tells_commit_and_command(tiny: MakeExperiment, trained: Callable[..., Path]):
    recorded = json.loads((trained() / "run.json").read_text())
    assert recorded["command"] is None
    assert recorded["git"] == git_state(ROOT)
    folder = train(tiny(max_steps=1), quiet=True, command=["launch.py", "--max_steps", "1"]).folder
    assert json.loads((folder / "run.json").read_text())["command"] == ["launch.py", "--max_steps", "1"]


def test_threads_are_as_asked_within_a_run_and_recorded(tiny: MakeExperiment):
    before = torch.get_num_threads()
    folder = train(tiny(max_steps=1, threads=before + 1), quiet=True).folder
    assert json.loads((folder / "run.json").read_text())["threads"] == before + 1
    assert torch.get_num_threads() == before
    assert f"{before + 1} threads" in log_lines(folder)


def test_nothing_is_overwritten_unless_asked(tiny: MakeExperiment):
    folder = train(tiny(max_steps=1), quiet=True).folder
    before = contents_with_times(folder)
    with pytest.raises(UserError, match=f"the run {folder.name} exists there; --overwrite replaces it"):
        train(tiny(max_steps=1), quiet=True)
    assert contents_with_times(folder) == before
    (folder / "notes.txt").write_text("old")
    train(tiny(max_steps=1, overwrite=True), quiet=True)
    assert not (folder / "notes.txt").exists()
    assert len(read_rows(folder, "metrics.jsonl")) == 1


def contents_with_times(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}
