"""What holds for decoders of all families: logits as transformers', and decoding with a cache as without."""

import torch

from models.decoding import decode, prefill
from tests.helpers import random_prompts, right_padded

LENGTHS = (9, 1, 17, 4)


def logits_of(model, ids):
    return model(ids) @ model.head.T


@torch.no_grad()
def assert_same_logits(twin, ours, bound: float) -> None:
    """Of prompts of different lengths: ours padded on the right, transformers' on the left, as its attention mask tells it."""
    prompts = random_prompts(LENGTHS, vocab=ours.config.vocab_size)
    right = logits_of(ours, right_padded(prompts))
    left = right_padded([prompt[::-1] for prompt in prompts]).flip(1)
    attention_mask = right_padded([[1] * length for length in LENGTHS]).flip(1)
    positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
    expected = twin(left, attention_mask=attention_mask, position_ids=positions).logits
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(right[row, :length], expected[row, -length:], atol=bound, rtol=0)
    assert expected.std() > 0.5  # so that the bound is a small number beside a logit


@torch.no_grad()
def assert_cached_decode_equals_the_full_forward(model, steps: int) -> None:
    """Rows of different lengths, each at its own position; halfway some rows leave, one doubles, the order turns."""
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
