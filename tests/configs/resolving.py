"""Settings as the command line has them, resolved."""

from configs.cli import ExperimentOptions, parse_with_config
from configs.experiment import Experiment
from configs.resolve import OfReward, refuse_inert, resolve
from configs.resolved import ResolvedExperiment

OF_REWARD = OfReward(detector="happy_at_least(threshold=1)", penalty_on="all")


def resolved(asked: Experiment, cuda_available: bool = False) -> ResolvedExperiment:
    return resolve(asked, cuda_available, OF_REWARD)


def from_words(words: str, cuda_available: bool = False) -> ResolvedExperiment:
    """As launch.py does."""
    options, named = parse_with_config(ExperimentOptions, words.split(), "", "launch.py")
    refuse_inert(options.experiment, named)
    return resolved(options.experiment, cuda_available)
