"""Gradients before masks, against plain autograd on one class of samples, and their cosines, in float64."""

import pytest
import torch
from torch import Tensor

from routing.adapters import adapter_parameters
from routing.gradients import Gradients, gradient_cosines, unmasked_gradients
from routing.modes import BAD, FORGET, GOOD, LORA, RETAIN, RETAIN_ROLLOUT
from routing.router import MicroBatch, route, routed_backward
from tests.routing.tiny_policy import (
    LAST_HALF,
    MIXED,
    MODES,
    Samples,
    TinyPolicy,
    all_equal,
    alone,
    gradients,
    hooks,
    one_pass,
    routed,
    rows_of,
    samples,
    tiny_policy,
)


def seen_by_class(policy: TinyPolicy, batch: Samples, mode: str, retain_rollouts: Tensor | None = None) -> dict[str, Gradients]:
    policy.zero_grad(set_to_none=True)
    found: dict[str, Gradients] = {}

    def watched(micro_batch: MicroBatch) -> None:
        one_pass(policy, batch)(micro_batch)
        found[micro_batch.name] = dict(seen)
        seen.clear()

    with unmasked_gradients(policy) as seen:
        routed_backward(policy, route(MIXED, mode, retain_rollouts), watched)
    return found


def of(policy: TinyPolicy, seen: Gradients, adapter: str) -> list[Tensor]:
    return [seen[parameter] for parameter in adapter_parameters(policy)[adapter].values()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("label", [GOOD, BAD])
def test_the_gradient_of_a_class_is_seen_whole_whatever_is_masked(mode: str, label: str):
    policy = tiny_policy()
    batch = samples(policy)
    expected = alone(policy, batch, rows_of(label))
    seen = seen_by_class(policy, batch, mode)[label]
    for adapter in (RETAIN, FORGET):
        assert all_equal(of(policy, seen, adapter), expected[adapter])


@pytest.mark.parametrize("mode", MODES)
def test_looking_changes_no_bit_of_what_is_learnt(mode: str):
    policy = tiny_policy()
    batch = samples(policy)
    expected = routed(policy, batch, MIXED, mode)
    seen_by_class(policy, batch, mode)
    found = gradients(policy)
    assert all(all_equal(found[adapter], expected[adapter]) for adapter in (RETAIN, FORGET))
    assert hooks(policy) == []


def test_what_was_seen_stays_when_gradients_are_added_to_and_cleared():
    """What a hook was given is not what PyTorch keeps as the parameter's gradient and adds the next pass's to."""
    policy = tiny_policy()
    batch = samples(policy)
    expected = alone(policy, batch, rows_of(GOOD))
    seen = seen_by_class(policy, batch, "none")[GOOD]
    for parameter in seen:
        parameter.grad.zero_()
    assert all_equal(of(policy, seen, RETAIN), expected[RETAIN])


def test_several_backward_passes_add_up():
    policy = tiny_policy()
    batch = samples(policy)
    one, other = (alone(policy, batch, rows_of(label))[FORGET] for label in (GOOD, BAD))
    with unmasked_gradients(policy) as seen:
        routed_backward(policy, route(MIXED, "exclusive"), one_pass(policy, batch))
    torch.testing.assert_close(of(policy, seen, FORGET), [a + b for a, b in zip(one, other, strict=True)], rtol=0, atol=1e-13)


def test_retain_rollouts_have_no_gradient_in_the_forget_adapter():
    policy = tiny_policy()
    seen = seen_by_class(policy, samples(policy), "classic", LAST_HALF)[RETAIN_ROLLOUT]
    groups = adapter_parameters(policy)
    assert {*seen} == {*groups[RETAIN].values()}
    assert gradient_cosines(policy, seen, seen) == {RETAIN: pytest.approx(1.0, abs=1e-12), FORGET: None}


@pytest.mark.parametrize("ranks", [{LORA: 2}, {}])
def test_without_two_adapters_nothing_is_seen(ranks: dict[str, int]):
    policy = tiny_policy(ranks)
    with unmasked_gradients(policy) as seen:
        one_pass(policy, samples(policy))(MicroBatch(GOOD, rows_of(GOOD), None))
    assert seen == {} and gradient_cosines(policy, seen, seen) == {}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([3.0, 4.0], [4.0, 3.0], 24 / 25),
        ([3.0, 4.0], [-6.0, -8.0], -1.0),
        ([3.0, 4.0], [8.0, -6.0], 0.0),
        ([0.0, 0.0], [1.0, 0.0], None),
        ([torch.inf, 1.0], [1.0, 0.0], None),
    ],
)
def test_cosines_by_hand(one: list[float], other: list[float], expected: float | None):
    """Of all of an adapter's parameters together: the first number stands in the first of them, the second in the last."""
    policy = tiny_policy()

    def spread(values: list[float]) -> Gradients:
        found: Gradients = {}
        for group in adapter_parameters(policy).values():
            found |= {parameter: torch.zeros_like(parameter) for parameter in group.values()}
            first, *_, last = group.values()
            found[first].view(-1)[0], found[last].view(-1)[-1] = values
        return found

    cosines = gradient_cosines(policy, spread(one), spread(other))
    assert cosines == {name: expected if expected is None else pytest.approx(expected, abs=1e-15) for name in (RETAIN, FORGET)}


def test_a_class_without_samples_has_no_cosine():
    policy = tiny_policy()
    seen = seen_by_class(policy, samples(policy), "classic")[GOOD]
    assert gradient_cosines(policy, seen, {}) == gradient_cosines(policy, {}, seen) == {RETAIN: None, FORGET: None}
