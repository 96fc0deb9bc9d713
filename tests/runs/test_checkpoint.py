"""A run goes on from a checkpoint as if it had never stopped; anything else than its own checkpoint is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from configs.experiment import Experiment
from grpo.run import Run, build_run, prepare, trained_groups
from grpo.step import train_step
from records.folder import RunFolder
from runs.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, trained_tensors

MakeExperiment = Callable[..., Experiment]
KINDS: dict[str, dict[str, Any]] = {
    "routed": {"routing.enabled": True, "env.detector": "happy_at_least(threshold=1)"},
    "forget without samples": {
        "routing.enabled": True,
        "routing.mode": "exclusive",
        "env.detector": "happy_at_least(threshold=99)",
    },
    "lora": {"adapter.kind": "lora", "adapter.rank": 2},
    "full": {"adapter.kind": "none", "lr": 1e-3},
}


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def steps(run: Run, count: int) -> list[dict]:
    return [train_step(run).update for _ in range(count)]


def state(run: Run) -> dict[str, Tensor]:
    """Weights and moments by name."""
    weights = trained_tensors(run)
    moments = {f"{name}/{key}": value for name, p in weights.items() for key, value in run.optimizer.state.get(p, {}).items()}
    return {name: tensor.detach().clone() for name, tensor in (weights | moments).items()}


def assert_identical(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert set(one) == set(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_from_a_checkpoint_is_the_uninterrupted_run(tiny: MakeExperiment, tmp_path: Path, kind: str):
    settings = {"lr": 1e-2, "max_steps": 4} | KINDS[kind]
    whole = built(tiny(**settings))
    figures = steps(whole, 4)

    first = built(tiny(**settings))
    steps(first, 2)
    saved = state(first)
    folder = save_checkpoint(first, RunFolder(tmp_path))
    assert_identical(state(first), saved)

    second = built(tiny(**settings))
    load_checkpoint(second, folder)
    assert second.step == 2
    assert_identical(state(second), saved)
    assert steps(second, 2) == figures[2:]
    assert_identical(state(second), state(whole))
    groups = trained_groups(second.policy)
    learnt = {name for name, group in groups.items() if any(p in second.optimizer.state for p in group.values())}
    assert learnt == ({"retain"} if kind == "forget without samples" else set(groups))


@pytest.mark.parametrize("kind", ["routed", "full"])
def test_a_checkpoint_is_safetensors_and_json_with_nothing_pickled(tiny: MakeExperiment, tmp_path: Path, kind: str):
    run = built(tiny(**KINDS[kind]))
    steps(run, 1)
    folder = save_checkpoint(run, RunFolder(tmp_path))
    assert folder == tmp_path / "checkpoint-1"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    own = {"routed": {"adapter.safetensors", "adapter.json"}}
    hugging_face = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
    files = {path.name for path in folder.iterdir()}
    assert files == own.get(kind, hugging_face) | {"optimizer.safetensors", "trainer.json"}
    for file in files:
        if file.endswith(".safetensors"):
            load_file(folder / file)
        else:
            json.loads((folder / file).read_text())


def test_a_second_save_of_a_step_replaces_the_first_and_what_a_killed_one_left(tiny: MakeExperiment, tmp_path: Path):
    run = built(tiny(**KINDS["lora"]))
    for name in ("checkpoint-0", "checkpoint-0.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("")
    load_checkpoint(run, save_checkpoint(run, RunFolder(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0"]
    assert not (tmp_path / "checkpoint-0" / "half").exists()


def test_a_full_checkpoint_is_a_model_to_transformers(tiny: MakeExperiment, tmp_path: Path):
    run = built(tiny(**KINDS["full"]))
    steps(run, 2)
    twin = AutoModelForCausalLM.from_pretrained(save_checkpoint(run, RunFolder(tmp_path)))
    ids = torch.tensor([[5, 9, 30, 31, 32, 40], [6, 7, 8, 41, 42, 43]])
    with torch.no_grad():
        torch.testing.assert_close(twin(ids).logits, run.policy(ids) @ run.policy.head.T, rtol=0, atol=1e-5)


# What does not fit


Change = Callable[[dict], dict]


def rewrite(file: Path, change: Change) -> None:
    """Replaces a file's entries by what `change` makes of them."""
    if file.suffix == ".json":
        file.write_text(json.dumps(change(json.loads(file.read_text()))))
    else:
        save_file(change(load_file(file)), file)


def without_first(entries: dict) -> dict:
    return dict(sorted(entries.items())[1:])


def first_changed(entries: dict, change: Callable[[Tensor], Tensor]) -> dict:
    name = min(entries)
    return entries | {name: change(entries[name])}


def of_all(key: str, change: Callable[[Tensor], Tensor]) -> Change:
    return lambda entries: {name: change(value) if name.endswith(key) else value for name, value in entries.items()}


DAMAGE: dict[str, tuple[str, Change, str]] = {
    "a tensor is missing": ("adapter.safetensors", without_first, "missing or unknown model.layers"),
    "a tensor too many": ("adapter.safetensors", lambda e: e | {"x": torch.zeros(1)}, "missing or unknown x$"),
    "a tensor renamed": ("adapter.safetensors", lambda e: {f"x.{k}": v for k, v in e.items()}, "missing or unknown"),
    "a tensor cut": ("adapter.safetensors", lambda e: first_changed(e, lambda t: t[:1].clone()), "is torch.float32"),
    "a tensor turned": ("adapter.safetensors", lambda e: first_changed(e, lambda t: t.T.contiguous()), "is torch.float32"),
    "half precision": ("adapter.safetensors", lambda e: first_changed(e, Tensor.half), "is torch.float16"),
    "double precision": ("adapter.safetensors", lambda e: first_changed(e, Tensor.double), "is torch.float64"),
    "another base": ("adapter.json", lambda e: e | {"base_fingerprint": "0" * 64}, "other base weights"),
    "another alpha": ("adapter.json", lambda e: e | {"alpha": 8.0}, "'alpha': 8.0"),
    "another rank": ("adapter.json", lambda e: e | {"ranks": {"retain": 4, "forget": 2}}, "'forget': 2"),
    "another dtype": ("adapter.json", lambda e: e | {"dtype": "float16"}, "'dtype': 'float16'"),
    "a rank that is none": (
        "adapter.json",
        lambda e: e | {"ranks": {"retain": 4.0, "forget": 4}},
        "rank of retain is 4.0",
    ),
    "another stride": ("adapter.json", lambda e: e | {"stride": 2}, "'stride': 2"),
    "fewer targets": ("adapter.json", lambda e: e | {"targets": ["q_proj"]}, r"\['q_proj'\]"),
    "another kind": ("adapter.json", lambda e: e | {"kind": "lora"}, "lora"),
    "a kind that is none": ("adapter.json", lambda e: e | {"kind": ["lora"], "ranks": 3}, "checkpoint-2"),
    "an adapter entry missing": ("adapter.json", without_first, "missing or unknown alpha$"),
    "an adapter entry too many": ("adapter.json", lambda e: e | {"dropout": 0.1}, "missing or unknown dropout$"),
    "other settings": ("trainer.json", lambda e: e | {"config_hash": "0" * 12}, "other settings .hash 000000000000"),
    "no step": ("trainer.json", lambda e: {name: value for name, value in e.items() if name != "step"}, "unknown step$"),
    "a step that is none": ("trainer.json", lambda e: e | {"step": 2.0}, "must be whole numbers, not 2.0"),
    "lines that are none": ("trainer.json", lambda e: e | {"lines": [3]}, r"must be whole numbers, not 2 and .3."),
    "a trainer entry too many": ("trainer.json", lambda e: e | {"x": 1}, "missing or unknown x$"),
    "a moment missing": ("optimizer.safetensors", without_first, "missing or unknown model.layers.*/exp_avg$"),
    "an adapter's tensor without moments": (
        "optimizer.safetensors",
        lambda e: {name: value for name, value in e.items() if not name.startswith(min(e).rpartition("/")[0])},
        "missing or unknown .*/exp_avg, .*/exp_avg_sq, .*/step$",
    ),
    "moments of nothing": ("optimizer.safetensors", lambda e: e | {"x/step": torch.zeros(())}, "missing or unknown x/step$"),
    "a moment of another name": ("optimizer.safetensors", lambda e: e | {f"{min(e)}_hat": torch.zeros(())}, "unknown .*avg_hat$"),
    "moments misshapen": ("optimizer.safetensors", of_all("/exp_avg_sq", lambda t: t[:1].clone()), "is torch.float32"),
    "moments in half precision": ("optimizer.safetensors", of_all("/exp_avg", Tensor.half), "is torch.float16"),
    "counters misshapen": ("optimizer.safetensors", of_all("/step", lambda t: t.expand(2).clone()), r"/step is .* .2."),
}


@pytest.fixture
def saved(tiny: MakeExperiment, tmp_path: Path) -> Path:
    run = built(tiny(**KINDS["routed"]))
    steps(run, 2)
    return save_checkpoint(run, RunFolder(tmp_path))


@pytest.fixture
def fresh(tiny: MakeExperiment) -> Run:
    return built(tiny(**KINDS["routed"]))


def test_every_damage_is_refused_and_names_its_file(saved: Path, fresh: Run, tmp_path: Path):
    for name, (file, change, message) in DAMAGE.items():
        folder = tmp_path / name / "checkpoint-2"
        shutil.copytree(saved, folder)
        rewrite(folder / file, change)
        with pytest.raises(CheckpointError, match=message) as error:
            load_checkpoint(fresh, folder)
        assert str(error.value).startswith(str(folder)), name
        assert fresh.step == 0, name
    load_checkpoint(fresh, saved)


def test_unreadable_files_are_refused(saved: Path, fresh: Run):
    for file in sorted(saved.iterdir()):
        whole = file.read_bytes()
        for content in (None, b"", b"{}", b"[1]", b"3", b"\xff\xfe\x00", whole[:7], whole[: len(whole) // 2], whole[:-2]):
            file.unlink()
            if content is not None:
                file.write_bytes(content)
            with pytest.raises(CheckpointError, match=str(file)):
                load_checkpoint(fresh, saved)
            file.write_bytes(whole)
    load_checkpoint(fresh, saved)


def test_another_experiment_s_checkpoint_is_refused(tiny: MakeExperiment, saved: Path):
    others = [{"seed": 7}, {"lr": 1e-5}, {"adapter.alpha": 8.0}, {"adapter.forget_rank": 2}, {"max_steps": 9}, {"beta": 0.0}]
    for settings in others:
        other = built(tiny(**KINDS["routed"], **settings))
        with pytest.raises(CheckpointError, match="of a run with other settings"):
            load_checkpoint(other, saved)


def test_a_full_checkpoint_is_read_as_strictly(tiny: MakeExperiment, tmp_path: Path):
    run = built(tiny(**KINDS["full"]))
    steps(run, 1)
    folder = save_checkpoint(run, RunFolder(tmp_path))
    for change in (without_first, lambda e: e | {"x": torch.zeros(1)}, lambda e: first_changed(e, Tensor.half)):
        whole = (folder / "model.safetensors").read_bytes()
        rewrite(folder / "model.safetensors", change)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_checkpoint(built(tiny(**KINDS["full"])), folder)
        (folder / "model.safetensors").write_bytes(whole)
