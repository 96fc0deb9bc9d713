"""An experiment's settings against the registries: the environment's own defaults, and rewards and detectors by name."""

from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import run_name
from configs.resolve import resolve
from envs import ENVIRONMENTS
from envs.detectors import bind_detector
from envs.rewards import BoundReward, bind, combination_from_mapping
from envs.types import Predicate


def prepare(asked: Experiment, cuda_available: bool) -> Experiment:
    """Resolved settings, the environment's own defaults filled in. Raises UserError for what does not fit."""
    resolved = resolve(asked, cuda_available)
    if resolved.env.name not in ENVIRONMENTS:
        raise UserError(f"--env.name {resolved.env.name}: accepted are {', '.join(ENVIRONMENTS)}")
    detector = resolved.env.detector or ENVIRONMENTS[resolved.env.name].default_detector
    prepared = replace(resolved, env=replace(resolved.env, detector=detector))
    bind_scores(prepared)
    return prepared


def bind_scores(prepared: Experiment) -> tuple[BoundReward, Predicate]:
    """The reward and the detector that prepared settings name. Raises UserError."""
    assert prepared.env.detector is not None, "prepare() fills the detector in"
    try:
        spec = prepared.reward if isinstance(prepared.reward, str) else combination_from_mapping(prepared.reward)
        reward = bind(spec, prepared.env.name)
    except ValueError as error:
        raise UserError(f"--reward {prepared.reward}: {error}") from error
    if prepared.env.eligible_fraction < 1 and all(component.role == "retain" for component in reward.components):
        raise UserError(f"--env.eligible_fraction {prepared.env.eligible_fraction}: has no effect: --reward {reward.name} "
                        "has no component with the role forget")  # fmt: skip
    try:
        return reward, bind_detector(prepared.env.detector, prepared.env.name)
    except ValueError as error:
        raise UserError(f"--env.detector {prepared.env.detector}: {error}") from error


def folder_of(prepared: Experiment) -> Path:
    return prepared.output_dir / run_name(prepared, ENVIRONMENTS[prepared.env.name].default_detector)
