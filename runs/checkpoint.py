"""Checkpoints: `checkpoint-STEP/` with safetensors and JSON, no pickle. Loading is strict to the last key.

adapter.safetensors, adapter.json     adapters and all that rebuilds them, with the base's fingerprint; or
model.safetensors, config.json, ...   all weights of a full fine-tuning, as transformers reads them
optimizer.safetensors                 AdamW's moments and step counters
trainer.json                          step, configuration hash, and how many rows and lines the run's files had
"""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from configs.naming import config_hash
from grpo.adamw import MOMENTS
from grpo.run import Learner, Run, trained_groups
from models.saving import save_pretrained
from records import files
from records.checkpoints import OPTIMIZER
from records.folder import RunFolder, write_json
from routing.spec import AdapterSpec, spec_from_dict


class CheckpointError(ValueError):
    """A checkpoint that is incomplete, damaged, or another run's."""


def trained_tensors(run: Learner) -> dict[str, Tensor]:
    return {name: parameter for group in trained_groups(run.policy).values() for name, parameter in group.items()}


def optimizer_tensors(run: Run) -> dict[str, Tensor]:
    """`PARAMETER/exp_avg`, `/exp_avg_sq`, `/step` of each parameter that has been updated."""
    state = run.optimizer.state
    return {f"{name}/{key}": value for name, p in trained_tensors(run).items() if p in state for key, value in state[p].items()}


def save_checkpoint(run: Run, run_folder: RunFolder) -> Path:
    """Writes beside its final name and renames, so that a folder named checkpoint-STEP is whole."""
    final = run_folder.path / f"{files.CHECKPOINT}{run.step}"
    folder = run_folder.path / f"{final.name}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if run.config.adapter is None:
        save_pretrained(run.policy, run.tokenizer, folder)
    else:
        save_file({name: p.detach().cpu() for name, p in trained_tensors(run).items()}, folder / "adapter.safetensors")
        around = {"targets": list(run.policy.targets), "base_model": run.config.model, "base_fingerprint": run.fingerprint}
        write_json(folder / "adapter.json", run.config.adapter.to_dict() | around)
    save_file({name: value.cpu() for name, value in optimizer_tensors(run).items()}, folder / OPTIMIZER)
    trainer = {"step": run.step, "config_hash": config_hash(run.config), "lines": run_folder.sync()}
    write_json(folder / "trainer.json", trainer)
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if final.exists():
        shutil.rmtree(final)
    folder.rename(final)
    return final


def load_checkpoint(run: Learner, folder: Path) -> None:
    """Puts weights, moments and step of a checkpoint into what was freshly built of the same settings.

    Raises CheckpointError for missing, unknown or misshapen entries and for another base model, spec or configuration.
    """
    trainer = read_trainer(folder)
    if trainer["config_hash"] != config_hash(run.config):
        hashes = f"hash {trainer['config_hash']}, not {config_hash(run.config)}"
        raise CheckpointError(f"{folder}: of a run with other settings ({hashes})")
    load_weights(run, folder)
    load_moments(run, folder / OPTIMIZER)
    run.step = trainer["step"]


def load_weights(run: Learner, folder: Path) -> None:
    """Of adapters or of the whole policy. Raises CheckpointError, as `load_checkpoint`."""
    if (adapter := run.config.adapter) is None:
        load_tensors(trained_tensors(run), folder / "model.safetensors")
    else:
        described = read_json(folder / "adapter.json", set(adapter.to_dict()) | {"targets", "base_model", "base_fingerprint"})
        if described.pop("base_fingerprint") != run.fingerprint:
            raise CheckpointError(f"{folder}: its adapters belong to other base weights than {run.config.model}")
        if (base := described.pop("base_model")) != run.config.model:
            raise CheckpointError(f"{folder}: its adapters belong to the base model {base}, not {run.config.model}")
        if (targets := described.pop("targets")) != list(run.policy.targets):
            raise CheckpointError(f"{folder}: its adapters are on {targets}, the run's on {list(run.policy.targets)}")
        check_spec(described, adapter, folder)
        load_tensors(trained_tensors(run), folder / "adapter.safetensors")


def read_trainer(checkpoint: Path) -> dict[str, Any]:
    """`step`, `config_hash` and `lines`, the number of each file of the run. Raises CheckpointError."""
    file = checkpoint / "trainer.json"
    trainer = read_json(file, {"step", "config_hash", "lines"})
    counts = [trainer["step"], *(trainer["lines"].values() if isinstance(trainer["lines"], dict) else [None])]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise CheckpointError(f"{file}: step and lines must be whole numbers, not {trainer['step']} and {trainer['lines']}")
    return trainer


def check_spec(described: dict[str, Any], spec: AdapterSpec, folder: Path) -> None:
    try:
        same = spec_from_dict(described) == spec
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if not same:
        raise CheckpointError(f"{folder}: its adapters are {described}, the run's {spec}")


def read_json(file: Path, keys: set[str], may_have: Collection[str] = ()) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: must be an object, not {type(values).__name__}")
    if wrong := (values.keys() ^ keys) - {*may_have}:
        raise CheckpointError(f"{file}: missing or unknown {', '.join(sorted(wrong))}")
    return values


def read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own error for damage, OSError for absence
        raise CheckpointError(f"{file}: cannot be read: {error}") from error


def load_tensors(parameters: dict[str, Tensor], file: Path) -> None:
    saved = read_tensors(file)
    check_tensors(file, saved, parameters)
    for name, parameter in parameters.items():
        parameter.data.copy_(saved[name])


def load_moments(run: Learner, file: Path) -> None:
    """All tensors of an adapter have moments, or none has: it never learnt."""
    saved = read_tensors(file)
    counter = torch.zeros(())
    expected: dict[str, Tensor] = {}
    for group in trained_groups(run.policy).values():
        moments = {f"{name}/{key}": counter if key == "step" else p for name, p in group.items() for key in MOMENTS}
        expected |= moments if moments.keys() & saved.keys() else {}
    check_tensors(file, saved, expected)
    for name, p in trained_tensors(run).items():
        if f"{name}/step" in saved:
            run.optimizer.state[p] = {key: saved[f"{name}/{key}"].to("cpu" if key == "step" else p.device) for key in MOMENTS}


def check_tensors(file: Path, saved: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raises CheckpointError unless names, shapes and dtypes are those of `expected`."""
    if wrong := saved.keys() ^ expected.keys():
        raise CheckpointError(f"{file}: missing or unknown {', '.join(sorted(wrong))}")
    for name, like in expected.items():
        actual, wanted = (f"{tensor.dtype} {list(tensor.shape)}" for tensor in (saved[name], like))
        if actual != wanted:
            raise CheckpointError(f"{file}: {name} is {actual}, not {wanted}")
