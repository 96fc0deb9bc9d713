"""Decoding with a cache against the full forward pass, in float64."""

import pytest
import torch

from models.decoding import BLOCK, decode, prefill
from tests.helpers import random_prompts, right_padded, tiny_llama

CACHED = {
    "grouped heads": {},
    "full heads": {"num_key_value_heads": 4},
    "one key-value head": {"num_key_value_heads": 1},
    "wide heads with bias": {"head_dim": 10, "attention_bias": True, "mlp_bias": True},
}


@pytest.mark.parametrize("changes", CACHED.values(), ids=CACHED)
@pytest.mark.parametrize("steps", [6, BLOCK + 3])
@torch.no_grad()
def test_cached_decode_equals_the_full_forward(changes, steps):
    """Rows of different lengths, each at its own position; halfway some rows leave, one doubles, the order turns."""
    model = tiny_llama(**changes)
    weights, lengths = model.weights(), torch.tensor([5, 1, 8, 3])
    sequences = right_padded(random_prompts((lengths + steps).tolist()))
    full = model(sequences)
    prompts = right_padded([row[:n].tolist() for row, n in zip(sequences, lengths, strict=True)])
    cache, last = prefill(weights, prompts, lengths, int(lengths.max()) + steps)
    torch.testing.assert_close(last, full[torch.arange(4), lengths - 1], atol=1e-12, rtol=0)
    held = torch.arange(4)
    for step in range(steps):
        if step == steps // 2:
            cache, held = cache.select(torch.tensor([3, 0, 3])), torch.tensor([3, 0, 3])
        at = lengths[held] + step
        hidden = decode(weights, cache, sequences[held, at], weights.position_encoding(at))
        torch.testing.assert_close(hidden, full[held, at], atol=1e-12, rtol=0)


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
