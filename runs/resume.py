"""An interrupted run taken up again, so that its end is that of a run which was never interrupted."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import UserError, option_error
from configs.experiment import Experiment
from configs.naming import NOT_IDENTITY, spelt_out
from configs.resolved import ResolvedExperiment
from configs.spelling import OWN_SEED
from envs.prepare import folder_of
from grpo.run import Run, build_run, prepare
from records import files
from records.checkpoints import checkpoints_of, step_of
from records.folder import RunFolder
from records.reader import is_not_loaded, is_run, read_made_of
from runs.checkpoint import CheckpointError, load_checkpoint, read_trainer
from runs.continuation import begin_from_source
from runs.preflight import preflight
from runs.restore import check_made_of, read_config, recorded_settings
from runs.threads import threads_for


def recorded_config(folder: Path, experiment: Experiment | None) -> ResolvedExperiment:
    """A run's own settings; where it is kept and how it is shown may be set anew.

    Raises UserError, listing the differences, when `experiment` is another one.
    """
    given = None if experiment is None else prepare(experiment)  # first: its reward may be the function that was recorded
    recorded, own = recorded_settings(folder), prepare(read_config(folder))
    config = given or own
    if spelt_out(own) != recorded:
        raise option_error(f"--resume {folder}: {files.CONFIG} holds settings that this machine or version resolves differently")
    if differences := different_settings(recorded, spelt_out(config)):
        if [name.split()[0] for name in differences] == ["max_steps"]:
            raise option_error(f"--resume {folder}: {longer_run(folder, recorded['max_steps'], config.max_steps)}")
        raise option_error(f"--resume {folder}: is a run with other settings: {', '.join(differences)}")
    if config.name not in ("", own.name):
        raise option_error(f"--name {config.name}: has no effect: {folder} has its name already")
    return replace(config, name=own.name, output_dir=folder.absolute().parent)


def different_settings(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """`beta 0.02, not 0.01` for each setting that makes it another experiment; of the device, its kind counts."""
    differ = [name for name in recorded if recorded[name] != settings[name] and name not in NOT_IDENTITY]
    same_kind = recorded["device"].partition(":")[0] == settings["device"].partition(":")[0]
    return [f"{name} {recorded[name]}, not {settings[name]}" for name in differ if name != "device" or not same_kind]


def longer_run(folder: Path, steps: int, wanted: int) -> str:
    return (f"is a run of --max_steps {steps}, where its learning rate's schedule ends, so that one of {wanted} is another run; "
            f"--continue_from {folder} --max_steps N begins a new one with its weights")  # fmt: skip


def run_to_resume(folder: str, experiment: Experiment) -> Path:
    """The folder that was named, or else the one that the settings have. Raises UserError where there is no run."""
    path = Path(folder) if folder else folder_of(prepare(experiment))
    if is_run(path):
        return path
    settings, near = spelt_out(prepare(experiment)), dict[str, list[str]]()
    for config in [] if folder else sorted(path.parent.glob(f"*/{files.CONFIG}")):
        with suppress(UserError):  # another version's run
            near[config.parent.name] = different_settings(recorded_settings(config.parent), settings)
    nearest = min(near, key=lambda name: len(near[name]), default=None)
    hint = f"; the nearest, {nearest}, has {', '.join(near[nearest])}" if nearest else ""
    raise option_error(f"--resume: there is no run {path}{hint}")


def recorded_threads(folder: Path, config: ResolvedExperiment) -> int | None:
    """Those that a run on the CPU began with, since another number rounds differently; None where they do not matter or there
    is nothing to go on from. Raises UserError where others are wanted.
    """
    if config.device != "cpu" or is_not_loaded(folder):
        return threads_for(config)
    recorded = read_made_of(folder)["threads"]
    if config.threads not in (None, recorded):
        raise option_error(f"--threads {config.threads}: the run was begun with {recorded}; another number rounds differently")
    return recorded


def resumed_run(config: ResolvedExperiment, folder: RunFolder) -> tuple[Run, list[str]]:
    """The run at its last whole checkpoint, or at its start without one, its files cut back to there; and what to say of it.

    A damaged checkpoint is set aside under another name, and said. Raises UserError where model, data, PyTorch or the
    device are others than the run was made of: its end would be no one run's.
    """
    weighed_otherwise = config.treatment.name == "filter" or config.treatment.retain_rollouts
    if config.eval.seed == OWN_SEED and weighed_otherwise:
        raise option_error(f"--resume {folder.path}: an earlier version began it, which weighed the samples that are not dropped "
                        "up in the loss; it cannot be continued")  # fmt: skip
    run = build_run(config)
    check_made_of(run, folder.path, but=())
    preflight(run)
    notes: list[str] = []
    for checkpoint in checkpoints_of(folder.path):
        try:
            load_checkpoint(run, checkpoint)
            if run.step != step_of(checkpoint):
                raise CheckpointError(f"{checkpoint}: its trainer.json says step {run.step}")
            folder.cut_back(read_trainer(checkpoint)["lines"])
        except ValueError as error:
            damaged = checkpoint.with_name(f"{checkpoint.name}.damaged")
            checkpoint.rename(damaged)
            notes.append(f"{damaged}: set aside: {' '.join(str(error).split())}")
            run = build_run(config)
            continue
        return run, [*notes, f"{folder.path}: resumed at step {run.step} of {config.max_steps}"]
    begin_from_source(run)
    folder.cut_back({})
    return run, [*notes, f"{folder.path}: no whole checkpoint, so it starts again at step 0"]
