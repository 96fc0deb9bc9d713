"""Routed passes against plain autograd on a tiny policy, in float64.

Mixed batches hold samples 0 to 5, of which 1, 3 and 4 are labelled bad. `alone` is the gradient of one class without
any router: the reference for every mask.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from grpo.loss import loss_denominator, policy_loss
from grpo.loss_terms import LOSS_TYPES
from routing.adapters import adapter_parameters, add_adapters, get_scales, set_scales
from routing.modes import BAD, FORGET, GOOD, LORA, RETAIN, RETAIN_ROLLOUT
from routing.router import MicroBatch, Routes, masked_gradients, route, routed_backward
from routing.spec import AdapterSpec
from tests.helpers import pairwise

N, T, VOCAB, WIDTH = 6, 7, 11, 8
MAX_LENGTH = 9
MIXED = torch.tensor([False, True, False, True, True, False])
LAST_HALF = torch.tensor([False, False, False, True, True, True])
ALL_GOOD, ALL_BAD = torch.zeros(N, dtype=torch.bool), torch.ones(N, dtype=torch.bool)
ONE_BAD = torch.tensor([False, False, True, False, False, False])
MODES = ("classic", "exclusive", "none")  # `filter`, which drops a class, has tests of its own

# Who learns from whom, mode x class x adapter.
LEARNS = {
    ("classic", GOOD, RETAIN): True,
    ("classic", GOOD, FORGET): True,
    ("classic", BAD, RETAIN): False,
    ("classic", BAD, FORGET): True,
    ("exclusive", GOOD, RETAIN): True,
    ("exclusive", GOOD, FORGET): False,
    ("exclusive", BAD, RETAIN): False,
    ("exclusive", BAD, FORGET): True,
    ("none", GOOD, RETAIN): True,
    ("none", GOOD, FORGET): True,
    ("none", BAD, RETAIN): True,
    ("none", BAD, FORGET): True,
}


class TinyPolicy(nn.Module):
    """Next-token log-probabilities from the token before, through two adapted layers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(nn.ModuleDict({"q_proj": nn.Linear(WIDTH, WIDTH)}) for _ in range(2))
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids[:, :-1])
        for layer in self.layers:
            x = x + torch.tanh(layer["q_proj"](x))
        return self.head(x).log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)


@dataclass(frozen=True)
class Samples:
    ids: Tensor
    mask: Tensor
    old_logprobs: Tensor
    ref_logprobs: Tensor
    advantages: Tensor


@dataclass(frozen=True)
class Loss:
    """The settings of `policy_loss` and the whole batch's denominator, None for each part's own."""

    loss_type: str = "grpo"
    beta: float = 0.1
    denominator: float | None = float(N)


Gradients = dict[str, list[Tensor | None]]


def tiny_policy(ranks: dict[str, int] | None = None) -> TinyPolicy:
    """With adapters as after some training: no B is zero any more."""
    torch.manual_seed(0)
    policy, generator = TinyPolicy().double(), torch.Generator().manual_seed(1)
    ranks = {RETAIN: 2, FORGET: 3} if ranks is None else ranks
    if ranks:
        kind = "lora" if set(ranks) == {LORA} else "dual_lora"
        add_adapters(policy, policy.layers, ["q_proj"], AdapterSpec(kind, ranks, alpha=4.0, stride=1), generator)
        with torch.no_grad():
            for group in adapter_parameters(policy).values():
                for parameter in group.values():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return policy


def samples(policy: TinyPolicy, seed: int = 2) -> Samples:
    """Ratios and KL away from 1 and 0, lengths from 0 to T: sample 2 has no token."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCAB, (N, T + 1), generator=generator)
    lengths = torch.tensor([7, 4, 0, 5, 1, 3])
    with torch.no_grad():
        now = policy(ids)
        noise = torch.randn(2, N, T, generator=generator, dtype=torch.float64)
    advantages = torch.randn(N, generator=generator, dtype=torch.float64)
    return Samples(ids, torch.arange(T) < lengths[:, None], now + 0.1 * noise[0], now + 0.5 * noise[1], advantages)


def part_backward(policy: TinyPolicy, batch: Samples, rows: Tensor, loss: Loss) -> float:
    part = policy_loss(
        policy(batch.ids[rows]),
        batch.old_logprobs[rows],
        batch.ref_logprobs[rows],
        batch.advantages[rows],
        batch.mask[rows],
        loss_type=loss.loss_type,
        beta=loss.beta,
        max_completion_length=MAX_LENGTH,
        denominator=loss.denominator,
    )
    part.loss.backward()
    return part.loss.item()


def one_pass(policy: TinyPolicy, batch: Samples, loss: Loss = Loss()) -> Callable[[MicroBatch], float]:
    return lambda micro_batch: part_backward(policy, batch, micro_batch.rows, loss)


def gradients(policy: TinyPolicy) -> Gradients:
    return {
        name: [None if parameter.grad is None else parameter.grad.clone() for parameter in group.values()]
        for name, group in adapter_parameters(policy).items()
    }


def alone(policy: TinyPolicy, batch: Samples, rows: Tensor, loss: Loss = Loss()) -> dict[str, list[Tensor]]:
    """Gradients of these rows without any router, as a share of the whole batch."""
    policy.zero_grad(set_to_none=True)
    part_backward(policy, batch, rows, loss)
    found = {name: [grad for grad in grads if grad is not None] for name, grads in gradients(policy).items()}
    policy.zero_grad(set_to_none=True)
    return found


def routed(policy: TinyPolicy, batch: Samples, labelled: Tensor, mode: str, loss: Loss = Loss()) -> Gradients:
    policy.zero_grad(set_to_none=True)
    routed_backward(policy, route(labelled, mode), one_pass(policy, batch, loss))
    return gradients(policy)


def rows_of(label: str) -> Tensor:
    return (MIXED if label == BAD else ~MIXED).nonzero().flatten()


def all_equal(some: list, others: list) -> bool:
    """Bit for bit; None equals None."""
    return all(
        one is other is None or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(some, others, strict=True)
    )


def all_close(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(one, other, rtol=1e-12, atol=1e-13) for one, other in zip(some, others, strict=True))


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


def hooks(policy: TinyPolicy) -> list[str]:
    return [name for name, parameter in policy.named_parameters() if parameter._backward_hooks]


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
