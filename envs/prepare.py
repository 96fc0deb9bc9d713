"""An experiment's settings against the registries: the environment's own defaults, and rewards and detectors by name."""

from pathlib import Path

from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import run_name
from configs.resolve import resolve
from configs.resolved import ResolvedExperiment
from envs import ENVIRONMENTS
from envs.binding import bind_detector, bind_reward
from envs.types import BoundReward, Predicate


def default_detectors() -> dict[str, str]:
    """By environment; of those, too, that were entered after this module was imported."""
    return {name: entry.default_detector for name, entry in ENVIRONMENTS.items()}


def prepare(experiment: Experiment, cuda_available: bool) -> ResolvedExperiment:
    """The settings that will run, their rewards and detectors known to be there. Raises UserError for what does not fit."""
    prepared = resolve(experiment, cuda_available, default_detectors())
    bind_scores(prepared)
    return prepared


def bind_scores(prepared: ResolvedExperiment) -> tuple[BoundReward, Predicate]:
    """The reward and the detector that prepared settings name. Raises UserError."""
    try:
        reward = bind_reward(prepared.reward, prepared.env.name)
    except ValueError as error:
        raise UserError(f"--reward {prepared.reward}: {error}") from error
    if prepared.env.eligible_fraction < 1 and all(component.role == "retain" for component in reward.components):
        raise UserError(f"--env.eligible_fraction {prepared.env.eligible_fraction}: has no effect: --reward {reward.name} "
                        "has no component with the role forget")  # fmt: skip
    detector = prepared.env.detector
    assert detector is not None, "resolved"
    try:
        return reward, bind_detector(detector, prepared.env.name)
    except ValueError as error:
        raise UserError(f"--env.detector {detector}: {error}") from error


def folder_of(prepared: ResolvedExperiment) -> Path:
    return prepared.output_dir / run_name(prepared, ENVIRONMENTS[prepared.env.name].default_detector)
