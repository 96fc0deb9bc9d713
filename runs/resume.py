"""An interrupted run taken up again, so that its end is that of a run which was never interrupted."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import NOT_IDENTITY
from configs.resolve import flatten
from envs.binding import folder_of
from grpo.run import Run, build_run, prepare
from records.folder import RunFolder, read_json_file
from runs.checkpoint import CheckpointError, load_checkpoint, read_trainer
from runs.preflight import preflight
from runs.restore import check_made_of, read_config, step_of


def recorded_config(folder: Path, asked: Experiment | None) -> Experiment:
    """A run's own settings; where it is kept and how it is shown may be asked for anew.

    Raises UserError, listing the differences, when `asked` is another experiment.
    """
    recorded = read_config(folder)
    here = prepare(recorded if asked is None else asked)
    if prepare(recorded) != recorded:
        raise UserError(f"--resume {folder}: config.yaml holds settings that this machine or version resolves differently")
    if differences := different_settings(recorded, here):
        raise UserError(f"--resume {folder}: is a run with other settings: {', '.join(differences)}")
    return replace(here, output_dir=folder.absolute().parent)


def different_settings(recorded: Experiment, asked: Experiment) -> list[str]:
    """`beta 0.02, not 0.01` for each setting that makes it another experiment; of the device, its kind counts."""
    one, other = flatten(recorded), flatten(asked)
    differ = [name for name in one if one[name] != other[name] and name not in NOT_IDENTITY]
    same_kind = recorded.device.partition(":")[0] == asked.device.partition(":")[0]
    return [f"{name} {one[name]}, not {other[name]}" for name in differ if name != "device" or not same_kind]


def run_to_resume(folder: str, asked: Experiment) -> Path:
    """The folder that was named, or else the one that the settings have. Raises UserError where there is no run."""
    path = Path(folder) if folder else folder_of(prepare(asked))
    if (path / "config.yaml").is_file():
        return path
    here, near = prepare(asked), dict[str, list[str]]()
    for config in [] if folder else sorted(path.parent.glob("*/config.yaml")):
        with suppress(UserError):  # another version's run
            near[config.parent.name] = different_settings(read_config(config.parent), here)
    nearest = min(near, key=lambda name: len(near[name]), default=None)
    said = f"; the nearest, {nearest}, has {', '.join(near[nearest])}" if nearest else ""
    raise UserError(f"--resume: there is no run {path}{said}")


def is_finished(folder: Path) -> bool:
    return read_json_file(folder / "status.json")["state"] == "finished"


def resumed_run(config: Experiment, folder: RunFolder) -> tuple[Run, list[str]]:
    """The run at its last whole checkpoint, or at its start without one, its files cut back to there; and what to say of it.

    A damaged checkpoint is set aside under another name, and said. Raises UserError where model, data, PyTorch or the
    device are others than the run was made of: its end would be no one run's.
    """
    recorded = read_json_file(folder.path / "run.json")
    if config.device == "cpu":  # another number of threads rounds differently
        torch.set_num_threads(recorded["threads"])
    run = build_run(config)
    check_made_of(run, folder.path, but=())
    preflight(run)
    said: list[str] = []
    for checkpoint in last_first(folder.path):
        try:
            load_checkpoint(run, checkpoint)
            if run.step != step_of(checkpoint):
                raise CheckpointError(f"{checkpoint}: its trainer.json says step {run.step}")
            folder.cut_back(read_trainer(checkpoint)["lines"])
        except ValueError as error:
            damaged = checkpoint.with_name(f"{checkpoint.name}.damaged")
            checkpoint.rename(damaged)
            said.append(f"{damaged}: set aside: {' '.join(str(error).split())}")
            run = build_run(config)
            continue
        return run, [*said, f"{folder.path}: resumed at step {run.step} of {config.max_steps}"]
    folder.cut_back({})
    return run, [*said, f"{folder.path}: no whole checkpoint, so it starts again at step 0"]


def last_first(folder: Path) -> list[Path]:
    """A run's checkpoints; those half written or set aside have other names."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=step_of, reverse=True)
