"""The policy loss against exact expectations over toy policies, and over several passes; in float64."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from grpo.advantages import group_advantages
from grpo.loss import policy_loss
from tests.grpo.losses import Inputs, column, described, evaluate

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
