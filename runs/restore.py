"""A run read back from its folder: settings from config.yaml, weights from a checkpoint, nothing taken on trust."""

import copy
import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from configs.cli import read_record
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash, spelt_out
from configs.plugins import split_plugin
from configs.resolved import ResolvedExperiment
from configs.yaml_words import read_leaves
from envs.prepare import bind_scores
from envs.types import Environment, Prompt
from grpo.run import Learner, Run, build_environment, build_learner, has_base, prepare
from models.hub import NURSERY
from models.loading import Pretrained, load_pretrained
from records import files
from records.checkpoints import source_record, step_of
from records.reader import is_run, read_made_of
from records.rows import check_kinds
from runs.checkpoint import CheckpointError, load_checkpoint, read_json

OF_THE_MACHINE = {"torch", "device", "threads"}  # what run.json tells and may be another today
ANOTHER_DATASET = "--dataset NAME evaluates on the prompts of another, or of this one as it is now"
BESIDE = {"paths", "git", "command"}  # what run.json tells and no number depends on
OF_TRAINING = {"train_prompts", "train_prompts_fingerprint"}  # and what an evaluation does not depend on


@contextmanager
def blamed_on(checkpoint: Path) -> Iterator[None]:
    """One line that names the checkpoint."""
    try:
        yield
    except (CheckpointError, UserError) as error:
        raise UserError(f"--model_path {checkpoint}: {' '.join(str(error).split())}") from error


def load_learner(checkpoint: Path, device: str = "auto", keep_base: bool = False, base_model: str | None = None) -> Learner:
    """The policy as it was at a checkpoint, on `device`, without the run's dataset; `config` stays what it was trained with,
    its device as well.

    `keep_base` keeps the weights before training even where training had no use for them; `base_model` is where they are
    now. Raises UserError for a checkpoint or a run folder that is incomplete, damaged or another's, and where the base's
    weights have changed since.
    """
    with blamed_on(checkpoint):
        recorded, here = settings_at(checkpoint, device, base_model)
        return learner_at(checkpoint, recorded, here, load_base(checkpoint, here, base_model), keep_base)


def load_run(
    checkpoint: Path,
    device: str = "auto",
    keep_base: bool = False,
    base_model: str | None = None,
    **other: str,
) -> Run:
    """As `load_learner`, with the run's evaluation prompts, or those of another dataset, column or split: what `other` gives
    (`dataset`, `text_column`, `eval_split`) `config` names then.

    Raises UserError, too, where the run's own evaluation prompts cannot be had or have changed since.
    """
    with blamed_on(checkpoint):
        recorded, here = settings_at(checkpoint, device, base_model)
        here = replace(here, **other)
        reward, detector = bind_scores(here)
        learner = learner_at(checkpoint, recorded, here, load_base(checkpoint, here, base_model), keep_base)
        environment = build_environment(here, learner) if other else environment_of_the_run(here, learner)
        run = Run(**vars(learner), environment=environment, reward=reward, detector=detector)
        if not other:
            check_made_of(run, checkpoint.absolute().parent, but=OF_THE_MACHINE | OF_TRAINING)
    run.config = replace(run.config, **other)
    return run


def settings_at(checkpoint: Path, device: str, base_model: str | None) -> tuple[ResolvedExperiment, ResolvedExperiment]:
    """A run's settings as recorded, and with `device`, model and dataset as they are to be had from here. Raises UserError."""
    step_of(checkpoint)
    settings = read_config(folder := checkpoint.absolute().parent)
    here = prepare(replace(settings, device=device))
    recorded = replace(here, device=settings.device)
    written, now = recorded_settings(folder), spelt_out(recorded)
    if wrong := [name for name in written | now if written.get(name, ...) != now.get(name, ...)]:
        raise UserError(f"{files.CONFIG}: not as it was written: {', '.join(wrong)}")
    paths = recorded_paths(folder, settings)
    return recorded, replace(here, model=base_model or paths.get("model", here.model), dataset=paths.get("dataset", here.dataset))


def load_base(checkpoint: Path, here: ResolvedExperiment, base_model: str | None) -> Pretrained:
    """Raises UserError when it cannot be had or has other weights than the run began with."""
    option, hint = ("--model", "; --base_model PATH names a base that has moved") if base_model is None else ("--base_model", "")
    try:
        pretrained = load_pretrained(here.model)
    except UserError as error:
        raise UserError(f"{error}{hint}".replace("--model ", f"{option} ")) from error
    then = read_made_of(checkpoint.absolute().parent).get("base_fingerprint")
    if then != pretrained.fingerprint:
        raise UserError(f"{option} {here.model}: has other weights than the run began with: base_fingerprint was {then}, "
                        f"is {pretrained.fingerprint}{hint}")  # fmt: skip
    return pretrained


def environment_of_the_run(here: ResolvedExperiment, learner: Learner) -> Environment:
    try:
        return build_environment(here, learner)
    except UserError as error:
        raise UserError(f"{error}; {ANOTHER_DATASET}") from error


def learner_at(
    checkpoint: Path, recorded: ResolvedExperiment, here: ResolvedExperiment, pretrained: Pretrained, keep_base: bool
) -> Learner:
    learner = build_learner(here, pretrained)
    learner.config = recorded
    if keep_base and not has_base(learner):
        learner.reference = copy.deepcopy(learner.policy).requires_grad_(False)
    load_checkpoint(learner, checkpoint)
    if learner.step != step_of(checkpoint):
        raise UserError(f"trainer.json: step is {learner.step}")
    then, now = read_made_of(checkpoint.absolute().parent).get("config_hash"), config_hash(recorded)
    if then != now:
        raise UserError(f"{files.MADE_OF}: config_hash is {then}, the settings' is {now}")
    return learner


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


def check_made_of(run: Run, run_folder: Path, but: Collection[str]) -> None:
    """Raises UserError when run.json tells of other settings, base weights or prompts than `run` has."""
    now = made_of(run)
    recorded = read_json(run_folder / files.MADE_OF, set(now), may_have=BESIDE)
    for name in now:
        if name not in but and recorded[name] != now[name]:
            hint = f"; {ANOTHER_DATASET}" if name.startswith("eval_prompts") else ""
            raise UserError(
                f"the run was made of other things than are found now: {name} was {recorded[name]}, is {now[name]}{hint}"
            )


def made_of(run: Run) -> dict[str, Any]:
    """What the run's numbers depend on beside its settings."""
    environment = run.environment
    rewards = {part.name: part.fingerprint() for part in run.reward.components if part.fingerprint}
    return {
        "config_hash": config_hash(run.config),
        "components": {component.name: component.role for component in run.reward.components},
        **({"plugins": plugins_record(run.config.plugins)} if run.config.plugins else {}),
        **source_record(run.config.continue_from),
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


def relative_paths(config: ResolvedExperiment) -> dict[str, str]:
    """Where model and dataset are, of those that are named by a path from the working directory of the day."""
    named = {"model": config.model, "dataset": config.dataset}
    return {name: str(Path(path).absolute()) for name, path in named.items()
            if path != NURSERY and not Path(path).is_absolute() and Path(path).is_dir()}  # fmt: skip


def recorded_paths(run_folder: Path, settings: Experiment) -> dict[str, str]:
    """`relative_paths` of the day, but those that lead somewhere from here and there no more; earlier versions recorded none."""
    paths = read_made_of(run_folder).get("paths", {})
    check_kinds(f"{run_folder / files.MADE_OF}: paths", paths, dict.fromkeys(("model", "dataset"), (str, NoneType)))
    return {name: path for name, path in paths.items() if Path(path).is_dir() or not Path(getattr(settings, name)).is_dir()}


def of_the_machine(run: Run) -> dict[str, Any]:
    """What rounding depends on."""
    return {"torch": torch.__version__, "device": device_name(run.device), "threads": torch.get_num_threads()}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def prompts_fingerprint(prompts: tuple[Prompt, ...]) -> str:
    """Digest of the prompts' ids: two runs with equal ones saw the same data."""
    return hashlib.sha256(repr([prompt.token_ids for prompt in prompts]).encode()).hexdigest()[:16]
