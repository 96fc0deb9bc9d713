"""A tiny policy, prompts and draws for the tests of the sampler."""

import itertools

import numpy as np
import torch

from configs.experiment import SamplingSettings
from grpo.randomness import SampleKeys
from grpo.rollout import Rollout
from grpo.sampler import sample
from models.llama import Llama
from tests.helpers import random_prompts, tiny_llama

EOS = 1
VOCAB = 16  # small, so that completions end by EOS at all lengths
LIMIT = 15
LENGTHS = (3, 1, 9, 5, 2, 7)
PROMPTS = random_prompts(LENGTHS, seed=5, vocab=VOCAB)
GENERATIONS = 5
WHOLE = SamplingSettings(max_completion_length=LIMIT)
COOL = SamplingSettings(max_completion_length=LIMIT, temperature=0.7)
GREEDY = SamplingSettings(max_completion_length=LIMIT, temperature=0)
SETTINGS = {
    "the whole distribution": WHOLE,
    "temperature 0.7": COOL,
    "greedy": GREEDY,
    "top_k": SamplingSettings(max_completion_length=LIMIT, top_k=4),
    "top_p": SamplingSettings(max_completion_length=LIMIT, top_p=0.6),
    "all of them": SamplingSettings(max_completion_length=LIMIT, temperature=1.6, top_k=9, top_p=0.8),
}
LAST_UNIFORM = 1 - 2**-53  # the largest that a float64 generator gives


def policy(dtype=torch.float64, **changes) -> Llama:
    return tiny_llama(seed=2, dtype=dtype, vocab_size=VOCAB, **changes)


def keyed(prompts, generations, length=LIMIT, seed=0):
    return SampleKeys(seed, 0, prompts, generations).uniforms("training sample", length)


def whole_batch(model, settings=WHOLE) -> Rollout:
    """GENERATIONS completions of each prompt."""
    keys = list(itertools.product(range(len(PROMPTS)), range(GENERATIONS)))
    return sample(model, PROMPTS, GENERATIONS, keyed(*zip(*keys, strict=True)), settings)


def slow_distribution(logits: np.ndarray, settings: SamplingSettings) -> np.ndarray:
    """Temperature, then the top_k likeliest, then the shortest list of likeliest ones that holds top_p."""
    weights = np.exp((logits - logits.max()) / settings.temperature)
    probabilities = weights / weights.sum()
    order = sorted(range(len(logits)), key=lambda token: -probabilities[token])
    kept = order[: settings.top_k] if settings.top_k else order
    total, mass, nucleus = probabilities[kept].sum(), 0.0, []
    for token in kept:
        if mass / total >= settings.top_p:
            break
        nucleus.append(token)
        mass += probabilities[token]
    truncated = np.zeros_like(probabilities)
    truncated[nucleus] = probabilities[nucleus] / probabilities[nucleus].sum()
    return truncated


@torch.no_grad()
def next_logits(model, ids) -> np.ndarray:
    return (model(torch.tensor([ids]))[0, -1] @ model.head.T).numpy()
