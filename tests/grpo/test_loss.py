"""The policy loss against hand arithmetic and a slow per-token form, and what it refuses; in float64."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from grpo.loss import kl_estimate, loss_denominator, policy_loss
from grpo.loss_terms import KL_ESTIMATORS, LOSS_TYPES
from tests.grpo.losses import ESTIMATORS, LIMIT, Inputs, column, described, evaluate, prefix_mask, random_inputs
from tests.helpers import pairwise

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
