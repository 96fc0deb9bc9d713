"""Decoding with a cache against the full forward pass, in float64."""

import pytest
import torch

from models.decoding import BLOCK, prefill
from tests.helpers import right_padded, tiny_llama
from tests.models.comparisons import assert_cached_decode_equals_the_full_forward

CACHED = {
    "grouped heads": {},
    "full heads": {"num_key_value_heads": 4},
    "one key-value head": {"num_key_value_heads": 1},
    "wide heads with bias": {"head_dim": 10, "attention_bias": True, "mlp_bias": True},
}


@pytest.mark.parametrize("changes", CACHED.values(), ids=CACHED)
@pytest.mark.parametrize("steps", [6, BLOCK + 3])
def test_cached_decode_equals_the_full_forward(changes, steps):
    assert_cached_decode_equals_the_full_forward(tiny_llama(**changes), steps)


@torch.no_grad()
def test_a_row_sees_nothing_of_the_slots_before_its_prompt():
    """What a longer prompt beside it has put there in the prefill is of another row, and unfilled slots hold zeros, which
    attention would count; only where no row is shorter may every slot be looked at.
    """
    model = tiny_llama()
    cache, _ = prefill(model.weights(), right_padded([[3, 4, 5], [6]]), torch.tensor([3, 1]), 4)
    visible = cache.visible[:, 0] == 0
    assert visible[:, :3].tolist() == [[True, True, True], [False, False, True]]
    assert not visible[:, 3:].any()
