"""Checkpoints of a run by name, and the one that a new run continues from (`--continue_from`). No torch.

A setting names that one as a path. Once it is resolved it says `CHECKPOINT@sha256:DIGEST`, of its weights, so that whoever
reads it again knows whether it is the same, and so that the new run's identity does not depend on where the old one lies.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.naming import DIGEST
from configs.resolved import ADAPTER_DEFAULTS
from configs.yaml_words import read_leaves
from records import files
from records.reader import is_run, is_sweep

OPTIMIZER = "optimizer.safetensors"  # of a checkpoint; its other safetensors are weights
MUST_MATCH = ("adapter.kind", *(f"adapter.{name}" for name in ADAPTER_DEFAULTS), "model_dtype")


def checkpoints_of(run_folder: Path) -> list[Path]:
    """The last first; those half written or set aside have other names."""
    paths = [path for path in run_folder.glob(f"{files.CHECKPOINT}*") if path.name.removeprefix(files.CHECKPOINT).isdigit()]
    return sorted(paths, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The step in the name of a checkpoint's folder. Raises UserError when there is none, naming those nearby."""
    name = re.fullmatch(rf"{files.CHECKPOINT}(\d+)", checkpoint.absolute().name)
    if name and checkpoint.is_dir():
        return int(name[1])
    nearby = sorted(str(path) for folder in (checkpoint, checkpoint.parent) for path in folder.glob(f"{files.CHECKPOINT}*"))
    accepted = "accepted is a run's folder, or a checkpoint-STEP in there"
    raise UserError(f"no checkpoint; {accepted}" + (f": {', '.join(nearby)}" if nearby else ""))


def chosen_checkpoint(path: Path) -> Path:
    """The checkpoint itself, or the last one of a run. Raises UserError for anything else."""
    if is_sweep(path):
        raise UserError("is a sweep's folder; accepted is that of one of its runs")
    if not is_run(path):
        step_of(path)
        return path
    checkpoints = checkpoints_of(path)
    if not checkpoints:
        raise UserError("is a run without a checkpoint so far")
    return checkpoints[0]


def weights_digest(checkpoint: Path) -> str:
    """SHA-256 over names and bytes of the files with its weights. Raises UserError where there are none."""
    weights = sorted(file for file in checkpoint.glob("*.safetensors") if file.name != OPTIMIZER)
    if not weights:
        raise UserError("has no weights")
    return hashlib.sha256(b"".join(part for file in weights for part in (file.name.encode(), file.read_bytes()))).hexdigest()


def split_source(setting: str) -> tuple[Path, str]:
    """The checkpoint and the digest of a resolved `continue_from`."""
    path, _, digest = setting.rpartition(DIGEST)
    return Path(path), digest


def resolved_source(setting: str) -> str:
    """With the checkpoint's absolute path and its digest; one that has a digest stays. Raises UserError."""
    if not setting or DIGEST in setting:
        return setting
    try:
        checkpoint = chosen_checkpoint(Path(setting)).absolute()
        return f"{checkpoint}{DIGEST}{weights_digest(checkpoint)}"
    except UserError as error:
        raise UserError(f"--continue_from {setting}: {error}") from error


def check_source(setting: str, settings: Mapping[str, Any]) -> None:
    """Raises UserError where the run of a source has other adapters, or a base of another precision, than these settings."""
    if not setting or DIGEST in setting:
        return
    source = read_leaves(chosen_checkpoint(Path(setting)).absolute().parent / files.CONFIG)
    for name in MUST_MATCH:
        if source.get(name) != settings[name]:
            raise UserError(f"--continue_from {setting}: that run has --{name} {source.get(name)}, this one {settings[name]}; "
                            "its weights fit none but its own adapters and base")  # fmt: skip


def source_record(setting: str) -> Mapping[str, Any]:
    """As an entry of run.json; {} for a run that begins with the base."""
    if not setting:
        return {}
    checkpoint, digest = split_source(setting)
    return {"continue_from": {"checkpoint": str(checkpoint), "sha256": digest}}
