"""A run comes back from its folder exactly, or not at all: no key may be missing, unknown or changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import evaluate
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash, to_dict
from configs.resolve import flatten
from configs.spelling import LATER
from grpo.run import build_optimizer
from runs.restore import load_run

ADAPTER_KEYS = ("kind", "ranks", "alpha", "stride", "targets", "dtype", "base_model", "base_fingerprint")
MADE_OF_KEYS = ("config_hash", "base_fingerprint", "eval_prompts", "eval_prompts_fingerprint", "components")
SETTINGS = sorted(flatten(Experiment()))
CHANGED = ("seed", "lr", "reward", "max_steps", "env.detector", "env.num_prompts", "adapter.retain_rank", "sampling.temperature",
           "routing.enabled", "grpo.loss_type", "device")  # fmt: skip


def other(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return value[1:]
        case dict():
            return {key: other(item) for key, item in value.items()}
    return "x"


def rewrite_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def rewrite_settings(checkpoint: Path, name: str, change: Callable[[dict[str, Any], str], None]) -> None:
    """Applies `change` to the mapping that holds the setting, and to its key there."""
    file = checkpoint.parent / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    *groups, key = name.split(".")
    holder = settings
    for group in groups:
        holder = holder[group]
    change(holder, key)
    file.write_text(yaml.safe_dump(settings, sort_keys=False))


def refusal(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the door says, which has to be one line and exit code 2."""
    assert evaluate.main(["--model_path", str(checkpoint), "--n_samples", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"error: --model_path {checkpoint}: ")
    assert not (checkpoint / "evaluation.png").exists()
    return said


@pytest.mark.parametrize("kind", ["routed", "half_stride", "lora", "full"])
def test_weights_moments_step_and_settings_come_back(checkpoint, kind: str):
    folder = checkpoint(kind)
    run = load_run(folder, "cpu")
    saved = load_file(folder / ("model.safetensors" if kind == "full" else "adapter.safetensors"))
    own = dict(run.policy.named_parameters())
    assert saved and all(torch.equal(own[name], value) for name, value in saved.items())
    moments = load_file(folder / "optimizer.safetensors")
    assert moments and all(torch.equal(run.optimizer.state[own[key.rpartition("/")[0]]][key.rpartition("/")[2]], value)
                           for key, value in moments.items())  # fmt: skip
    assert run.step == 3
    assert to_dict(run.config) == yaml.safe_load((folder.parent / "config.yaml").read_text())


def test_the_checkpoint_asked_for_is_the_one_that_comes(checkpoint):
    """The routed run has one of step 2 as well; it continued from there, so its weights differ."""
    folder = checkpoint("routed")
    earlier, later = load_run(folder.with_name("checkpoint-2"), "cpu"), load_run(folder, "cpu")
    assert (earlier.step, later.step) == (2, 3)
    moved = [not torch.equal(a, b) for a, b in zip(earlier.policy.parameters(), later.policy.parameters(), strict=True)]
    assert any(moved)


def test_the_base_is_kept_on_request_only(checkpoint):
    """Full fine-tuning with beta 0 trains without a reference; the base's weights are those of the model's folder."""
    folder = checkpoint("full")
    assert load_run(folder, "cpu").reference is None
    run = load_run(folder, "cpu", keep_base=True)
    base = load_file(Path(run.config.model) / "model.safetensors")
    assert run.reference is not None
    kept = dict(run.reference.named_parameters())
    assert all(torch.equal(kept[name], value) and not kept[name].requires_grad for name, value in base.items())
    assert any(not torch.equal(value, base[name]) for name, value in run.policy.named_parameters())


def test_a_run_trained_on_cuda_is_read_on_the_cpu(checkpoint):
    """Its settings stay those of training; written as a CUDA run would write them, hashes and all."""
    folder = checkpoint("lora")
    hashed = config_hash(replace(load_run(folder, "cpu").config, device="cuda:1"))
    rewrite_settings(folder, "device", lambda holder, key: holder.update({key: "cuda:1"}))
    for file in (folder / "trainer.json", folder.parent / "run.json"):
        rewrite_json(file, lambda values: values.update(config_hash=hashed))
    run = load_run(folder, "cpu")
    assert (run.device.type, run.config.device) == ("cpu", "cuda:1")


def test_another_machine_or_library_is_no_other_run(checkpoint):
    folder = checkpoint("lora")
    rewrite_json(folder.parent / "run.json", lambda values: values.update(torch="1.0", device="TPU", threads=77))
    assert load_run(folder, "cpu").step == 3


def test_a_missing_setting_is_refused(checkpoint, capsys):
    folder = checkpoint("routed")
    whole = (folder.parent / "config.yaml").read_text()

    def refusal_without(name: str) -> str:
        (folder.parent / "config.yaml").write_text(whole)
        rewrite_settings(folder, name, lambda holder, key: holder.pop(key))
        return refusal(folder, capsys)

    assert [name for name in SETTINGS if name not in LATER and name not in refusal_without(name)] == []


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_setting_is_refused(checkpoint, capsys, name: str):
    folder = checkpoint("routed")
    rewrite_settings(folder, name, lambda holder, key: holder.update({key: other(holder[key])}))
    refusal(folder, capsys)


def test_where_a_run_is_put_and_shown_may_change(checkpoint):
    folder = checkpoint("routed")
    rewrite_settings(folder, "output_dir", lambda holder, key: holder.update({key: "elsewhere"}))
    rewrite_settings(folder, "wandb.project", lambda holder, key: holder.update({key: "another"}))
    assert load_run(folder, "cpu").config.output_dir == Path("elsewhere")


@pytest.mark.parametrize("name", ["speed", "adapter.size"])
def test_an_unknown_setting_is_refused(checkpoint, capsys, name: str):
    folder = checkpoint("routed")
    rewrite_settings(folder, name, lambda holder, key: holder.update({key: 1}))
    assert f"--{name}: no such option" in refusal(folder, capsys)


@pytest.mark.parametrize("content", ["", "- 1\n", "seed: [", "reward", "\x00"])
def test_settings_that_are_none_are_refused(checkpoint, capsys, content: str):
    folder = checkpoint("routed")
    (folder.parent / "config.yaml").write_text(content)
    assert "config.yaml" in refusal(folder, capsys)


JSON_FILES = [
    *(("checkpoint-3/adapter.json", key) for key in ADAPTER_KEYS),
    *(("checkpoint-3/trainer.json", key) for key in ("step", "config_hash")),
    *(("run.json", key) for key in MADE_OF_KEYS),
]


@pytest.mark.parametrize(("file", "key"), [*JSON_FILES, ("run.json", "train_prompts")])
def test_a_missing_key_is_refused(checkpoint, capsys, file: str, key: str):
    folder = checkpoint("routed")
    rewrite_json(folder.parent / file, lambda values: values.pop(key))
    assert key in refusal(folder, capsys)


@pytest.mark.parametrize(
    ("file", "key"), [("run.json", "config_hash"), ("run.json", "base_fingerprint"), ("checkpoint-3/trainer.json", "config_hash")]
)
def test_a_prompt_is_refused_where_settings_or_base_are_another_run_s(checkpoint, capsys, file: str, key: str):
    folder = checkpoint("routed")
    rewrite_json(folder.parent / file, lambda values: values.update({key: other(values[key])}))
    assert evaluate.main(["--model_path", str(folder), "--prompt", "the cat"]) == 2
    assert key.rpartition("_")[2] in capsys.readouterr().err


@pytest.mark.parametrize(("file", "key"), JSON_FILES)
def test_a_changed_value_is_refused(checkpoint, capsys, file: str, key: str):
    folder = checkpoint("routed")
    rewrite_json(folder.parent / file, lambda values: values.update({key: other(values[key])}))
    refusal(folder, capsys)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [(*where, value) for where, value in zip(JSON_FILES, cycle([None, [], 7, {}, ["retain"]]), strict=False)],
)
def test_a_value_of_another_type_is_refused(checkpoint, capsys, file: str, key: str, value: Any):
    folder = checkpoint("routed")
    rewrite_json(folder.parent / file, lambda values: values.update({key: value}))
    refusal(folder, capsys)


@pytest.mark.parametrize("file", ["checkpoint-3/adapter.json", "checkpoint-3/trainer.json", "run.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"unknown": 1}'])
def test_a_file_that_is_no_such_object_is_refused(checkpoint, capsys, file: str, content: str):
    folder = checkpoint("routed")
    (folder.parent / file).write_text(content)
    assert Path(file).name in refusal(folder, capsys)


@pytest.mark.parametrize(
    ("file", "key"), [(file, "unknown") for file in ("checkpoint-3/adapter.json", "checkpoint-3/trainer.json")]
)
def test_an_unknown_key_is_refused(checkpoint, capsys, file: str, key: str):
    folder = checkpoint("routed")
    rewrite_json(folder.parent / file, lambda values: values.update({key: 1}))
    assert f"missing or unknown {key}" in refusal(folder, capsys)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("routed", "checkpoint-3/adapter.safetensors"),
        ("routed", "checkpoint-3/optimizer.safetensors"),
        ("routed", "checkpoint-3/adapter.json"),
        ("routed", "checkpoint-3/trainer.json"),
        ("routed", "run.json"),
        ("routed", "config.yaml"),
        ("full", "checkpoint-3/model.safetensors"),
    ],
)
def test_a_missing_file_is_named(checkpoint, capsys, kind: str, file: str):
    folder = checkpoint(kind)
    (folder.parent / file).unlink()
    assert Path(file).name in refusal(folder, capsys)


@pytest.mark.parametrize("file", ["adapter.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("change", ["missing", "unknown", "misshapen", "cut"])
def test_damaged_tensors_are_refused(checkpoint, capsys, file: str, change: str):
    folder = checkpoint("routed")
    tensors = load_file(folder / file)
    name = sorted(tensors)[0]
    if change == "cut":
        (folder / file).write_bytes((folder / file).read_bytes()[:-9])
    else:
        whole = tensors.pop(name)
        extra = {"unknown": {name: whole, "unknown": whole.clone()}, "misshapen": {name: whole.flatten()[:-1].clone()}}
        save_file(tensors | extra.get(change, {}), folder / file)
    assert file in refusal(folder, capsys)


def test_a_folder_that_is_no_checkpoint_is_refused_with_those_nearby(checkpoint, capsys):
    run_folder = checkpoint("routed").parent
    for wrong in (run_folder / "checkpoint-4", run_folder / "train.log"):
        said = refusal(wrong, capsys)
        assert "checkpoint-STEP" in said and "checkpoint-2" in said and "checkpoint-3" in said


def test_a_renamed_checkpoint_is_refused(checkpoint, capsys):
    folder = checkpoint("routed")
    folder.rename(folder.with_name("checkpoint-300"))
    assert "step is 3" in refusal(folder.with_name("checkpoint-300"), capsys)


def test_a_refused_device_is_named(checkpoint):
    with pytest.raises(UserError, match="--device tpu"):
        load_run(checkpoint("lora"), "tpu")


def test_the_optimizer_that_comes_back_continues_where_it_was(checkpoint):
    """Against AdamW set up by hand with the saved moments, one update on the same gradients."""
    folder = checkpoint("lora")
    run, twin = load_run(folder, "cpu"), load_run(folder, "cpu")
    fresh = build_optimizer(twin.policy, twin.config.grpo)
    moments = load_file(folder / "optimizer.safetensors")
    for name, p in twin.policy.named_parameters():
        if f"{name}/step" in moments:
            fresh.state[p] = {key: moments[f"{name}/{key}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")}
    for optimizer in (run.optimizer, fresh):
        for group in optimizer.param_groups:
            group["lr"] = 0.1
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(run.policy.parameters(), twin.policy.parameters(), strict=True))
