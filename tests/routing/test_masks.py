"""Who learns from whom: masked passes against plain autograd on a tiny policy, in float64.

Mixed batches hold samples 0 to 5, of which 1, 3 and 4 are labelled bad. `alone` is the gradient of one class without
any router: the reference for every mask.
"""

import contextlib
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from grpo.loss import loss_denominator
from grpo.loss_terms import LOSS_TYPES
from routing.adapters import get_scales, set_scales
from routing.modes import BAD, FORGET, GOOD, LORA, RETAIN, RETAIN_ROLLOUT
from routing.router import MicroBatch, masked_gradients, route, routed_backward
from tests.helpers import pairwise
from tests.routing.tiny_policy import (
    ALL_BAD,
    ALL_GOOD,
    LAST_HALF,
    LEARNS,
    MAX_LENGTH,
    MIXED,
    ONE_BAD,
    Loss,
    N,
    Samples,
    TinyPolicy,
    all_close,
    all_equal,
    alone,
    gradients,
    one_pass,
    part_backward,
    routed,
    rows_of,
    samples,
    tiny_policy,
)

# Masks


@pytest.mark.parametrize(("mode", "label", "adapter"), LEARNS)
def test_truth_table_of_masks(mode: str, label: str, adapter: str):
    """What a pass adds to an adapter's gradient in a mixed batch: zero in all its parameters, or nonzero in all."""
    policy = tiny_policy()
    batch, added = samples(policy), {}

    def watched(micro_batch: MicroBatch) -> None:
        before = gradients(policy)[adapter]
        one_pass(policy, batch)(micro_batch)
        added[micro_batch.name] = [
            new if old is None else new - old for old, new in zip(before, gradients(policy)[adapter], strict=True)
        ]

    routed_backward(policy, route(MIXED, mode), watched)
    assert len(added[label]) == 4  # A and B in two layers
    assert [bool(grad.any()) for grad in added[label]] == [LEARNS[mode, label, adapter]] * 4


@pytest.mark.parametrize("mode", ["classic", "exclusive"])
def test_retain_learns_nothing_from_bad_samples(mode: str):
    """Fails when the hook is removed: retain's gradient is that of the good samples alone, whatever the bad ones hold."""
    policy = tiny_policy()
    batch = samples(policy)
    good, bad = alone(policy, batch, rows_of(GOOD)), alone(policy, batch, rows_of(BAD))
    assert min(grad.abs().max() for grad in bad[RETAIN]) > 1e-4, "without a mask there would be something to learn"
    assert all_equal(routed(policy, batch, MIXED, mode)[RETAIN], good[RETAIN])
    loud = replace(batch, advantages=torch.where(MIXED, 1000 * batch.advantages, batch.advantages))
    assert all_equal(routed(policy, loud, MIXED, mode)[RETAIN], good[RETAIN])
    with masked_gradients(policy, frozenset({FORGET})):
        part_backward(policy, batch, rows_of(BAD), Loss())
    assert all_equal(gradients(policy)[RETAIN], good[RETAIN]), "a bad pass by itself adds exactly zero"


@pytest.mark.parametrize("mode", ["classic", "exclusive"])
def test_forget_not_retain_learns_from_bad_samples(mode: str):
    """Fails when the adapters are swapped, in the masks or in the meaning of the scales."""
    policy = tiny_policy()
    batch = samples(policy)
    good, expected = alone(policy, batch, rows_of(GOOD))[FORGET], alone(policy, batch, rows_of(BAD))[FORGET]
    if mode == "classic":
        expected = [g + b for g, b in zip(good, expected, strict=True)]
    assert all_close(routed(policy, batch, MIXED, mode)[FORGET], expected)

    everything = alone(policy, batch, torch.arange(N))
    found = routed(policy, batch, ALL_BAD, mode)
    assert all_equal(found[FORGET], everything[FORGET])
    assert found[RETAIN] == [None] * 4

    # An update on bad samples alone shows with the forget adapter on and is gone with it off.
    before = outputs_by_scale(policy, batch)
    torch.optim.SGD((p for p in policy.parameters() if p.requires_grad), lr=1.0).step()
    after = outputs_by_scale(policy, batch)
    assert {scales: torch.equal(before[scales], after[scales]) for scales in before} == {
        "retain only": True, "forget only": False, "both": False, "base": True,
    }  # fmt: skip


def outputs_by_scale(policy: TinyPolicy, batch: Samples) -> dict[str, Tensor]:
    scales = {"retain only": (1.0, 0.0), "forget only": (0.0, 1.0), "both": (1.0, 1.0), "base": (0.0, 0.0)}
    outputs = {}
    for name, (retain, forget) in scales.items():
        set_scales(policy, retain, forget)
        with torch.no_grad():
            outputs[name] = policy(batch.ids)
    set_scales(policy, 1.0, 1.0)
    return outputs


def test_exclusive_forget_learns_nothing_from_good_samples():
    policy = tiny_policy()
    batch = samples(policy)
    assert all_close(routed(policy, batch, MIXED, "exclusive")[FORGET], alone(policy, batch, rows_of(BAD))[FORGET])


@pytest.mark.parametrize("mode", ["classic", "exclusive"])
def test_retain_learns_from_good_samples_as_without_a_mask(mode: str):
    policy = tiny_policy()
    batch = samples(policy)
    assert all_equal(routed(policy, batch, ALL_GOOD, mode)[RETAIN], alone(policy, batch, torch.arange(N))[RETAIN])


def test_retain_rollouts_train_retain_as_if_there_were_no_forget_adapter():
    policy = tiny_policy()
    batch, learnt = samples(policy), torch.tensor([5])
    set_scales(policy, 1.0, 0.0)
    expected = alone(policy, batch, learnt)[RETAIN]
    set_scales(policy, 1.0, 1.0)
    assert not all_close(alone(policy, batch, learnt)[RETAIN], expected)
    forget = alone(policy, batch, torch.tensor([0, 1, 2]))[FORGET]
    bad = torch.tensor([True, True, True, True, True, False])
    routed_backward(policy, route(bad, "classic", LAST_HALF), one_pass(policy, batch))
    found = gradients(policy)
    assert all_equal(found[RETAIN], expected)
    assert all_close(found[FORGET], forget)


@pytest.mark.parametrize("raises", [True, False])
def test_scales_of_retain_rollouts_are_put_back(raises: bool):
    policy = tiny_policy()
    set_scales(policy, 0.5, 0.25)
    seen = {}

    def watched(micro_batch: MicroBatch) -> None:
        seen[micro_batch.name] = get_scales(policy)
        if raises and micro_batch.name == RETAIN_ROLLOUT:
            raise FloatingPointError

    with contextlib.suppress(FloatingPointError):
        routed_backward(policy, route(MIXED, "classic", LAST_HALF), watched)
    usual = {RETAIN: 0.5, FORGET: 0.25}
    assert seen == {GOOD: usual, BAD: usual, RETAIN_ROLLOUT: {RETAIN: 1.0, FORGET: 0.0}}
    assert get_scales(policy) == usual


@pytest.mark.parametrize(
    ("loss_type", "beta", "labelled", "ranks"),
    pairwise(LOSS_TYPES, [0.0, 0.1], [MIXED, ALL_GOOD, ALL_BAD, ONE_BAD], [{RETAIN: 2, FORGET: 3}, {LORA: 2}]),
)
def test_unmasked_passes_sum_to_the_gradient_of_the_whole_batch(loss_type: str, beta: float, labelled: Tensor, ranks: dict):
    policy = tiny_policy(ranks)
    batch = samples(policy)
    loss = Loss(loss_type, beta, loss_denominator(batch.mask, loss_type, MAX_LENGTH))
    whole = alone(policy, batch, torch.arange(N), replace(loss, denominator=None))
    found = routed(policy, batch, labelled, "none", loss)
    assert set(found) == set(whole) == set(ranks)
    for name in whole:
        assert all_close(found[name], whole[name])


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_passes_with_denominators_of_their_own_would_not_sum(loss_type: str):
    """What the test above can tell apart."""
    policy = tiny_policy()
    batch = samples(policy)
    whole = alone(policy, batch, torch.arange(N), Loss(loss_type, denominator=None))
    found = routed(policy, batch, MIXED, "none", Loss(loss_type, denominator=None))
    assert not all_close(found[RETAIN], whole[RETAIN])


def test_passes_of_a_model_without_adapters_sum_to_the_gradient_of_the_whole_batch():
    policy = tiny_policy(ranks={})
    batch = samples(policy)
    part_backward(policy, batch, torch.arange(N), Loss())
    whole = [parameter.grad.clone() for parameter in policy.parameters()]
    policy.zero_grad(set_to_none=True)
    results = routed_backward(policy, route(MIXED, "none"), one_pass(policy, batch))
    assert set(results) == {GOOD, BAD}
    assert all_close([parameter.grad for parameter in policy.parameters()], whole)


def test_results_of_the_passes_come_back_by_class():
    policy = tiny_policy()
    batch = samples(policy)
    results = routed_backward(policy, route(MIXED, "classic"), one_pass(policy, batch))
    whole = part_backward(policy, batch, torch.arange(N), Loss())
    assert list(results) == [GOOD, BAD]
    assert results[GOOD] + results[BAD] == pytest.approx(whole, rel=1e-12)
