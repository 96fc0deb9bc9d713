"""Adapters against explicit matrices, with statistics for their initial values and exact equality for the rest."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from models.decoder import Affine
from models.llama import Llama
from routing.adapters import (
    DualLoRALinear,
    LoRALinear,
    adapted_layers,
    adapter_parameters,
    add_adapters,
    set_adapter_scales,
    set_scales,
)
from routing.modes import FORGET, LORA, RETAIN
from routing.spec import AdapterSpec
from tests.helpers import pairwise, tiny_llama
from tests.routing.adapted import DUAL, IDS, SINGLE, adapted_llama, fill_adapters, seeded


def adapted_linear(in_features: int, ranks: dict[str, int]) -> LoRALinear:
    layer = nn.ModuleDict({"q_proj": nn.Linear(in_features, 5)})
    kind = "lora" if set(ranks) == {LORA} else "dual_lora"
    add_adapters(layer, nn.ModuleList([layer]), ["q_proj"], AdapterSpec(kind, ranks, alpha=8.0, stride=1), seeded(3))
    return next(adapted_layers(layer))


# The formula


def test_hand_computed_output():
    layer = DualLoRALinear(nn.Linear(1, 1), retain_rank=1, forget_rank=2, alpha=4.0).double()
    with torch.no_grad():
        layer.base.weight.fill_(2.0)
        layer.base.bias.fill_(1.0)
        layer.A[RETAIN].fill_(3.0)
        layer.B[RETAIN].fill_(5.0)
        layer.A[FORGET].copy_(torch.tensor([[1.0], [2.0]]))
        layer.B[FORGET].copy_(torch.tensor([[7.0, 11.0]]))
    x = torch.tensor([[10.0]], dtype=torch.float64)
    # W x + bias = 2 * 10 + 1 = 21
    # retain: 4/1 * 5 * 3 * 10 = 600;  forget: 4/2 * (7 * 1 + 11 * 2) * 10 = 580
    outputs = {}
    for retain, forget in [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.25)]:
        set_scales(layer, retain, forget)
        outputs[retain, forget] = layer(x).item()
    assert outputs == {(1, 1): 1201.0, (1, 0): 621.0, (0, 1): 601.0, (0, 0): 21.0, (0.5, 0.25): 466.0}


SCALES = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.25, 1.0), (1.0, 0.5), (-1.0, 2.0), (0.1, 0.9)]


@pytest.mark.parametrize(("ranks", "scales", "bias"), pairwise([(1, 1), (4, 4), (2, 3), (5, 1)], SCALES, [True, False]))
def test_dual_adapter_is_the_sum_of_its_matrices(ranks: tuple[int, int], scales: tuple[float, float], bias: bool):
    torch.manual_seed(0)
    layer = DualLoRALinear(nn.Linear(6, 7, bias=bias).double(), *ranks, alpha=11.0)
    fill_adapters(layer)
    set_scales(layer, *scales)
    retain = 11.0 / ranks[0] * layer.B[RETAIN] @ layer.A[RETAIN]
    forget = 11.0 / ranks[1] * layer.B[FORGET] @ layer.A[FORGET]
    matrix = layer.base.weight + scales[0] * retain + scales[1] * forget
    x = torch.randn(3, 4, 6, dtype=torch.float64)
    expected = x @ matrix.T + (layer.base.bias if bias else 0)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.3, 0.0])
def test_single_adapter_is_the_sum_of_its_matrices(scale: float):
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(6, 7).double(), {LORA: 3}, alpha=11.0)
    fill_adapters(layer)
    set_adapter_scales(layer, {LORA: scale})
    x = torch.randn(4, 6, dtype=torch.float64)
    expected = x @ (layer.base.weight + scale * 11.0 / 3 * layer.B[LORA] @ layer.A[LORA]).T + layer.base.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("targets", [Llama.targets, ("q_proj", "down_proj"), ("v_proj", "o_proj", "up_proj")], ids=len)
@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, 0.0), (0.3, 0.7)])
def test_a_llama_s_adapters_get_the_gradients_of_their_merged_matrices(monkeypatch, targets, scales):
    """The factors' own backward pass against torch's of W + up @ down, where of stacked projections some have no adapters."""
    model = adapted_llama(targets=targets, attention_bias=True, mlp_bias=True)
    fill_adapters(model)
    set_scales(model, *scales)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad and (scales[1] or not name.endswith(FORGET))}
    by_factors = torch.autograd.grad(model(IDS).square().sum(), list(learning.values()))
    monkeypatch.setattr(Affine, "of", lambda self, x: F.linear(x, self.weight, self.bias))
    expected = torch.autograd.grad(model(IDS).square().sum(), list(learning.values()))
    for name, gradient, of_matrix in zip(learning, by_factors, expected, strict=True):
        assert of_matrix.abs().max() > 1e-3, name
        torch.testing.assert_close(gradient, of_matrix, rtol=1e-10, atol=1e-10)


def test_a_weight_that_learns_beside_an_adapter_is_refused():
    """Its gradient would be left out."""
    model = adapted_llama(targets=["q_proj"])
    model.model.layers[0].self_attn.k_proj.weight.requires_grad_(True)
    with pytest.raises(AssertionError, match="weights are frozen"):
        model(IDS)


# Initial values


@pytest.mark.parametrize("in_features", [16, 64, 341])
def test_a_is_drawn_kaiming_uniform_and_b_is_zero(in_features: int):
    """Kolmogorov-Smirnov on 65,472 draws or more: a range off by 3 % shifts the distribution by 0.015, four times the
    distance of about 0.004 that has p = 0.2; a normal or a kaiming-uniform with another slope is off by far more."""
    rank = math.ceil(65_536 / in_features)
    layer = adapted_linear(in_features, {RETAIN: rank, FORGET: 2})
    drawn = layer.A[RETAIN].detach().double().flatten().numpy()
    # gain sqrt(2 / (1 + 5)) times sqrt(3 / fan_in) is 1 / sqrt(fan_in)
    bound = nn.init.calculate_gain("leaky_relu", math.sqrt(5)) * math.sqrt(3 / in_features)
    assert abs(drawn).max() <= bound * (1 + 1e-6)
    assert stats.kstest(drawn, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    # Uniform: variance bound^2 / 3; the estimate's relative standard error is sqrt(0.8 / 65,536) = 0.35 %.
    assert drawn.var() == pytest.approx(bound**2 / 3, rel=0.0175)
    assert not any(b.any() for b in layer.B.values())


def test_initial_values_come_from_the_generator_alone():
    model = tiny_llama()
    state = torch.get_rng_state()
    add_adapters(model, model.model.layers, Llama.targets, DUAL, seeded(5))
    assert torch.equal(torch.get_rng_state(), state), "a draw was made from the global generator"
    first, again, other = (adapter_parameters(adapted) for adapted in (model, adapted_llama(seed=5), adapted_llama(seed=6)))
    for adapter, parameters in first.items():
        for name, parameter in parameters.items():
            assert torch.equal(parameter, again[adapter][name])
            assert ".B." in name or not torch.equal(parameter, other[adapter][name])


def test_every_matrix_gets_draws_of_its_own():
    parameters = adapter_parameters(adapted_llama(AdapterSpec("dual_lora", {RETAIN: 2, FORGET: 2}, 8.0, 1)))
    rows = [tuple(row.tolist()) for group in parameters.values() for name, a in group.items() if ".A." in name for row in a]
    # 2 layers, 7 linears, 2 adapters, 2 rows each
    assert len(rows) == len(set(rows)) == 56


# The function of a model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spec", [DUAL, SINGLE])
def test_fresh_adapters_leave_the_function_unchanged(spec: AdapterSpec, dtype: torch.dtype):
    assert torch.equal(adapted_llama(spec, dtype=dtype)(IDS), tiny_llama(seed=4, dtype=dtype)(IDS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scales_of_zero_are_exactly_the_base_model(dtype: torch.dtype):
    base, model = tiny_llama(seed=4, dtype=dtype), adapted_llama(dtype=dtype)
    fill_adapters(model)
    assert not torch.allclose(model(IDS), base(IDS), atol=1e-2)
    set_scales(model, 0.0, 0.0)
    assert torch.equal(model(IDS), base(IDS))


def test_scales_of_zero_are_the_base_model_even_with_infinite_adapters():
    base, model = tiny_llama(seed=4), adapted_llama()
    with torch.no_grad():
        for group in adapter_parameters(model).values():
            for parameter in group.values():
                parameter.fill_(torch.inf)
    set_scales(model, 0.0, 0.0)
    assert torch.equal(model(IDS), base(IDS))


def test_the_base_weights_are_the_same_tensors_as_before_and_frozen():
    model = tiny_llama(seed=4)
    before = {name: (parameter, parameter.detach().clone()) for name, parameter in model.named_parameters()}
    add_adapters(model, model.model.layers, Llama.targets, DUAL, seeded())
    held = {name.replace(".base.", "."): p for name, p in model.named_parameters() if ".A." not in name and ".B." not in name}
    assert held.keys() == before.keys()
    for name, (parameter, value) in before.items():
        assert held[name] is parameter
        assert torch.equal(parameter, value)
        assert not parameter.requires_grad


def test_after_training_each_scale_setting_is_another_function():
    model = adapted_llama()
    target = torch.randn(model(IDS).shape, generator=seeded(8), dtype=torch.float64)
    parameters = [parameter for group in adapter_parameters(model).values() for parameter in group.values()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (model(IDS) - target).square().mean().backward()
        optimizer.step()
    outputs: dict[tuple[float, float], Tensor] = {}
    for setting in [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]:
        set_scales(model, *setting)
        with torch.no_grad():
            outputs[setting] = model(IDS)
    for one, other in itertools.combinations(outputs, 2):
        assert (outputs[one] - outputs[other]).abs().max() > 1e-3, (one, other)


# Which layers


@pytest.mark.parametrize(
    ("stride", "expected"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3]), (4, [0, 4]), (5, [0]), (9, [0])]
)
def test_stride_picks_every_strideth_layer_from_the_first(stride: int, expected: list[int]):
    model = adapted_llama(AdapterSpec("dual_lora", {RETAIN: 1, FORGET: 1}, 1.0, stride), num_hidden_layers=5)
    assert [i for i, layer in enumerate(model.model.layers) if list(adapted_layers(layer))] == expected


@pytest.mark.parametrize("spec", [DUAL, SINGLE])
def test_exactly_the_seven_linears_of_a_layer_are_wrapped(spec: AdapterSpec):
    model = adapted_llama(spec, tie_word_embeddings=False)
    wrapped = {name for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    attention, mlp = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
    assert wrapped == {f"model.layers.{i}.self_attn.{name}" for i in (0, 1) for name in attention} | {
        f"model.layers.{i}.mlp.{name}" for i in (0, 1) for name in mlp
    }
    plain = {name for name, module in model.named_modules() if isinstance(module, nn.Linear) and not name.endswith(".base")}
    assert plain == {"lm_head"}


def test_targets_can_be_fewer():
    model = adapted_llama(SINGLE, targets=["v_proj"])
    assert {name.split(".")[-3] for name in adapter_parameters(model)[LORA]} == {"v_proj"}


def test_each_adapter_has_its_rank_in_every_layer():
    model = adapted_llama()
    for layer in adapted_layers(model):
        width, height = layer.base.in_features, layer.base.out_features
        assert {name: a.shape for name, a in layer.A.items()} == {RETAIN: (2, width), FORGET: (3, width)}
        assert {name: b.shape for name, b in layer.B.items()} == {RETAIN: (height, 2), FORGET: (height, 3)}


@pytest.mark.parametrize(
    ("ranks", "stride", "message"),
    [
        ({RETAIN: 0, FORGET: 4}, 1, "must be at least 1"),
        ({RETAIN: 4, FORGET: -1}, 1, "must be at least 1"),
        ({RETAIN: 4, FORGET: 4}, 0, "stride 0 must be at least 1"),
    ],
)
def test_ranks_and_strides_below_one_are_refused(ranks: dict[str, int], stride: int, message: str):
    with pytest.raises(ValueError, match=message):
        adapted_llama(AdapterSpec("dual_lora", ranks, 8.0, stride))


def test_a_model_without_targets_is_refused():
    with pytest.raises(ValueError, match="no linear layer named c_attn to adapt"):
        adapted_llama(SINGLE, targets=["c_attn"])


# Parameters by adapter


def test_adapter_parameters_are_what_trains_and_each_belongs_to_one_adapter():
    model = adapted_llama()
    groups = adapter_parameters(model)
    assert set(groups) == {RETAIN, FORGET}
    named = {name: parameter for group in groups.values() for name, parameter in group.items()}
    assert len(named) == len(groups[RETAIN]) + len(groups[FORGET]) == 2 * 2 * 7 * 2
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert named.keys() == trainable.keys()
    assert all(named[name] is trainable[name] for name in named)
    for adapter, rank in DUAL.ranks.items():
        assert all(name.endswith(f".{adapter}") and rank in parameter.shape for name, parameter in groups[adapter].items())


def test_a_model_without_adapters_has_no_groups():
    assert adapter_parameters(tiny_llama()) == {}
