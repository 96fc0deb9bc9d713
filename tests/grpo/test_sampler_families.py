"""The sampler on every family: a sample is a function of its prompt and its uniforms, and is what transformers generates."""

import itertools

import pytest
import torch

from configs.experiment import SamplingSettings
from grpo.logprobs import completion_logprobs
from grpo.randomness import SampleKeys
from grpo.sampler import sample
from tests.families import TINY, pair, tiny_model, tiny_raw
from tests.helpers import random_prompts

VOCAB, LIMIT, GENERATIONS = 16, 15, 5  # few tokens, so that completions end by EOS at all lengths
PROMPTS = random_prompts((3, 1, 9, 5, 2, 7), seed=5, vocab=VOCAB)
WHOLE = SamplingSettings(max_completion_length=LIMIT)
KEYS = list(itertools.product(range(len(PROMPTS)), range(GENERATIONS)))


def keyed(keys):
    prompts, generations = zip(*keys, strict=True)
    return SampleKeys(0, 0, prompts, generations).uniforms("training sample", LIMIT)


@pytest.mark.parametrize("kind", TINY)
def test_a_sample_does_not_depend_on_its_batch(kind):
    """Exactly the same tokens in float64, alone, in reversed groups, and beside others; so that completions end at all times."""
    model = tiny_model(kind, vocab_size=VOCAB)
    whole = sample(model, PROMPTS, GENERATIONS, keyed(KEYS), WHOLE)
    lengths = whole.mask.sum(1)
    assert lengths.unique().numel() > 3
    assert whole.finished.any() and not whole.finished.all()
    batches = [[key] for key in KEYS[::4]] + [[(p, g) for p in (4, 2, 0) for g in (3, 1, 0)]]
    for batch in batches:
        group_size = 1 if len(batch) == 1 else 3
        rollout = sample(model, [PROMPTS[p] for p, _ in batch[::group_size]], group_size, keyed(batch), WHOLE)
        for row, (p, g) in enumerate(batch):
            of_whole = p * GENERATIONS + g
            count = int(lengths[of_whole])
            assert rollout.mask[row].sum() == count
            assert torch.equal(rollout.completion_ids[row, :count], whole.completion_ids[of_whole, :count])


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_sampling_logprobs_equal_the_scorers(kind):
    model = tiny_model(kind, vocab_size=VOCAB)
    rollout = sample(model, PROMPTS, GENERATIONS, keyed(KEYS), WHOLE)
    torch.testing.assert_close(completion_logprobs(model, rollout, 1.0), rollout.logprobs, atol=1e-10, rtol=0)
    assert rollout.logprobs.min() < -1


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_greedy_equals_generate_of_transformers(kind):
    prompts = random_prompts([4, 1, 11, 6, 2, 8, 3, 5], seed=1)
    settings = SamplingSettings(max_completion_length=20, temperature=0)
    twin, ours = pair(tiny_raw(kind), seed=3, gain=1.5)
    rollout = sample(ours, prompts, 1, torch.zeros(len(prompts), 20), settings)
    assert rollout.completion_ids.unique().numel() > 5
    longest = max(map(len, prompts))
    left = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    attention_mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    generated = twin.generate(
        left, attention_mask=attention_mask, do_sample=False, max_new_tokens=20, eos_token_id=1, pad_token_id=1
    )
    assert torch.equal(rollout.completion_ids, generated[:, longest:])
