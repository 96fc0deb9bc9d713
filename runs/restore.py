"""A run read back from its folder: settings from config.yaml, weights from a checkpoint, nothing taken on trust."""

import copy
import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from configs.cli import read_record
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash, spelt_out
from configs.plugins import split_plugin
from configs.yaml_words import read_leaves
from envs.types import Prompt
from grpo.run import Run, build_run, has_base, prepare
from records import files
from records.reader import is_run
from runs.checkpoint import CheckpointError, load_checkpoint, read_json

OF_THE_MACHINE = {"torch", "device", "threads"}  # what run.json tells and may be another today


def load_run(checkpoint: Path, device: str = "auto", keep_base: bool = False) -> Run:
    """The run as it was at a checkpoint, on `device`; `config` stays what it was trained with, its device as well.

    `keep_base` keeps the weights before training even where training had no use for them. Raises UserError for a
    checkpoint or a run folder that is incomplete, damaged or another's, and where model or data have changed since.
    """
    try:
        step = step_of(checkpoint)
        recorded = read_config(folder := checkpoint.absolute().parent)
        here = prepare(replace(recorded, device=device))
        config = replace(here, device=recorded.device)
        written, now = recorded_settings(folder), spelt_out(config)
        if wrong := [name for name in written | now if written.get(name, ...) != now.get(name, ...)]:
            raise UserError(f"{files.CONFIG}: not as it was written: {', '.join(wrong)}")
        run = build_run(here)
        run.config = config
        if keep_base and not has_base(run):
            run.reference = copy.deepcopy(run.policy).requires_grad_(False)
        check_made_of(run, folder)
        load_checkpoint(run, checkpoint)
        if run.step != step:
            raise UserError(f"trainer.json: step is {run.step}")
    except (CheckpointError, UserError) as error:
        raise UserError(f"--model_path {checkpoint}: {' '.join(str(error).split())}") from error
    return run


def step_of(checkpoint: Path) -> int:
    """The step in the name of a checkpoint's folder. Raises UserError when there is none, naming those nearby."""
    name = re.fullmatch(rf"{files.CHECKPOINT}(\d+)", checkpoint.absolute().name)
    if name and checkpoint.is_dir():
        return int(name[1])
    nearby = sorted(str(path) for folder in (checkpoint, checkpoint.parent) for path in folder.glob(f"{files.CHECKPOINT}*"))
    raise UserError("no checkpoint; accepted is a run's checkpoint-STEP folder" + (f": {', '.join(nearby)}" if nearby else ""))


def read_config(run_folder: Path) -> Experiment:
    """A run's settings, through the parser of the command line. Raises UserError unless every one of them is there."""
    return read_record(config_file(run_folder))


def recorded_settings(run_folder: Path) -> dict[str, Any]:
    """Every setting by dotted name, as a run's config.yaml has it, in today's spelling."""
    return read_leaves(config_file(run_folder))


def config_file(run_folder: Path) -> Path:
    if not is_run(run_folder):
        raise UserError(f"{run_folder} is not a run's folder: it has no {files.CONFIG}")
    return run_folder / files.CONFIG


def check_made_of(run: Run, run_folder: Path, but: Collection[str] = OF_THE_MACHINE) -> None:
    """Raises UserError when run.json tells of other settings, base weights or prompts than `run` has."""
    now = made_of(run)
    recorded = read_json(run_folder / files.MADE_OF, set(now))
    for name in now:
        if name not in but and recorded[name] != now[name]:
            raise UserError(f"the run was made of other things than are found now: {name} was {recorded[name]}, is {now[name]}")


def made_of(run: Run) -> dict[str, Any]:
    """What the run's numbers depend on beside its settings."""
    environment = run.environment
    rewards = {part.name: part.fingerprint() for part in run.reward.components if part.fingerprint}
    return {
        "config_hash": config_hash(run.config),
        "components": {component.name: component.role for component in run.reward.components},
        **({"plugins": plugins_record(run.config.plugins)} if run.config.plugins else {}),
        **({"reward_fingerprints": rewards} if rewards else {}),
        "base_fingerprint": run.fingerprint,
        "train_prompts": len(environment.train_prompts),
        "train_prompts_fingerprint": prompts_fingerprint(environment.train_prompts),
        "eval_prompts": len(environment.eval_prompts),
        "eval_prompts_fingerprint": prompts_fingerprint(environment.eval_prompts),
        **of_the_machine(run),
    }


def plugins_record(plugins: Iterable[str]) -> list[dict[str, str | None]]:
    return [{"path": path, "sha256": digest} for path, digest in map(split_plugin, plugins)]


def of_the_machine(run: Run) -> dict[str, Any]:
    """What rounding depends on."""
    return {"torch": torch.__version__, "device": device_name(run.device), "threads": torch.get_num_threads()}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def prompts_fingerprint(prompts: tuple[Prompt, ...]) -> str:
    """Digest of the prompts' ids: two runs with equal ones saw the same data."""
    return hashlib.sha256(repr([prompt.token_ids for prompt in prompts]).encode()).hexdigest()[:16]
