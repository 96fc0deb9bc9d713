"""Decoding with a cache, and gradients, in every family, in float64."""

import pytest
import torch

from models.decoder import backward_from, hidden_states, leaves_of
from models.decoding import BLOCK
from routing.adapters import adapter_parameters, add_adapters, merge_adapters, set_scales
from routing.modes import FORGET, RETAIN
from routing.spec import AdapterSpec
from tests.families import TINY, tiny_model
from tests.helpers import random_prompts
from tests.models.comparisons import assert_cached_decode_equals_the_full_forward

KINDS = {kind: (kind, {}) for kind in TINY} | {
    "NeoX in a row": ("gpt_neox", {"use_parallel_residual": False}),
    "a window of one": ("gpt_neo", {"window_size": 1}),
    "a window of a block": ("gpt_neo", {"window_size": BLOCK}),
    "Qwen3 with wide heads": ("qwen3", {"head_dim": 10}),
}


@pytest.mark.parametrize(("kind", "changes"), KINDS.values(), ids=KINDS)
def test_cached_decode_equals_the_full_forward(kind, changes):
    """Beyond a block and a window."""
    assert_cached_decode_equals_the_full_forward(tiny_model(kind, **changes), BLOCK + 3)


@pytest.mark.parametrize("kind", TINY)
def test_gradients_gathered_in_leaves_reach_all_parameters_as_they_would_at_once(kind):
    """Of two passes over different texts, on all weights: learned positions, norms of heads and biases, too."""
    one, other = (tiny_model(kind) for _ in range(2))
    weights = one.weights()
    leaves = leaves_of(weights)
    for ids in (torch.tensor(random_prompts([7, 7], seed=seed)) for seed in (0, 1)):
        (hidden_states(leaves, ids) @ leaves.head.T).square().sum().backward()
        (other(ids) @ other.head.T).square().sum().backward()
    backward_from(leaves, weights)
    for (name, parameter), twin in zip(one.named_parameters(), other.parameters(), strict=True):
        assert parameter.grad is not None and twin.grad is not None, name
        assert twin.grad.abs().max() > 1e-6, name
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", TINY)
def test_adapters_sit_on_every_linear_layer_of_a_layer_and_compute_what_they_do_when_merged(kind):
    model, ids = tiny_model(kind), torch.tensor(random_prompts([7, 7]))
    base = model(ids)
    spec, generator = AdapterSpec("dual_lora", {RETAIN: 2, FORGET: 3}, alpha=8.0, stride=1), torch.Generator().manual_seed(0)
    linears = sum(isinstance(module, torch.nn.Linear) for module in model.layers.modules())
    add_adapters(model, model.layers, model.targets, spec, generator)
    groups = adapter_parameters(model)
    assert len(groups[RETAIN]) == 2 * linears
    assert torch.equal(model(ids), base)
    with torch.no_grad():
        for parameter in (parameter for group in groups.values() for parameter in group.values()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.2)
    set_scales(model, 1.0, 0.0)
    model(ids).square().sum().backward()
    for name, parameter in groups[RETAIN].items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-6, name
    assert all(parameter.grad is None for parameter in groups[FORGET].values())
    expected = model(ids)
    merge_adapters(model, {RETAIN: 1.0, FORGET: 0.0})
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-10)
    assert not torch.allclose(expected, base)
