"""Routes and passes, what they leave behind, and what an adapter without samples keeps; on a tiny policy, in float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from routing.adapters import adapter_parameters, set_scales
from routing.modes import BAD, FORGET, GOOD, LORA, RETAIN, RETAIN_ROLLOUT
from routing.router import MicroBatch, Routes, route, routed_backward
from tests.routing.tiny_policy import (
    ALL_BAD,
    ALL_GOOD,
    LAST_HALF,
    MIXED,
    MODES,
    Loss,
    N,
    TinyPolicy,
    all_close,
    all_equal,
    alone,
    gradients,
    hooks,
    one_pass,
    part_backward,
    routed,
    rows_of,
    samples,
    tiny_policy,
)

# Routes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("labelled", "expected"),
    [
        (MIXED, {GOOD: [0, 2, 5], BAD: [1, 3, 4]}),
        (ALL_GOOD, {GOOD: [0, 1, 2, 3, 4, 5]}),
        (ALL_BAD, {BAD: [0, 1, 2, 3, 4, 5]}),
        (torch.tensor([True]), {BAD: [0]}),
        (torch.tensor([], dtype=torch.bool), {}),
    ],
)
def test_micro_batches_hold_each_class_in_order_and_none_is_empty(mode: str, labelled: Tensor, expected: dict):
    routes = route(labelled, mode)
    assert {micro_batch.name: micro_batch.rows.tolist() for micro_batch in routes.micro_batches} == expected
    assert torch.equal(routes.labelled, labelled)


@pytest.mark.parametrize(("mode", "expected"), [("classic", MIXED), ("exclusive", MIXED), ("filter", MIXED), ("none", ALL_GOOD)])
def test_routed_are_the_samples_that_retain_does_not_learn_from(mode: str, expected: Tensor):
    assert torch.equal(route(MIXED, mode).routed, expected)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_routed_when_nothing_is_labelled(mode: str):
    assert not route(ALL_GOOD, mode).routed.any()


def test_filter_drops_bad_samples():
    assert [micro_batch.name for micro_batch in route(MIXED, "filter").micro_batches] == [GOOD]
    assert route(ALL_BAD, "filter").micro_batches == ()


@pytest.mark.parametrize("mode", ["classic", "exclusive"])
@pytest.mark.parametrize(
    ("labelled", "expected", "routed"),
    [
        (MIXED, {GOOD: [0, 2], BAD: [1], RETAIN_ROLLOUT: [5]}, MIXED),
        (ALL_GOOD, {GOOD: [0, 1, 2], RETAIN_ROLLOUT: [3, 4, 5]}, ALL_GOOD),
        (ALL_BAD, {BAD: [0, 1, 2]}, ALL_BAD),
    ],
)
def test_good_retain_rollouts_are_a_class_of_their_own_and_bad_ones_are_dropped(
    mode: str, labelled: Tensor, expected: dict, routed: Tensor
):
    routes = route(labelled, mode, LAST_HALF)
    assert {micro_batch.name: micro_batch.rows.tolist() for micro_batch in routes.micro_batches} == expected
    assert torch.equal(routes.routed, routed)
    alone = [micro_batch for micro_batch in routes.micro_batches if micro_batch.name == RETAIN_ROLLOUT]
    assert all((one.learns, one.scales) == (frozenset({RETAIN}), {RETAIN: 1.0, FORGET: 0.0}) for one in alone)
    assert all(one.scales is None for one in routes.micro_batches if one.name != RETAIN_ROLLOUT)


@pytest.mark.parametrize("mode", ["Classic", "", "off", "retain"])
def test_unknown_mode_is_refused(mode: str):
    with pytest.raises(ValueError, match=f"routing mode '{mode}': accepted are classic, exclusive, none, filter"):
        route(MIXED, mode)


# What an adapter without samples keeps


def snapshot(policy: TinyPolicy, optimizer: torch.optim.AdamW, adapter: str) -> list[Tensor]:
    """Parameters, moments and step counters of one adapter."""
    group = adapter_parameters(policy)[adapter].values()
    states = [optimizer.state[parameter] for parameter in group]
    assert all({"step", "exp_avg", "exp_avg_sq"} <= set(state) for state in states)
    moments = [value.clone() for state in states for _, value in sorted(state.items())]
    return [parameter.detach().clone() for parameter in group] + moments


@pytest.mark.parametrize(
    ("mode", "labelled", "untouched"),
    [
        ("classic", ALL_BAD, {RETAIN}),
        ("classic", ALL_GOOD, set()),
        ("classic", MIXED, set()),
        ("exclusive", ALL_BAD, {RETAIN}),
        ("exclusive", ALL_GOOD, {FORGET}),
        ("exclusive", MIXED, set()),
        ("none", ALL_BAD, set()),
        ("none", ALL_GOOD, set()),
    ],
)
def test_adamw_leaves_an_adapter_without_samples_untouched(mode: str, labelled: Tensor, untouched: set[str]):
    """Momentum and weight decay would move it if its gradients were zeros and not None."""
    policy = tiny_policy()
    batch = samples(policy)
    groups = [{"params": list(group.values())} for group in adapter_parameters(policy).values()]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    for _ in range(3):
        routed(policy, batch, MIXED, "classic")
        optimizer.step()
    before = {adapter: snapshot(policy, optimizer, adapter) for adapter in (RETAIN, FORGET)}
    found = routed(policy, batch, labelled, mode)
    optimizer.step()
    after = {adapter: snapshot(policy, optimizer, adapter) for adapter in (RETAIN, FORGET)}
    for adapter in (RETAIN, FORGET):
        assert [grad is None for grad in found[adapter]] == [adapter in untouched] * 4
        same = [torch.equal(one, other) for one, other in zip(before[adapter], after[adapter], strict=True)]
        assert same == [adapter in untouched] * len(same)


def test_gradients_of_an_earlier_pass_do_not_reach_an_adapter_without_samples():
    policy = tiny_policy()
    batch = samples(policy)
    part_backward(policy, batch, torch.arange(N), Loss())
    routed_backward(policy, route(ALL_BAD, "classic"), one_pass(policy, batch))
    assert gradients(policy)[RETAIN] == [None] * 4


# Which passes run, and what they leave behind


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("labelled", "passes"), [(MIXED, [GOOD, BAD]), (ALL_GOOD, [GOOD]), (ALL_BAD, [BAD]), (ALL_BAD[:0], [])])
def test_empty_classes_have_no_pass(mode: str, labelled: Tensor, passes: list[str]):
    policy = tiny_policy()
    seen: list[str] = []
    assert list(routed_backward(policy, route(labelled, mode), lambda micro_batch: seen.append(micro_batch.name))) == passes
    assert seen == passes


def test_hooks_are_gone_after_the_passes():
    policy = tiny_policy()
    batch, during = samples(policy), []
    expected = alone(policy, batch, torch.arange(N))

    def watched(micro_batch: MicroBatch) -> None:
        during.append({name.rpartition(".")[2] for name in hooks(policy)})
        one_pass(policy, batch)(micro_batch)

    routed_backward(policy, route(MIXED, "exclusive"), watched)
    assert during == [{FORGET}, {RETAIN}]
    assert hooks(policy) == []
    found = alone(policy, batch, torch.arange(N))
    assert all_equal(found[RETAIN], expected[RETAIN])
    assert all_equal(found[FORGET], expected[FORGET])


@pytest.mark.parametrize("failing", [GOOD, BAD])
def test_hooks_are_gone_after_a_pass_that_raises(failing: str):
    policy = tiny_policy()
    batch = samples(policy)

    def fails(micro_batch: MicroBatch) -> None:
        one_pass(policy, batch)(micro_batch)
        if micro_batch.name == failing:
            raise FloatingPointError(failing)

    expected = alone(policy, batch, torch.arange(N))
    with pytest.raises(FloatingPointError, match=failing):
        routed_backward(policy, route(MIXED, "exclusive"), fails)
    assert hooks(policy) == []
    found = alone(policy, batch, torch.arange(N))
    assert all_equal(found[RETAIN], expected[RETAIN])
    assert all_equal(found[FORGET], expected[FORGET])


def test_masks_hold_however_often_a_pass_calls_backward():
    """Gradients of a pass may be accumulated over several calls."""
    policy = tiny_policy()
    batch = samples(policy)

    def row_by_row(micro_batch: MicroBatch) -> None:
        for row in micro_batch.rows.split(1):
            part_backward(policy, batch, row, Loss())

    routed_backward(policy, route(MIXED, "classic"), row_by_row)
    assert all_close(gradients(policy)[RETAIN], alone(policy, batch, rows_of(GOOD))[RETAIN])


def test_masks_turn_even_infinite_gradients_into_zeros():
    policy = tiny_policy()
    batch = samples(policy)
    good = alone(policy, batch, rows_of(GOOD))
    broken = replace(batch, advantages=torch.where(MIXED, torch.inf, batch.advantages))
    assert all_equal(routed(policy, broken, MIXED, "classic")[RETAIN], good[RETAIN])


def test_an_ablated_adapter_gets_no_gradient():
    policy = tiny_policy()
    set_scales(policy, 1.0, 0.0)
    found = routed(policy, samples(policy), MIXED, "classic")
    assert found[FORGET] == [None] * 4
    assert all(grad is not None for grad in found[RETAIN])


def test_masks_for_adapters_that_the_model_lacks_are_refused():
    routes = Routes(ALL_GOOD, (MicroBatch(GOOD, torch.arange(N), frozenset({RETAIN})),))
    with pytest.raises(AssertionError, match=r"\['retain'\] are to learn, the model has \['lora'\]"):
        routed_backward(tiny_policy({LORA: 2}), routes, lambda _: None)
