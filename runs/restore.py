"""A run read back from its folder: settings from config.yaml, weights from a checkpoint, nothing taken on trust."""

import copy
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from configs.cli import LaunchOptions, parse, yaml_words
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import to_dict
from grpo.run import Run, build_run, has_base, made_of, prepare
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
        if (config := replace(here, device=recorded.device)) != recorded:
            raise UserError(f"config.yaml: not resolved: {', '.join(differing(to_dict(recorded), to_dict(config)))}")
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
    name = re.fullmatch(r"checkpoint-(\d+)", checkpoint.absolute().name)
    if name and checkpoint.is_dir():
        return int(name[1])
    found = sorted(str(path) for folder in (checkpoint, checkpoint.parent) for path in folder.glob("checkpoint-*"))
    raise UserError("no checkpoint; accepted is a run's checkpoint-STEP folder" + (f": {', '.join(found)}" if found else ""))


def read_config(run_folder: Path) -> Experiment:
    """A run's settings, through the parser of the command line. Raises UserError unless every one of them is there."""
    file = run_folder / "config.yaml"
    if not file.is_file():
        raise UserError(f"{run_folder} is not a run's folder: it has no config.yaml")
    recorded = parse(LaunchOptions, yaml_words(file), "", "config.yaml").experiment
    if wrong := differing(yaml.safe_load(file.read_text()), to_dict(recorded)):
        raise UserError(f"config.yaml: missing or not as it was written: {', '.join(wrong)}")
    return recorded


def differing(given: dict[str, Any], expected: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the settings that only one of two nested mappings has, or that differ."""
    names: list[str] = []
    for key in {**expected, **given}:
        one, other = given.get(key, ...), expected.get(key, ...)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differing(one, other, f"{prefix}{key}.")
        elif one != other:
            names.append(f"{prefix}{key}")
    return names


def check_made_of(run: Run, run_folder: Path, but: Collection[str] = OF_THE_MACHINE) -> None:
    """Raises UserError when run.json tells of other settings, base weights or prompts than `run` has."""
    now = made_of(run)
    recorded = read_json(run_folder / "run.json", set(now))
    for name in [name for name in now if name not in but]:
        if recorded[name] != now[name]:
            raise UserError(f"the run was made of other things than are found now: {name} was {recorded[name]}, is {now[name]}")
