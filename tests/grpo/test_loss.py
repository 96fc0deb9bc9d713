"""The policy loss against hand arithmetic, a slow per-token form, and exact expectations over toy policies; in float64."""

import itertools
import math
from dataclasses import asdict
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from grpo.advantages import group_advantages
from grpo.loss import kl_estimate, loss_denominator, policy_loss, ratio_figures
from grpo.loss_terms import KL_ESTIMATORS, LOSS_TYPES
from tests.helpers import pairwise

ESTIMATORS = [("k1", True), ("k2", False), ("k2", True), ("k3", False), ("k3", True)]  # every one that is accepted
LIMIT = 9  # max_completion_length, longer than any row below


class Inputs(NamedTuple):
    logprobs: Tensor
    old: Tensor
    ref: Tensor
    advantages: Tensor
    mask: Tensor

    def rows(self, selected) -> "Inputs":
        return Inputs(*(tensor[selected] for tensor in self))


def prefix_mask(lengths: list[int], width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def random_inputs(seed: int, lengths: list[int], width: int) -> Inputs:
    """Log-ratios and log-probability differences of about 0.5, so that a good share of tokens is clipped."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = normal(len(lengths), width) - 2
    differences = normal(2, len(lengths), width) / 2
    return Inputs(old + differences[0], old, old + differences[1], normal(len(lengths)), prefix_mask(lengths, width))


def described(inputs: Inputs, **options) -> SimpleNamespace:
    """Loss, policy part and KL part, and the figures of the ratios."""
    result = policy_loss(*inputs, **options)
    epsilons = {"epsilon_low": 0.2, "epsilon_high": 0.2} | {k: v for k, v in options.items() if k.startswith("epsilon")}
    advantages = inputs.advantages[:, None].expand_as(inputs.mask)
    figures = asdict(ratio_figures(result.ratio[inputs.mask], advantages[inputs.mask], **epsilons)) if inputs.mask.any() else {}
    return SimpleNamespace(loss=result.loss, policy=result.policy, kl=result.kl, **figures)


def evaluate(inputs: Inputs, **options) -> tuple[SimpleNamespace, Tensor]:
    """The loss with its figures, and its gradient with respect to the log-probabilities."""
    logprobs = inputs.logprobs.clone().requires_grad_()
    result = described(inputs._replace(logprobs=logprobs), **options)
    (gradient,) = torch.autograd.grad(result.loss, logprobs)
    return result, gradient


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


# ---- By hand ----


def hand_inputs() -> Inputs:
    """Ratios 3/2 and 1/2 in a row of advantage 1; ratio 1/2 and a masked token in a row of advantage -2."""
    old = torch.full((2, 2), 0.25, dtype=torch.float64).log()
    ratio = torch.tensor([[1.5, 0.5], [0.5, 7.0]], dtype=torch.float64)
    ref = torch.full((2, 2), 0.125, dtype=torch.float64).log()
    advantages = torch.tensor([1.0, -2.0], dtype=torch.float64)
    return Inputs(old + ratio.log(), old, ref, advantages, torch.tensor([[True, True], [True, False]]))


# -min(ratio A, clip(ratio, 0.8, 1.2) A) is, token by token:
#   -min(1.5, 1.2) = -1.2 (clipped, no gradient)    -min(0.5, 0.8) = -0.5 (gradient -A ratio = -0.5)
#   -min(-1.0, -1.6) = 1.6 (clipped, no gradient)
@pytest.mark.parametrize(
    ("loss_type", "value", "slope"),
    [
        ("grpo", ((-1.2 - 0.5) / 2 + 1.6) / 2, -0.5 / 2 / 2),  # row means, then their mean: 0.375
        ("dr_grpo", (-1.2 - 0.5 + 1.6) / (2 * 4), -0.5 / (2 * 4)),  # by 2 rows x limit 4: -0.0125
        ("dapo", (-1.2 - 0.5 + 1.6) / 3, -0.5 / 3),  # by 3 tokens
    ],
)
def test_surrogate_by_hand(loss_type, value, slope):
    result, gradient = evaluate(hand_inputs(), loss_type=loss_type, max_completion_length=4)
    assert result.loss.item() == pytest.approx(value, abs=1e-14)
    assert_close(gradient, torch.tensor([[0.0, slope], [0.0, 0.0]], dtype=torch.float64), rtol=0, atol=1e-14)


def test_diagnostics_by_hand():
    result, _ = evaluate(hand_inputs())
    assert result.tokens == 3
    assert result.clip_high == pytest.approx(1 / 3)  # the token of ratio 1.5, advantage 1
    assert result.clip_low == pytest.approx(1 / 3)  # that of ratio 0.5, advantage -2; not that of 0.5, advantage 1
    assert result.ratio_mean == pytest.approx((1.5 + 0.5 + 0.5) / 3)
    assert (result.ratio_min, result.ratio_max) == pytest.approx((0.5, 1.5))  # not the 7 under the mask


# Five tokens of one row each, epsilons 0.2 and 0.5: the clipping range is [0.8, 1.5].
@pytest.mark.parametrize(
    ("ratios", "advantages", "low", "high"),
    [
        ([1.6, 1.4, 1.6, 1.6, 1.6], [1, 1, -1, 0, 2], 0, 2 / 5),  # above only counts with a positive advantage
        ([0.7, 0.7, 0.9, 0.1, 0.7], [-1, 1, -1, -3, 0], 2 / 5, 0),  # below only with a negative one
        ([0.7, 1.6, 1.3, 0.7, 1.6], [-1, 1, 1, -1, 1], 2 / 5, 2 / 5),  # 1.3 is within the larger upper side
    ],
)
def test_clip_shares_need_the_sign_that_makes_clipping_bind(ratios, advantages, low, high):
    old, mask = torch.zeros(5, 1, dtype=torch.float64), torch.ones(5, 1, dtype=torch.bool)
    inputs = Inputs(column(*ratios).log(), old, None, torch.tensor(advantages, dtype=torch.float64), mask)
    result = described(inputs, epsilon_high=0.5)
    assert (result.clip_low, result.clip_high) == pytest.approx((low, high))


# d = log policy - log reference = log 2, ratio policy/old = 3; the slope is in log policy.
@pytest.mark.parametrize(
    ("estimator", "corrected", "value", "slope"),
    [
        ("k1", True, 3 * math.log(2), 3 * (math.log(2) + 1)),  # ratio d: 2.0794
        ("k2", False, math.log(2) ** 2 / 2, math.log(2)),  # d^2/2: 0.2402
        ("k2", True, 3 * math.log(2) ** 2 / 2, 3 * (math.log(2) ** 2 / 2 + math.log(2))),  # slope ratio (d^2/2 + d)
        ("k3", False, 0.5 - 1 + math.log(2), 1 - 0.5),  # reference/policy - 1 + d: 0.1931; slope 1 - reference/policy
        ("k3", True, 3 * (0.5 - 1 + math.log(2)), 3 * (math.log(2) - 0.5 + 0.5)),  # slope ratio (k3 + 1 - 1/2)
    ],
)
def test_kl_estimates_by_hand(estimator, corrected, value, slope):
    logprobs = column(0.6).log().requires_grad_()
    estimate = kl_estimate(logprobs, column(0.2).log(), column(0.3).log(), estimator, corrected)
    estimate.sum().backward()
    assert estimate.item() == pytest.approx(value, rel=1e-13)
    assert logprobs.grad is not None and logprobs.grad.item() == pytest.approx(slope, rel=1e-13)


def test_loss_is_policy_plus_beta_kl_and_alone_carries_a_gradient():
    # On-policy with reference = policy / 2: every k2 is log(2)^2 / 2 = 0.24023 and every surrogate -A.
    inputs = hand_inputs()
    inputs = inputs._replace(logprobs=inputs.old)
    result, gradient = evaluate(inputs, beta=0.5, kl_estimator="k2")
    assert result.policy.item() == pytest.approx((-1 + 2) / 2)  # row means -1 and 2
    assert result.kl.item() == pytest.approx(math.log(2) ** 2 / 2)
    assert result.loss.item() == pytest.approx(0.5 + 0.5 * math.log(2) ** 2 / 2)
    # (-A + beta d) / (2 rows x tokens in the row)
    slope = 0.5 * math.log(2)
    assert_close(gradient, torch.tensor([[(-1 + slope) / 4, (-1 + slope) / 4], [(2 + slope) / 2, 0]], dtype=torch.float64))
    attached = policy_loss(inputs.logprobs.clone().requires_grad_(), *inputs[1:], beta=0.5)
    assert attached.loss.requires_grad and not attached.policy.requires_grad and not attached.kl.requires_grad


def test_kl_is_reported_without_weighing_on_the_loss_when_beta_is_zero():
    inputs = hand_inputs()
    with_reference, gradient = evaluate(inputs)
    without, gradient_without = evaluate(inputs._replace(ref=None))
    assert with_reference.kl.item() > 0.1 and without.kl.item() == 0
    assert torch.equal(with_reference.loss, without.loss) and torch.equal(with_reference.loss, with_reference.policy)
    assert torch.equal(gradient, gradient_without)


@pytest.mark.parametrize(("loss_type", "expected"), [("grpo", 3.0), ("dr_grpo", 3 * 7.0), ("dapo", 2 + 0 + 4.0)])
def test_denominator_by_hand(loss_type, expected):
    assert loss_denominator(prefix_mask([2, 0, 4], 5), loss_type, 7) == expected


# ---- Against the slow form, every two settings together ----

SIDES = {"below": [(0.4, 0.7)], "inside": [(0.92, 1.15)], "above": [(1.5, 2.0)]}
SIDES["mixed"] = [interval for intervals in list(SIDES.values()) for interval in intervals]


def table_inputs(side: str) -> Inputs:
    """Rows of every sign and several lengths, with the ratios on one side of the clipping range, clear of its bounds."""
    lengths, width = [4, 3, 2, 0, 1, 4], 4
    inputs = random_inputs(7, lengths, width)
    generator = torch.Generator().manual_seed(8)
    low, high = torch.tensor(SIDES[side], dtype=torch.float64)[
        torch.randint(len(SIDES[side]), (6, 4), generator=generator)
    ].unbind(2)
    ratio = low + (high - low) * torch.rand(6, 4, generator=generator, dtype=torch.float64)
    advantages = torch.tensor([1.3, -0.7, 0.0, 2.1, -1.5, 0.4], dtype=torch.float64)
    return inputs._replace(logprobs=inputs.old + ratio.log(), advantages=advantages)


def slow_kl(ratio: float, policy: float, reference: float, estimator: str, corrected: bool) -> float:
    match estimator:
        case "k1":
            value = math.log(policy / reference)
        case "k2":
            value = 0.5 * math.log(reference / policy) ** 2
        case "k3":
            value = reference / policy - 1 - math.log(reference / policy)
    return ratio * value if corrected else value


def slow_policy_loss(inputs, *, loss_type, beta, epsilon_low, epsilon_high, kl_estimator, kl_corrected) -> dict[str, float]:
    """Floats, token by token; for A > 0 the ratio is capped from above, for A < 0 from below."""
    all_tokens = sum(map(sum, inputs[4]))
    policy = kl = 0.0
    ratios, low, high = [], 0, 0
    for logprobs, old, ref, advantage, mask in zip(*inputs, strict=True):
        weight = {
            "grpo": 1 / (len(inputs[4]) * max(sum(mask), 1)),
            "dr_grpo": 1 / (len(inputs[4]) * LIMIT),
            "dapo": 1 / all_tokens,
        }
        for lp, lp_old, lp_ref, seen in zip(logprobs, old, ref, mask, strict=True):
            if not seen:
                continue
            ratio = math.exp(lp) / math.exp(lp_old)
            capped = min(ratio, 1 + epsilon_high) if advantage > 0 else max(ratio, 1 - epsilon_low)
            policy -= capped * advantage * weight[loss_type]
            kl += slow_kl(ratio, math.exp(lp), math.exp(lp_ref), kl_estimator, kl_corrected) * weight[loss_type]
            high += capped < ratio and advantage > 0
            low += capped > ratio and advantage < 0
            ratios.append(ratio)
    return {
        "loss": policy + beta * kl,
        "policy": policy,
        "kl": kl,
        "tokens": all_tokens,
        "clip_low": low / all_tokens,
        "clip_high": high / all_tokens,
        "ratio_mean": math.fsum(ratios) / all_tokens,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def slow_gradient(inputs, **options) -> list[list[float]]:
    """Central differences of the slow loss; their own error is about 1e-9."""
    step = 1e-5
    gradient = [[0.0] * len(row) for row in inputs[0]]
    for row, t in itertools.product(range(len(gradient)), range(len(gradient[0]))):
        ends = []
        for moved in (step, -step):
            logprobs = [list(values) for values in inputs[0]]
            logprobs[row][t] += moved
            ends.append(slow_policy_loss((logprobs, *inputs[1:]), **options)["loss"])
        gradient[row][t] = (ends[0] - ends[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("weigh_kl", [True, False])
@pytest.mark.parametrize(
    ("loss_type", "estimator", "side", "epsilons", "beta"),
    pairwise(LOSS_TYPES, ESTIMATORS, [*SIDES], [(0.2, 0.2), (0.1, 0.35)], [0.02, 1.5]),
)
def test_every_pair_of_settings_equals_the_slow_form(loss_type, estimator, side, epsilons, beta, weigh_kl):
    options = {"loss_type": loss_type, "kl_estimator": estimator[0], "kl_corrected": estimator[1], "beta": beta * weigh_kl}
    options |= {"epsilon_low": epsilons[0], "epsilon_high": epsilons[1]}
    inputs = table_inputs(side)
    lists = [tensor.tolist() for tensor in inputs]
    result, gradient = evaluate(inputs, max_completion_length=LIMIT, **options)
    for name, expected in slow_policy_loss(lists, **options).items():
        value = getattr(result, name)
        assert (value.item() if isinstance(value, Tensor) else value) == pytest.approx(expected, rel=1e-12, abs=1e-14), name
    assert_close(gradient, torch.tensor(slow_gradient(lists, **options), dtype=torch.float64), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("epsilon_low", "epsilon_high", "clipped"),
    [(0.2, 0.2, True), (0.2, 0.6, False), (0.6, 0.2, True)],
)
def test_the_upper_bound_is_the_upper_epsilon(epsilon_low, epsilon_high, clipped):
    inputs = Inputs(column(1.5).log(), column(1.0).log(), None, torch.ones(1, dtype=torch.float64), torch.ones(1, 1).bool())
    result, gradient = evaluate(inputs, epsilon_low=epsilon_low, epsilon_high=epsilon_high)
    assert result.loss.item() == pytest.approx(-1.2 if clipped else -1.5)
    assert gradient.item() == pytest.approx(0.0 if clipped else -1.5)


def test_a_ratio_on_the_bound_keeps_its_whole_gradient():
    inputs = hand_inputs()
    result, gradient = evaluate(inputs._replace(logprobs=inputs.old), epsilon_low=0.0, epsilon_high=0.0)
    assert_close(gradient, torch.tensor([[-0.25, -0.25], [1.0, 0.0]], dtype=torch.float64), rtol=0, atol=0)
    assert (result.clip_low, result.clip_high) == (0, 0)


# ---- Exact expectations over a toy policy: a softmax over four outcomes, all of them enumerated ----

THETA = torch.tensor([0.3, -1.1, 0.8, 0.0], dtype=torch.float64)
REFERENCE = torch.tensor([-0.4, 0.5, 0.2, 1.0], dtype=torch.float64).log_softmax(0)
BEHAVIOUR = torch.tensor([0.9, 0.1, -0.6, 0.2], dtype=torch.float64)  # another policy's, for samples that are off-policy
REWARDS = torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=torch.float64)


def expected(advantages: Tensor, sampled_from: Tensor = THETA, **options) -> tuple[float, Tensor]:
    """The sum over outcomes of their probability times their loss, and its gradient in theta; samples are constants."""
    theta = THETA.clone().requires_grad_()
    logprobs, old = theta.log_softmax(0)[:, None, None], sampled_from.log_softmax(0)[:, None, None]
    total = torch.zeros((), dtype=torch.float64)
    for a in range(len(theta)):
        mask = torch.ones(1, 1, dtype=torch.bool)
        loss = policy_loss(logprobs[a], old[a], REFERENCE[a].view(1, 1), advantages[a : a + 1], mask, **options).loss
        total = total + old[a].exp().squeeze() * loss
    (gradient,) = torch.autograd.grad(total, theta)
    return total.item(), gradient


def softmax_gradient(slopes: Tensor) -> Tensor:
    """The gradient in theta of a sum over outcomes p f(log p), from its slopes f + f': p_k (slope_k - mean slope)."""
    p = THETA.softmax(0)
    return p * (slopes - (p * slopes).sum())


def kl_to_reference() -> Tensor:
    return (THETA.softmax(0) * (THETA.log_softmax(0) - REFERENCE)).sum()


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_expected_on_policy_gradient_is_the_exact_policy_gradient(loss_type, baseline):
    _, gradient = expected(REWARDS - baseline, loss_type=loss_type)
    assert_close(gradient, -softmax_gradient(REWARDS), rtol=0, atol=1e-15)  # d E[reward] / d theta_k = p_k (r_k - E[r])


def test_expected_unclipped_off_policy_loss_is_that_of_the_policy_itself():
    value, gradient = expected(REWARDS, sampled_from=BEHAVIOUR, epsilon_low=1.0, epsilon_high=100.0)
    assert value == pytest.approx(-(THETA.softmax(0) * REWARDS).sum().item(), rel=1e-14)
    assert_close(gradient, -softmax_gradient(REWARDS), rtol=0, atol=1e-15)


def test_expected_gradient_of_whole_groups_is_the_policy_gradient_times_one_minus_a_group_size_th():
    # A reward minus a mean that contains it keeps 1 - 1/G of itself: 2/3 for groups of 3.
    theta = THETA.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for group in itertools.product(range(4), repeat=3):
        drawn = torch.tensor(group)
        logprobs = theta.log_softmax(0)[drawn, None]
        advantages = group_advantages(REWARDS[drawn], 3, "none")
        loss = policy_loss(logprobs, logprobs.detach(), None, advantages, torch.ones(3, 1, dtype=torch.bool)).loss
        total = total + logprobs.detach().sum().exp() * loss
    (gradient,) = torch.autograd.grad(total, theta)
    assert_close(gradient, -softmax_gradient(REWARDS) * 2 / 3, rtol=0, atol=1e-15)


def difference() -> Tensor:
    return THETA.log_softmax(0) - REFERENCE


KL_GRADIENTS = {  # hand-derived, with d = log p - log q
    # KL(p || q) = sum p d: slopes d + 1, of which the 1 drops out
    "KL(policy || reference)": lambda: softmax_gradient(difference()),
    # KL(q || p) = sum q (log q - log p): d log p_a / d theta_k = [a = k] - p_k gives p_k - q_k
    "KL(reference || policy)": lambda: THETA.softmax(0) - REFERENCE.exp(),
    # sum p d^2/2: slopes d^2/2 + d
    "E[d^2 / 2]": lambda: softmax_gradient(difference() ** 2 / 2 + difference()),
}


@pytest.mark.parametrize(
    ("estimator", "corrected", "whose"),
    [
        ("k1", True, "KL(policy || reference)"),
        ("k2", False, "KL(policy || reference)"),
        ("k2", True, "E[d^2 / 2]"),
        ("k3", False, "KL(reference || policy)"),
        ("k3", True, "KL(policy || reference)"),
    ],
)
def test_expected_kl_gradient_on_policy(estimator, corrected, whose):
    gradients = {name: gradient() for name, gradient in KL_GRADIENTS.items()}
    _, gradient = expected(torch.zeros_like(THETA), beta=1.0, kl_estimator=estimator, kl_corrected=corrected)
    for name, exact in gradients.items():
        distance = (gradient - exact).abs().max().item()
        assert (distance < 1e-15) if name == whose else (distance > 0.02), name  # one gradient, told from the others


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_corrected_estimates_are_those_of_the_policy_whoever_sampled(estimator):
    options = {"beta": 1.0, "kl_estimator": estimator, "kl_corrected": True}
    value, gradient = expected(torch.zeros_like(THETA), sampled_from=BEHAVIOUR, **options)
    assert value == pytest.approx(kl_to_reference().item(), rel=1e-14)
    assert_close(gradient, KL_GRADIENTS["KL(policy || reference)"](), rtol=0, atol=1e-15)


def test_k3_is_unbiased_as_a_value_and_k2_is_not():
    k2, _ = expected(torch.zeros_like(THETA), beta=1.0, kl_estimator="k2")
    k3, _ = expected(torch.zeros_like(THETA), beta=1.0, kl_estimator="k3")
    assert k3 == pytest.approx(kl_to_reference().item(), rel=1e-14)
    assert abs(k2 - kl_to_reference().item()) > 0.005


def test_k1_uncorrected_would_have_no_gradient_on_average_and_is_refused():
    theta = THETA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((THETA.softmax(0) * (theta.log_softmax(0) - REFERENCE)).sum(), theta)
    assert gradient.abs().max() < 1e-15  # the sum of p d log p / d theta is that of d p / d theta: zero
    with pytest.raises(ValueError, match="'k1' needs kl_corrected"):
        expected(torch.zeros_like(THETA), beta=1.0, kl_estimator="k1")


def two_step_outcomes(theta: Tensor) -> list[tuple[Tensor, float]]:
    """Sequences over {0 = EOS, 1, 2} of at most 2 tokens: their log-probabilities by token, and a reward each.

    Row 0 of theta [3, 3] rules the first token, row c the one after token c.
    """
    logp = theta.log_softmax(1)
    sequences = [logp[0, 0, None]]
    sequences += [torch.stack((logp[0, first], logp[first, second])) for first in (1, 2) for second in (0, 1, 2)]
    return list(zip(sequences, [0.5, 1.0, -1.0, 2.0, 0.0, 3.0, -0.5], strict=True))


# Of sequences of different lengths only a common denominator leaves the reward as it is; the token mean of
# `grpo` weighs each by 1 / length (arXiv:2503.20783, section 3.1).
@pytest.mark.parametrize(
    ("loss_type", "effective_reward"),
    [("dr_grpo", lambda reward, _: reward / 2), ("grpo", lambda reward, length: reward / length)],
)
def test_expected_gradient_over_sequences_is_that_of_the_expected_reward(loss_type, effective_reward):
    generator = torch.Generator().manual_seed(3)
    theta = torch.randn(3, 3, generator=generator, dtype=torch.float64).requires_grad_()
    total, reward_expected = torch.zeros(2, dtype=torch.float64).unbind()
    for logprobs, reward in two_step_outcomes(theta):
        inputs = (logprobs[None], logprobs.detach()[None], None, torch.tensor([reward], dtype=torch.float64))
        mask = torch.ones(1, len(logprobs), dtype=torch.bool)
        loss = policy_loss(*inputs, mask, loss_type=loss_type, max_completion_length=2).loss
        total = total + logprobs.detach().sum().exp() * loss
        reward_expected = reward_expected + logprobs.sum().exp() * effective_reward(reward, len(logprobs))
    (gradient,) = torch.autograd.grad(total, theta, retain_graph=True)
    (exact,) = torch.autograd.grad(-reward_expected, theta)
    assert_close(gradient, exact, rtol=0, atol=1e-15)


# ---- Several passes over one rollout ----


@pytest.mark.parametrize(
    ("advantage", "ratio", "slope"),
    [
        (1, 1.3, 0.0),  # raised enough
        (1, 0.7, -0.7),  # -A ratio: it must still be raised, however far it fell
        (-1, 0.7, 0.0),  # lowered enough
        (-1, 1.3, 1.3),
        (1, 1.1, -1.1),
        (-1, 0.9, 0.9),
    ],
)
def test_clipping_stops_a_token_only_in_the_direction_it_was_pushed(advantage, ratio, slope):
    advantages = torch.tensor([advantage], dtype=torch.float64)
    inputs = Inputs(column(0.4 * ratio).log(), column(0.4).log(), None, advantages, torch.ones(1, 1).bool())
    _, gradient = evaluate(inputs)
    assert gradient.item() == pytest.approx(slope, abs=1e-14)


@pytest.mark.parametrize("keeps_old", [True, False])
def test_passes_that_keep_the_old_logprobs_stop_at_the_clipping_bounds(keeps_old):
    """Two outcomes of probability 1/2, one of advantage 1 and one of -1: their ratios move alike, up and down."""
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    sampling = theta.detach().log_softmax(0)[:, None]
    advantages, mask = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.ones(2, 1).bool()
    old, losses, gradients = sampling, [], []
    for iteration in range(100):
        logprobs = theta.log_softmax(0)[:, None]
        result = described(Inputs(logprobs, old, None, advantages, mask))
        (gradient,) = torch.autograd.grad(result.loss, theta)
        assert iteration or result.ratio_min == result.ratio_max == 1.0
        theta = (theta - 0.05 * gradient).detach().requires_grad_()
        losses, gradients = [*losses, result.loss.item()], [*gradients, gradient.abs().max().item()]
        old = sampling if keeps_old else theta.detach().log_softmax(0)[:, None]
    ratio = (theta.detach().log_softmax(0)[:, None] - sampling).exp()[0].item()
    if keeps_old:
        assert 1.2 < ratio < 1.23 and gradients[-1] == 0.0 and (result.clip_low, result.clip_high) == (0.5, 0.5)
        assert losses[-1] == pytest.approx((-1.2 + 0.8) / 2)
        assert gradients[0] == pytest.approx(0.5)  # mean over 2 rows of -A (1/2, -1/2) in theta: 2 x 1/2 x 1/2
    else:
        assert ratio > 1.5 and gradients[-1] > 0.01


# ---- Partition invariance ----


def split_sum(parts: list[Inputs], **options) -> tuple[Tensor, list[Tensor]]:
    """The sums over parts of [loss, policy, kl], and each part's gradient."""
    results = [evaluate(part, **options) for part in parts]
    figures = torch.stack([torch.stack((result.loss.detach(), result.policy, result.kl)) for result, _ in results])
    return figures.sum(0), [gradient for _, gradient in results]


def padded(inputs: Inputs, columns: int) -> Inputs:
    """More columns, of garbage under the mask."""
    rows = len(inputs.mask)
    garbage = torch.full((rows, columns), math.nan, dtype=torch.float64)
    values = [torch.cat((tensor, garbage), 1) for tensor in inputs[:3]]
    return Inputs(*values, inputs.advantages, torch.cat((inputs.mask, torch.zeros(rows, columns).bool()), 1))


@pytest.mark.parametrize(("kl_estimator", "kl_corrected"), ESTIMATORS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=8).filter(any),
    assignment=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    shuffle=st.randoms(use_true_random=False),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_parts_add_up_to_the_whole(loss_type, kl_estimator, kl_corrected, lengths, assignment, shuffle, padding, seed):
    """Whatever the split, the order of rows and the padding, for loss, policy part, KL part and gradients."""
    options = {"loss_type": loss_type, "kl_estimator": kl_estimator, "kl_corrected": kl_corrected, "beta": 0.3}
    whole = random_inputs(seed, lengths, 5)
    result, gradient = evaluate(whole, max_completion_length=LIMIT, **options)

    denominator = loss_denominator(whole.mask, loss_type, LIMIT)
    order = shuffle.sample(range(len(lengths)), len(lengths))
    parts = [selected for part in range(4) if (selected := [row for row in order if assignment[row] == part])]
    figures, gradients = split_sum([padded(whole.rows(rows), padding) for rows in parts], denominator=denominator, **options)

    assert_close(figures, torch.stack((result.loss.detach(), result.policy, result.kl)), rtol=1e-13, atol=1e-14)
    for rows, part_gradient in zip(parts, gradients, strict=True):
        assert_close(part_gradient[:, :5], gradient[rows], rtol=1e-13, atol=1e-15)
        assert torch.equal(part_gradient[:, 5:], torch.zeros(len(rows), padding, dtype=torch.float64))


def test_parts_with_denominators_of_their_own_do_not_add_up():
    """What the shared denominator is for: of uneven parts each one's own mean would count its rows for more."""
    whole = random_inputs(5, [4, 2, 3], 4)
    for loss_type in LOSS_TYPES:
        result, _ = evaluate(whole, loss_type=loss_type, max_completion_length=LIMIT)
        figures, _ = split_sum([whole.rows([0]), whole.rows([1, 2])], loss_type=loss_type, max_completion_length=LIMIT)
        assert abs(figures[0] - result.loss).item() > 0.01


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_truncated_rows_masked_out_give_nothing_and_still_count(loss_type):
    """The kept rows' loss and gradients are those they have in the whole; the denominator is the whole's."""
    whole = random_inputs(11, [3, 5, 2, 5], 5)
    truncated = torch.tensor([False, True, False, True])
    denominator = loss_denominator(whole.mask, loss_type, LIMIT)
    options = {"loss_type": loss_type, "beta": 0.1, "denominator": denominator}
    result, gradient = evaluate(whole._replace(mask=whole.mask & ~truncated[:, None]), **options)
    kept, kept_gradient = evaluate(whole.rows(~truncated), **options)
    _, whole_gradient = evaluate(whole, **options)
    assert_close(result.loss, kept.loss, rtol=1e-14, atol=0)
    assert_close(gradient[~truncated], kept_gradient, rtol=0, atol=0)
    assert_close(gradient[~truncated], whole_gradient[~truncated], rtol=0, atol=0)
    assert torch.equal(gradient[truncated], torch.zeros(2, 5, dtype=torch.float64))
    assert result.tokens == kept.tokens == 5


@pytest.mark.parametrize(("loss_type", "share"), [("grpo", 1 / 2), ("dr_grpo", 1 / 2)])
def test_masked_rows_count_without_a_denominator_given(loss_type, share):
    # 2 of 4 rows are masked out: the loss is half of what it is for the other 2 alone.
    whole = random_inputs(12, [3, 0, 2, 0], 3)
    result, _ = evaluate(whole, loss_type=loss_type, max_completion_length=LIMIT)
    alone, _ = evaluate(whole.rows([0, 2]), loss_type=loss_type, max_completion_length=LIMIT)
    assert result.loss.item() == pytest.approx(alone.loss.item() * share, rel=1e-14)


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_part_without_tokens_has_no_loss_and_no_ratios(loss_type, rows):
    result, gradient = evaluate(random_inputs(0, [0] * rows, 3), loss_type=loss_type, beta=0.1, denominator=4.0)
    assert (result.loss.item(), result.policy.item(), result.kl.item()) == (0, 0, 0)
    with pytest.raises(ValueError, match="no token is in the loss"):
        ratio_figures(torch.ones(0), torch.ones(0), 0.2, 0.2)
    assert torch.equal(gradient, torch.zeros(rows, 3, dtype=torch.float64))


# ---- What stands under the mask ----


@pytest.mark.parametrize(
    ("estimator", "where", "garbage"),
    pairwise(ESTIMATORS, ["logprobs", "old", "ref", "all"], [math.nan, math.inf, -math.inf, 1e30, -1e30]),
)
def test_garbage_under_the_mask_changes_nothing(estimator, where, garbage):
    options = {"beta": 0.3, "kl_estimator": estimator[0], "kl_corrected": estimator[1], "max_completion_length": LIMIT}
    clean = random_inputs(2, [3, 0, 4, 1], 4)
    names = ("logprobs", "old", "ref") if where == "all" else (where,)
    dirty = clean._replace(**{name: getattr(clean, name).masked_fill(~clean.mask, garbage) for name in names})
    for loss_type in LOSS_TYPES:
        expected_result, expected_gradient = evaluate(clean, loss_type=loss_type, **options)
        result, gradient = evaluate(dirty, loss_type=loss_type, **options)
        assert result == expected_result  # every figure, to the last bit
        assert torch.equal(gradient, expected_gradient)
        assert torch.equal(gradient[~clean.mask], torch.zeros(8, dtype=torch.float64))


def test_garbage_in_a_token_that_counts_is_not_hidden():
    inputs = random_inputs(2, [3, 0, 4, 1], 4)
    inputs.logprobs[0, 2] = math.nan
    result, gradient = evaluate(inputs)
    assert result.loss.isnan() and gradient[0, 2].isnan()


# ---- Refusals ----


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_type": "gspo"}, "loss_type 'gspo': accepted are grpo, dr_grpo, dapo"),
        ({"loss_type": "gspo", "denominator": 3.0}, "loss_type 'gspo': accepted are grpo, dr_grpo, dapo"),
        ({"kl_estimator": "k4"}, "kl_estimator 'k4': accepted are k1, k2, k3"),
        ({"kl_estimator": "k4", "kl_corrected": True}, "kl_estimator 'k4': accepted are k1, k2, k3"),
        ({"loss_type": "dr_grpo"}, "'dr_grpo' needs max_completion_length"),
        ({"denominator": 0.0}, "the batch is empty"),
    ],
)
def test_refused_settings(options, message, reference):
    inputs = random_inputs(0, [2, 1], 2)
    with pytest.raises(ValueError, match=message):
        policy_loss(*(inputs if reference else inputs._replace(ref=None)), **options)


def test_beta_without_reference_is_refused():
    with pytest.raises(ValueError, match=r"beta 0\.02 needs reference"):
        policy_loss(*random_inputs(0, [2, 1], 2)._replace(ref=None), beta=0.02)


@pytest.mark.parametrize(
    ("loss_type", "lengths", "limit"),
    [("grpo", [], LIMIT), ("dr_grpo", [], LIMIT), ("dapo", [], LIMIT), ("dapo", [0, 0], LIMIT), ("dr_grpo", [2, 1], 0)],
)
def test_an_empty_batch_is_refused(loss_type, lengths, limit):
    with pytest.raises(ValueError, match="the batch is empty"):
        policy_loss(*random_inputs(0, lengths, 2), loss_type=loss_type, max_completion_length=limit)


def test_the_table_of_combinations_is_complete():
    """Every estimator, corrected and not, is either in the table above or refused."""
    for estimator, corrected in itertools.product(KL_ESTIMATORS, (False, True)):
        if (estimator, corrected) not in ESTIMATORS:
            with pytest.raises(ValueError, match="kl_estimator"):
                kl_estimate(column(0.5), column(0.5), column(0.5), estimator, corrected)
