"""Checkpoints: `checkpoint-STEP/` with safetensors and JSON, no pickle. Loading is strict to the last key.

    adapter.safetensors, adapter.json     adapters and all that rebuilds them, with the base's fingerprint; or
    model.safetensors, config.json, ...   all weights of a full fine-tuning, as transformers reads them
    optimizer.safetensors                 AdamW's moments and step counters
    trainer.json                          step and configuration hash
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from configs.naming import config_hash
from grpo.run import Run, adapter_spec, trained_groups
from grpo.runfolder import write_json
from models.loading import save_pretrained
from routing.adapters import spec_from_dict


class CheckpointError(ValueError):
    """A checkpoint that is incomplete, damaged, or another run's."""


def trained_tensors(run: Run) -> dict[str, Tensor]:
    return {name: parameter for group in trained_groups(run.policy).values() for name, parameter in group.items()}


def optimizer_tensors(run: Run) -> dict[str, Tensor]:
    """`PARAMETER/exp_avg`, `/exp_avg_sq`, `/step` of each parameter that has been updated."""
    state = run.optimizer.state
    return {f"{name}/{key}": value for name, p in trained_tensors(run).items() if p in state for key, value in state[p].items()}


def save_checkpoint(run: Run, run_folder: Path) -> Path:
    """Writes beside its final name and renames, so that a folder named checkpoint-STEP is whole."""
    final = run_folder / f"checkpoint-{run.step}"
    folder = run_folder / f"checkpoint-{run.step}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if run.config.adapter.kind == "none":
        save_pretrained(run.policy, run.tokenizer, folder)
    else:
        save_file({name: p.detach().cpu() for name, p in trained_tensors(run).items()}, folder / "adapter.safetensors")
        base = {"base_model": run.config.model, "base_fingerprint": run.fingerprint}
        write_json(folder / "adapter.json", adapter_spec(run.config).to_dict() | base)
    save_file({name: value.cpu() for name, value in optimizer_tensors(run).items()}, folder / "optimizer.safetensors")
    write_json(folder / "trainer.json", {"step": run.step, "config_hash": config_hash(run.config)})
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if final.exists():
        shutil.rmtree(final)
    folder.rename(final)
    return final


def load_checkpoint(run: Run, folder: Path) -> None:
    """Puts weights, moments and step of a checkpoint into a freshly built run of the same settings.

    Raises CheckpointError for missing, unknown or misshapen entries and for another base model, spec or configuration.
    """
    trainer = read_json(folder / "trainer.json", {"step", "config_hash"})
    if trainer["config_hash"] != config_hash(run.config):
        raise CheckpointError(f"{folder}: of a run with other settings (hash {trainer['config_hash']}, not {config_hash(run.config)})")
    if run.config.adapter.kind == "none":
        load_tensors(trained_tensors(run), folder / "model.safetensors")
    else:
        described = read_json(folder / "adapter.json", set(adapter_spec(run.config).to_dict()) | {"base_model", "base_fingerprint"})
        if described.pop("base_fingerprint") != run.fingerprint:
            raise CheckpointError(f"{folder}: its adapters belong to other base weights than {run.config.model}")
        described.pop("base_model")
        if spec_from_dict(described) != adapter_spec(run.config):
            raise CheckpointError(f"{folder}: its adapters are {described}, the run's {adapter_spec(run.config)}")
        load_tensors(trained_tensors(run), folder / "adapter.safetensors")
    load_moments(run, folder / "optimizer.safetensors")
    run.step = trainer["step"]


def read_json(file: Path, keys: set[str]) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    if set(values) != keys:
        raise CheckpointError(f"{file}: missing or unknown {', '.join(sorted(set(values) ^ keys))}")
    return values


def read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own error for damage, OSError for absence
        raise CheckpointError(f"{file}: cannot be read: {error}") from error


def load_tensors(parameters: dict[str, Tensor], file: Path) -> None:
    saved = read_tensors(file)
    if set(saved) != set(parameters):
        raise CheckpointError(f"{file}: missing or unknown {', '.join(sorted(set(saved) ^ set(parameters)))}")
    for name, parameter in parameters.items():
        if saved[name].shape != parameter.shape or saved[name].dtype != parameter.dtype:
            raise CheckpointError(f"{file}: {name} is {saved[name].dtype} {list(saved[name].shape)}, "
                                  f"not {parameter.dtype} {list(parameter.shape)}")  # fmt: skip
        parameter.data.copy_(saved[name])


def load_moments(run: Run, file: Path) -> None:
    parameters = trained_tensors(run)
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(file).items():
        name, _, moment = key.rpartition("/")
        moments.setdefault(name, {})[moment] = value
    for name, values in moments.items():
        if name not in parameters or set(values) != {"step", "exp_avg", "exp_avg_sq"}:
            raise CheckpointError(f"{file}: {name} with {sorted(values)} is not the state of a trained tensor")
        parameter = parameters[name]
        if values["exp_avg"].shape != parameter.shape or values["exp_avg_sq"].shape != parameter.shape:
            raise CheckpointError(f"{file}: the moments of {name} do not have its shape {list(parameter.shape)}")
        device = parameter.device
        run.optimizer.state[parameter] = {k: v if k == "step" else v.to(device) for k, v in values.items()}
