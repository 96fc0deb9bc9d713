"""Operations against a count by hand, and against torch's own counter."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.flops import ModelSize, attention_width, model_size, reference_flops, sampling_flops, update_flops
from routing.adapters import add_adapters
from routing.spec import AdapterSpec
from tests.helpers import tiny_config, tiny_llama

SIZE = ModelSize(layers=100, head=10, adapters=7, attention=3)


def test_weights_of_the_tiny_model_by_hand():
    """hidden 16, 4 query and 2 key-value heads of 4: q and o 16x16, k and v 16x8; gate, up and down 16x24; 2 layers."""
    assert model_size(tiny_llama()).layers == 2 * (2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 24)
    assert attention_width(tiny_config()) == 2 * 4 * 4


def test_sampling_by_hand():
    """Two rows of one prompt of 2 tokens, 3 and 1 sampled.

    Through the layers: the prompt's 2 tokens once, then 2 and 0. They see 1, 2 and, in the first row, 3, 4: 10.
    """
    assert sampling_flops(SIZE, [(2, 3), (2, 1)], group_size=2) == 2 * 100 * 4 + 2 * 10 * 4 + 4 * 3 * 10


def test_reference_and_update_by_hand():
    """A row of 2 + 3 tokens: 4 through the layers, which see 1 + 2 + 3 + 4 = 10; 3 are predicted."""
    rows = [(2, 3)]
    assert reference_flops(SIZE, rows) == 2 * 100 * 4 + 2 * 10 * 3 + 4 * 3 * 10
    forward = 2 * 107 * 4 + 2 * 10 * 3
    assert update_flops(SIZE, rows) == 2 * forward + 2 * 7 * 4 + 3 * 4 * 3 * 10
    without = ModelSize(layers=100, head=10, adapters=0, attention=3)
    assert update_flops(without, rows) == 3 * (2 * 100 * 4 + 2 * 10 * 3) + 3 * 4 * 3 * 10


def test_a_forward_pass_is_what_torch_counts():
    """All products of the layers; torch counts attention without causality, as 4 L H D n for each of n tokens."""
    model, n = tiny_llama(), 6
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, n, dtype=torch.long))
    size = model_size(model)
    assert counter.get_total_flops() == 2 * size.layers * n + 4 * size.attention * n * n


def test_adapters_count_by_their_weights():
    """Rank 2 on q_proj, 16 to 16, in each of 2 layers: 2 x (16 + 16) weights."""
    model = tiny_llama()
    spec = AdapterSpec("lora", {"lora": 2}, alpha=2.0, stride=1)
    add_adapters(model, model.model.layers, ["q_proj"], spec, torch.Generator())
    assert model_size(model).adapters == 2 * 2 * (16 + 16)
    assert model_size(model).layers == model_size(tiny_llama()).layers
