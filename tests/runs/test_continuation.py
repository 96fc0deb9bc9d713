"""A new run that begins with the weights of another: with those, to the last bit, and with nothing else of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import launch
import runs.trainer
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash
from envs.prepare import folder_of
from grpo.run import prepare
from records.reader import read_object
from records.rows import read_rows
from runs.checkpoint import read_tensors
from runs.continuation import begin_from_source
from runs.restore import load_learner
from runs.trainer import resume, train
from tests.helpers import failing

MakeExperiment = Callable[..., Experiment]
SAME = {
    "routed": {"reward": "sentence_length_5_with_happy", "routing.enabled": True, "lr": 0.05},
    "lora": {"adapter.kind": "lora", "lr": 0.05},
    "full": {"lr": 0.02},
}
WEIGHTS = {"routed": "adapter", "lora": "adapter", "full": "model"}


@pytest.fixture
def continued(tiny: MakeExperiment, checkpoint: Callable[[str], Path]) -> Callable[..., Experiment]:
    """`continued(kind)`: settings of a run that begins where the last checkpoint of such a run ends."""

    def make(kind: str = "routed", **settings: Any) -> Experiment:
        return tiny(**SAME[kind] | {"continue_from": checkpoint(kind).parent, "max_steps": 2} | settings)

    return make


def source_of(experiment: Experiment) -> Path:
    return Path(experiment.continue_from) / "checkpoint-3"


@pytest.mark.parametrize("kind", SAME)
def test_it_begins_with_the_weights_and_nothing_else(continued: Callable[..., Experiment], kind: str):
    experiment = continued(kind)
    run = runs.trainer.build_run(prepare(experiment))
    base = {name: tensor.clone() for name, tensor in run.policy.named_parameters()}
    begin_from_source(run)
    saved = read_tensors(source_of(experiment) / f"{WEIGHTS[kind]}.safetensors")
    now = dict(run.policy.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in saved.items())
    assert [name for name in saved if torch.equal(base[name], saved[name])] == []
    assert (run.step, len(run.optimizer.state)) == (0, 0)
    if kind == "full":  # what the KL and the mode `base` are of
        assert run.reference is not None
        assert all(torch.equal(tensor, base[name]) for name, tensor in run.reference.named_parameters())


@pytest.mark.parametrize("kind", SAME)
def test_before_the_first_step_it_evaluates_the_source_s_modes_and_the_base(continued: Callable[..., Experiment], kind: str):
    experiment = continued(kind)
    source = read_rows(Path(experiment.continue_from), "routing_eval.jsonl")
    folder = train(experiment, quiet=True).folder
    start = {row["mode"]: row for row in read_rows(folder, "routing_eval.jsonl") if row["step"] == 0}
    base = next((row for row in source if row["step"] == 0), None)
    assert start["base"]["kl_to_base"] == 0
    if kind != "full":  # the run of before has no reference, and another reward
        assert base is not None and start["base"]["hacked"] == base["hacked"] and start["base"]["nll_base"] == base["nll_base"]
    policy = "both" if kind == "routed" else "policy"
    assert next(iter(start)) == policy
    assert start[policy]["kl_to_base"] > 0.01
    assert len(start) == (4 if kind == "routed" else 2)


def test_it_is_recorded_and_is_another_run_than_the_one_from_the_base(continued: Callable[..., Experiment]):
    experiment = continued(seed=5)
    record = train(experiment, quiet=True)
    source, digest = source_of(experiment), read_object(record.folder / "config.yaml")["continue_from"].rpartition(":")[2]
    assert record.config.continue_from == f"{source}@sha256:{digest}"
    assert read_object(record.folder / "run.json")["continue_from"] == {"checkpoint": str(source), "sha256": digest}
    fresh = prepare(replace(experiment, continue_from=""))
    assert config_hash(fresh) != config_hash(record.config)
    assert f"_continue_from{digest[:8]}" in record.folder.name
    assert "continue_from" not in folder_of(fresh).name


def test_the_same_weights_elsewhere_are_the_same_run_and_others_are_not(continued: Callable[..., Experiment]):
    experiment = continued()
    run = Path(experiment.continue_from)
    shutil.copytree(run, elsewhere := run.with_name("elsewhere"))
    first, moved, earlier = (config_hash(prepare(replace(experiment, continue_from=path)))
                             for path in (str(run / "checkpoint-3"), elsewhere, str(run / "checkpoint-2")))  # fmt: skip
    assert first == moved != earlier


def test_a_checkpoint_of_it_needs_its_source_no_more(continued: Callable[..., Experiment]):
    experiment = continued()
    folder = train(experiment, quiet=True).folder
    shutil.rmtree(experiment.continue_from)
    assert load_learner(folder / "checkpoint-2").step == 2
    assert resume(folder, quiet=True).metrics == read_rows(folder, "metrics.jsonl")


def test_interrupted_before_a_checkpoint_it_begins_with_the_source_again(
    continued: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    experiment = continued()
    whole = train(replace(experiment, output_dir=tmp_path / "whole"), quiet=True).folder
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        failing(patch, runs.trainer, "train_step", RuntimeError("the machine is gone"), at=1)
        train(experiment, quiet=True)
    folder = folder_of(prepare(experiment))
    assert resume(folder, quiet=True).folder == folder
    for name in ("metrics.jsonl", "routing_eval.jsonl", "evaluation.json", "checkpoint-2/adapter.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_weights_that_have_changed_since_are_refused(continued: Callable[..., Experiment]):
    experiment = continued()
    config = prepare(experiment)
    weights = source_of(experiment) / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"--continue_from .*: has other weights than when the run was made: their SHA-256 was"):
        begin_from_source(runs.trainer.build_run(config))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"routing.enabled": False}, "that run has --adapter.kind dual_lora, this one none"),
        ({"adapter.forget_rank": 5}, "that run has --adapter.forget_rank 4, this one 5"),
        ({"adapter.alpha": 8.0}, "that run has --adapter.alpha 16.0, this one 8.0"),
        ({"adapter.stride": 2}, "that run has --adapter.stride 1, this one 2"),
        ({"model_dtype": "bfloat16"}, "that run has --model_dtype float32, this one bfloat16"),
    ],
)
def test_other_adapters_are_refused_in_a_line_and_nothing_is_made(
    continued: Callable[..., Experiment], settings: dict[str, Any], said: str
):
    experiment = continued(**settings)
    with pytest.raises(UserError) as error:
        train(experiment, quiet=True)
    assert (
        str(error.value)
        == f"--continue_from {experiment.continue_from}: {said}; its weights fit none but its own adapters and base"
    )
    assert not list(experiment.output_dir.glob("*"))


def test_another_base_is_refused(continued: Callable[..., Experiment]):
    experiment = continued()
    made_of = Path(experiment.continue_from) / "run.json"
    made_of.write_text(json.dumps(read_object(made_of) | {"base_fingerprint": "another"}))
    with pytest.raises(UserError, match=r"began with other base weights than --model .*: run.json says another, not "):
        train(experiment, quiet=True)
    assert not list(experiment.output_dir.glob("*"))


def test_more_steps_are_no_resumption_and_the_line_says_what_is(checkpoint: Callable[[str], Path], capsys):
    folder = checkpoint("routed").parent
    assert launch.main(["--resume", str(folder), "--max_steps=9"]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: --resume {folder}: is a run of --max_steps 3, where its learning rate's schedule ends, so that one of 9 is "
        f"another run; --continue_from {folder} --max_steps N begins a new one with its weights\n"
    )


def test_where_there_is_nothing_to_continue_from_it_is_said(tiny: MakeExperiment, tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    for path, said in (("nowhere", "no checkpoint; accepted is a run's folder"), ("sweep", "is a sweep's folder; accepted is")):
        with pytest.raises(UserError) as error:
            prepare(tiny(continue_from=tmp_path / path))
        assert str(error.value).startswith(f"--continue_from {tmp_path / path}: {said}")
