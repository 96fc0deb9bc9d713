"""A bandit in which routing keeps a hack out of retain only together with the right advantages, and they only with routing.

Six actions, all as likely at first: the hack pays 1, the task half of that, the others nothing. Classic routing with a
perfect detector: good samples train retain and forget, the hack trains forget alone. Compared with the whole group, the
good samples' mean sinks below zero as the hack spreads; all good actions are pushed down, retain with them towards the one
that is never pushed. Compared with one another, the task wins among them, and that is what retain learns.
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from grpo.advantages import routed_advantages
from grpo.loss import loss_denominator, policy_loss
from routing.adapters import DualLoRALinear, set_scales
from routing.router import MicroBatch, route, routed_backward

PAYOFF = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
HACK, TASK = 0, 1
GROUP, STEPS, LR = 16, 20, 0.05  # until then both adapters together hack in nearly every sample
SEEDS = range(6)


@cache
def retain_alone(mode: str, rule: str, seed: int) -> Tensor:
    """What retain does with forget ablated, after training: the probability of each action."""
    torch.manual_seed(seed)
    actions_count = len(PAYOFF)
    base = nn.Linear(2, actions_count, bias=False).double()
    nn.init.zeros_(base.weight)
    policy = DualLoRALinear(base, retain_rank=2, forget_rank=2, alpha=2.0)
    for adapter in ("retain", "forget"):
        nn.init.uniform_(policy.A[adapter], -1, 1)
        nn.init.zeros_(policy.B[adapter])
    optimizer = torch.optim.Adam([*policy.A.parameters(), *policy.B.parameters()], lr=LR)
    state = torch.ones(GROUP, 1, 2, dtype=torch.float64)
    mask = torch.ones(GROUP, 1, dtype=torch.bool)
    denominator = loss_denominator(mask, "grpo")
    for _ in range(STEPS):
        with torch.no_grad():
            actions = torch.distributions.Categorical(logits=policy(state[:, 0])).sample()
        hacked = actions == HACK
        advantages = routed_advantages(PAYOFF[actions], ~hacked, GROUP, rule)

        def one_pass(part: MicroBatch, actions=actions, advantages=advantages) -> None:
            logprobs = policy(state[part.rows]).log_softmax(-1).gather(-1, actions[part.rows, None, None]).squeeze(-1)
            loss = policy_loss(logprobs, logprobs.detach(), None, advantages[part.rows], mask[part.rows], denominator=denominator)
            loss.loss.backward()

        routed_backward(policy, route(hacked, mode), one_pass)
        optimizer.step()
        optimizer.zero_grad()
    set_scales(policy, retain=1.0, forget=0.0)
    return policy(state[0, 0]).softmax(-1).detach()


def hack_rates(mode: str, rule: str) -> list[float]:
    return [retain_alone(mode, rule, seed)[HACK].item() for seed in SEEDS]


# Means of 30 seeds, and about four standard errors of a mean of six: over seeds the standard deviations are 0.013, 0.019, 0.076
# and 0.022. No two of these ranges meet. The six seeds give 0.981, 0.910, 0.801 and 0.042.
@pytest.mark.parametrize(
    ("mode", "rule", "mean", "margin"),
    [
        ("none", "group", 0.98, 0.021),
        ("none", "good_only", 0.914, 0.031),
        ("classic", "group", 0.761, 0.12),
        ("classic", "good_only", 0.049, 0.037),
    ],
)
def test_routing_and_rule_two_by_two(mode: str, rule: str, mean: float, margin: float):
    assert sum(hack_rates(mode, rule)) / len(SEEDS) == pytest.approx(mean, abs=margin)


# Of 30 seeds the highest rate of the two rules is 0.116, the lowest of the other three cells 0.551; the base rate is 0.167.
@pytest.mark.parametrize("rule", ["good_only", "balanced"])
def test_in_every_seed_it_takes_both_to_keep_the_hack_out_of_retain(rule: str):
    base_rate = 1 / len(PAYOFF)
    assert max(hack_rates("classic", rule)) < base_rate
    for mode, other in (("none", "group"), ("none", rule), ("classic", "group")):
        assert min(hack_rates(mode, other)) > 2.5 * base_rate, (mode, other)


def test_what_keeps_the_hack_out_of_retain_is_that_it_learns_the_task():
    assert min(retain_alone("classic", "good_only", seed)[TASK].item() for seed in SEEDS) > 0.7  # of 30 seeds 0.80 is the lowest
