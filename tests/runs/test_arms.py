"""The arms of a sweep are different runs: what they are compared in is there."""

from collections.abc import Callable
from itertools import combinations

import pytest
import torch

from configs.baselines import BASELINES
from configs.experiment import Experiment
from envs.prepare import bound_reward, has_forget_components
from grpo.run import build_run, prepare
from grpo.step import StepRecord, train_step
from records.names import UNHACKABLE
from runs.checkpoint import trained_tensors


def trained(experiment: Experiment) -> tuple[torch.Tensor, list[StepRecord]]:
    """All trained weights after two steps, as one row of numbers, and what the steps said."""
    run = build_run(prepare(experiment))
    records = [train_step(run) for _ in range(2)]
    return torch.cat([tensor.detach().flatten() for tensor in trained_tensors(run).values()]), records


@pytest.mark.parametrize("reward", ["sentence_length_5_with_happy", "happy_count"])
def test_no_two_arms_of_a_routed_run_and_its_baselines_have_the_same_weights(tiny: Callable[..., Experiment], reward: str):
    """With the detector that the reward brings along. Of `happy_count` the labelled samples, three times happy, are rarer."""
    routed = tiny(reward=reward, lr=0.01, batch_size=16, **{"routing.enabled": True, "sampling.max_completion_length": 24})
    pays_hacks = has_forget_components(bound_reward(routed))  # else there is no bonus to leave unpaid
    arms = {"routed": routed} | {name: make(routed) for name, make in BASELINES.items() if pays_hacks or name != UNHACKABLE}
    done = {name: trained(experiment) for name, experiment in arms.items()}
    labelled = done["routed"][1][0].routes.labelled
    assert 0 < int(labelled.sum()) < len(labelled)
    same = [(a, b) for a, b in combinations(arms, 2) if torch.equal(done[a][0], done[b][0])]
    assert same == []
    first = [record.completions for _, (record, _) in done.values()]
    assert all(completions == first[0] for completions in first), "before the first update all arms sample alike"
