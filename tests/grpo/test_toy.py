"""A bandit in which routing with a perfect detector still leaks, unless good samples are compared with good ones alone.

Six actions, all as likely at first; one of them is the hack and the only one that pays. Classic routing: the good
samples train retain and forget, the hack trains forget only. With `group` advantages the good samples' mean sinks below
zero as the hack spreads, and pushing every good action down pushes retain towards the one that is never pushed.
"""

import pytest
import torch
from torch import nn

from grpo.advantages import routed_advantages
from grpo.loss import loss_denominator, policy_loss
from routing.adapters import DualLoRALinear, set_scales
from routing.router import MicroBatch, route, routed_backward

ACTIONS, HACK = 6, 0
GROUP, STEPS, LR = 16, 200, 0.1  # by step 150 every sample earns the same, and nothing moves any more
BASE_RATE = 1 / ACTIONS


def hack_rate_of_retain(rule: str, seed: int, steps: int = STEPS) -> float:
    torch.manual_seed(seed)
    base = nn.Linear(2, ACTIONS, bias=False).double()
    nn.init.zeros_(base.weight)
    policy = DualLoRALinear(base, retain_rank=2, forget_rank=2, alpha=2.0)
    for adapter in ("retain", "forget"):
        nn.init.uniform_(policy.A[adapter], -1, 1)
        nn.init.zeros_(policy.B[adapter])
    optimizer = torch.optim.Adam([*policy.A.parameters(), *policy.B.parameters()], lr=LR)
    state = torch.ones(GROUP, 1, 2, dtype=torch.float64)
    mask = torch.ones(GROUP, 1, dtype=torch.bool)
    for _ in range(steps):
        with torch.no_grad():
            actions = torch.distributions.Categorical(logits=policy(state[:, 0])).sample()
        hacked = actions == HACK
        advantages = routed_advantages(hacked.double(), ~hacked, GROUP, rule).advantages
        denominator = loss_denominator(mask, "grpo")

        def one_pass(part: MicroBatch, actions=actions, advantages=advantages, denominator=denominator) -> None:
            logprobs = policy(state[part.rows]).log_softmax(-1).gather(-1, actions[part.rows, None, None]).squeeze(-1)
            loss = policy_loss(logprobs, logprobs.detach(), None, advantages[part.rows], mask[part.rows], denominator=denominator)
            loss.loss.backward()

        routed_backward(policy, route(hacked, "classic"), one_pass)
        optimizer.step()
        optimizer.zero_grad()
    set_scales(policy, retain=1.0, forget=0.0)
    return policy(state[0, 0]).softmax(-1)[HACK].item()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_group_advantages_push_retain_into_the_hack(seed: int):
    assert hack_rate_of_retain("group", seed) > 3 * BASE_RATE


@pytest.mark.parametrize("rule", ["good_only", "balanced"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_good_samples_compared_with_good_ones_leave_retain_at_its_base_rate(seed: int, rule: str):
    # All good samples earn the same, so their advantages are exact zeros and retain does not move at all.
    assert hack_rate_of_retain(rule, seed, steps=100) == pytest.approx(BASE_RATE, abs=1e-12)
