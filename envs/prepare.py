"""An experiment's settings against the registries: the environment's own defaults, and rewards and detectors by name."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from configs.errors import did_you_mean, setting_error
from configs.experiment import Experiment
from configs.naming import run_name, spelt_out
from configs.resolve import OfReward, require, resolve
from configs.resolved import ResolvedExperiment
from envs.binding import bind_detector, bind_reward
from envs.plugins import environments_of, tables_of, with_session_told
from envs.types import BoundReward, Predicate
from records.checkpoints import check_source, resolved_source


def prepare(experiment: Experiment, cuda_available: bool, named: Collection[str] = ()) -> ResolvedExperiment:
    """The settings that will run, their rewards and detectors known to be there. Raises UserError for what does not fit, and
    for settings among those `named` that the reward leaves without effect.
    """
    experiment = with_session_told(experiment)
    refuse_idle_share(experiment, named)
    source = resolved_source(experiment.continue_from)
    prepared = resolve(replace(experiment, continue_from=source), cuda_available, of_reward(experiment))
    check_source(experiment.continue_from, spelt_out(prepared))
    reward, _ = bind_scores(prepared)
    steps = prepared.eval.relearn_steps
    require(steps == 0 or reward.hack is not None, "eval.relearn_steps", steps, lacks_hack(reward))
    return prepared


def of_reward(settings: Experiment | ResolvedExperiment) -> OfReward:
    """The defaults that the reward brings along: its detector, or else the environment's. Raises UserError."""
    reward = bound_reward(settings)
    detector = reward.detector or environments_of(settings.plugins)[settings.env.name].default_detector
    return OfReward(detector, "forget" if has_forget_components(reward) else "all")


def refuse_idle_share(settings: Experiment | ResolvedExperiment, named: Collection[str]) -> None:
    """Raises UserError for an eligible_fraction that is named, or not 1, where no component is paid by it."""
    share = settings.env.eligible_fraction
    if share != 1 or "env.eligible_fraction" in named:
        reward = bound_reward(settings)
        require(has_forget_components(reward), "env.eligible_fraction", share, lacks_forget(reward))


def lacks_hack(reward: BoundReward) -> str:
    return f"has no meaning: --reward {reward.name} does not say what its hack is"


def lacks_forget(reward: BoundReward) -> str:
    return f"has no effect: --reward {reward.name} has no component with the role forget"


def bound_reward(settings: Experiment | ResolvedExperiment) -> BoundReward:
    """Raises UserError for an unknown environment and for a reward that it does not have."""
    name = settings.env.name
    environments = environments_of(settings.plugins)
    require(name in environments, "env.name", name, f"accepted are {', '.join(environments)}{did_you_mean(name, environments)}")
    assert isinstance(settings.reward, str | dict), "prepared"
    try:
        return bind_reward(settings.reward, name, tables_of(settings.plugins))
    except ValueError as error:
        raise setting_error("reward", settings.reward, str(error)) from error


def has_forget_components(reward: BoundReward) -> bool:
    return any(component.role == "forget" for component in reward.components)


def bind_scores(prepared: ResolvedExperiment) -> tuple[BoundReward, Predicate]:
    """The reward and the detector that prepared settings name. Raises UserError."""
    reward, treatment = bound_reward(prepared), prepared.treatment
    if not has_forget_components(reward):
        penalizes = treatment.name == "reward_penalty" and treatment.penalty_on == "forget"
        require(not penalizes, "reward_penalty_on", treatment.penalty_on, lacks_forget(reward))
    return reward, bound_detector(prepared)


def check_names(experiment: Experiment) -> None:
    """Raises UserError for an environment, a reward or a detector that is not there: at once, before anything is resolved."""
    bound_reward(experiment)
    if experiment.env.detector is not None:
        bound_detector(experiment)


def bound_detector(settings: Experiment | ResolvedExperiment) -> Predicate:
    """Of settings that name one."""
    detector = settings.env.detector
    assert detector is not None, "resolved"
    try:
        return bind_detector(detector, settings.env.name, tables_of(settings.plugins))
    except ValueError as error:
        raise setting_error("env.detector", detector, str(error)) from error


def folder_of(prepared: ResolvedExperiment) -> Path:
    return prepared.output_dir / run_name(prepared, of_reward(prepared).detector)
