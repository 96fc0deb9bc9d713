"""Settings as launch.py reads and resolves them."""

from configs.cli import parse_with_config
from configs.experiment import Experiment
from configs.resolve import OfReward, refuse_inert, resolve
from configs.resolved import ResolvedExperiment
from launch import LaunchOptions
from tests.configs.asked import one_line

OF_REWARD = OfReward(detector="happy_at_least(threshold=1)", penalty_on="all")


def launch(*words: str) -> Experiment:
    return parse_with_config(LaunchOptions, words, "Trains.", "launch.py")[0].experiment


def launch_with_effect(*words: str) -> Experiment:
    """As launch.py does, which refuses settings without effect that somebody asked for."""
    options, named = parse_with_config(LaunchOptions, words, "Trains.", "launch.py")
    refuse_inert(options.experiment, named)
    return options.experiment


def resolved(asked: Experiment, cuda_available: bool = False) -> ResolvedExperiment:
    return resolve(asked, cuda_available, OF_REWARD)


def from_words(words: str, cuda_available: bool = False) -> ResolvedExperiment:
    return resolved(launch_with_effect(*words.split()), cuda_available)


def refusal(*words: str) -> str:
    return one_line(lambda: launch(*words))
