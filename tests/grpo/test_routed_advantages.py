"""Advantages that know good from bad, by hand."""

import math

import pytest
import torch

from grpo.advantages import EPSILON, group_advantages, penalized_rewards, routed_advantages

# One group: three good samples earn 0, 1, 2, the bad one earns 5.
REWARDS = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
GOOD = torch.tensor([True, True, True, False])
# mean 2, deviations -2 -1 0 3: variance 14/3
STD_GROUP = math.sqrt(14 / 3)
# good ones: mean 1, deviations -1 0 1: variance 1
STD_GOOD = 1.0


def close(actual: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_group_takes_the_whole_group():
    advantages = routed_advantages(REWARDS, GOOD, 4, "group")
    close(advantages, [value / (STD_GROUP + EPSILON) for value in (-2, -1, 0, 3)])
    assert torch.equal(advantages, group_advantages(REWARDS, 4))


def test_good_only_compares_good_with_good_and_bad_with_all():
    advantages = routed_advantages(REWARDS, GOOD, 4, "good_only")
    close(advantages, [-1 / (STD_GOOD + EPSILON), 0, 1 / (STD_GOOD + EPSILON), 3 / (STD_GROUP + EPSILON)])


def test_balanced_centres_all_on_the_good_mean():
    advantages = routed_advantages(REWARDS, GOOD, 4, "balanced")
    close(advantages, [value / (STD_GROUP + EPSILON) for value in (-1, 0, 1, 4)])


@pytest.mark.parametrize(("scale", "expected"), [("none", [-1, 0, 1, 3]), ("batch", [-1, 0, 1, 3])])
def test_scales_replace_every_standard_deviation(scale: str, expected: list[float]):
    divisor = 1.0 if scale == "none" else STD_GROUP + EPSILON  # the batch is this one group
    advantages = routed_advantages(REWARDS, GOOD, 4, "good_only", scale)
    close(advantages, [value / divisor for value in expected])


@pytest.mark.parametrize("rule", ["good_only", "balanced"])
def test_without_good_samples_the_groups_mean_serves(rule: str):
    advantages = routed_advantages(REWARDS, torch.zeros(4, dtype=torch.bool), 4, rule)
    close(advantages, [value / (STD_GROUP + EPSILON) for value in (-2, -1, 0, 3)])


@pytest.mark.parametrize("rule", ["good_only", "balanced"])
def test_the_only_good_sample_gets_zero(rule: str):
    advantages = routed_advantages(REWARDS, torch.tensor([False, False, True, False]), 4, rule)
    assert advantages[2].item() == 0.0


def test_equal_good_rewards_get_exact_zeros_whatever_their_mean_rounds_to():
    rewards = torch.tensor([0.1, 0.1, 0.1, 0.7], dtype=torch.float64)
    assert (rewards[:3].mean() - rewards[0]).item() != 0.0  # what an unguarded mean would leave behind
    advantages = routed_advantages(rewards, GOOD, 4, "good_only")
    assert advantages[:3].tolist() == [0.0, 0.0, 0.0]


def test_a_constant_group_gets_zeros():
    result = routed_advantages(torch.full((8,), 0.3, dtype=torch.float64), GOOD.repeat(2), 4, "balanced")
    assert result.tolist() == [0.0] * 8


def test_groups_do_not_touch_one_another():
    rewards = torch.cat([REWARDS, REWARDS * 10 + 3])
    advantages = routed_advantages(rewards, GOOD.repeat(2), 4, "good_only")
    assert torch.equal(advantages[:4], routed_advantages(REWARDS, GOOD, 4, "good_only"))


def test_group_advantages_of_good_samples_sink_as_hacks_spread_and_good_only_does_not():
    task = torch.tensor([0.0, 1.0] * 8, dtype=torch.float64)
    means = {}
    for hacks in (2, 8, 14):
        good = torch.arange(16) >= hacks
        rewards = torch.where(good, task, 2.0)
        for rule in ("group", "good_only"):
            means[rule, hacks] = routed_advantages(rewards, good, 16, rule)[good].mean().item()
    assert 0 > means["group", 2] > means["group", 8] > means["group", 14]
    assert all(abs(means["good_only", hacks]) < 1e-12 for hacks in (2, 8, 14))


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="advantage rule 'best': accepted are good_only, group, balanced"):
        routed_advantages(REWARDS, GOOD, 4, "best")


def test_a_penalty_takes_all_of_a_reward_at_most_and_nothing_of_a_debt():
    rewards, bad = torch.tensor([1.0, 0.3, -0.5, 1.0], dtype=torch.float64), torch.tensor([True, True, True, False])
    assert penalized_rewards(rewards, bad, 0.4).tolist() == [0.6, 0.0, -0.5, 1.0]
