"""One choice of the sampler, and the distribution of many: statistical tests have fixed seeds, state their power, and reject a
sampler that is biased on purpose."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import TopKLogitsWarper, TopPLogitsWarper

from configs.experiment import SamplingSettings
from grpo.sampler import choose_tokens, sample, truncate
from tests.grpo.sampled import COOL, EOS, LAST_UNIFORM, SETTINGS, WHOLE, keyed, next_logits, slow_distribution
from tests.helpers import tiny_llama

# -- one choice ------------------------------------------------------------------------------------------------------------


def test_the_token_is_where_the_cumulative_distribution_passes_the_uniform():
    """Probabilities 1/2, 1/4, 1/8, 1/8: cumulative 0.5, 0.75, 0.875, 1. Where the uniform meets a step, the next token comes."""
    cases = [(0.0, 0), (0.49, 0), (0.5, 1), (0.74, 1), (0.75, 2), (0.8749, 2), (0.875, 3), (LAST_UNIFORM, 3)]
    logits = torch.tensor([[4.0, 2.0, 1.0, 1.0]], dtype=torch.float64).log2().mul(math.log(2)).repeat(len(cases), 1)
    tokens, logprobs = choose_tokens(logits, torch.tensor([u for u, _ in cases], dtype=torch.float64), SamplingSettings())
    assert tokens.tolist() == [token for _, token in cases]
    expected = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()[tokens]
    torch.testing.assert_close(logprobs, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("settings", [WHOLE, COOL, SETTINGS["top_k"], SETTINGS["top_p"]], ids=["1", "0.7", "top_k", "top_p"])
def test_both_edges_of_the_uniform_pick_tokens_of_positive_probability(dtype, settings):
    """Tokens that can never come (probability 0) stand first and last in the vocabulary."""
    logits = torch.randn(500, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(5).to(dtype)
    logits[:, :3] = logits[:, -3:] = -1e4
    for uniform, at in ((0.0, 0), (LAST_UNIFORM, -1)):
        tokens, logprobs = choose_tokens(logits, torch.full((500,), uniform, dtype=torch.float64), settings)
        assert logprobs.isfinite().all()
        assert ((tokens >= 3) & (tokens < 37)).all()
        if settings is WHOLE and dtype == torch.float64:  # there the edge is the first and the last token above the rounding
            assert (tokens == (3, 36)[at]).double().mean() > 0.9


@pytest.mark.parametrize("top_k", [0, 1, 3, 40, 99])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 0.01])
def test_truncation_keeps_what_transformers_keeps(top_k, top_p):
    logits = torch.randn(200, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    expected = TopKLogitsWarper(top_k)(None, logits) if top_k else logits
    expected = TopPLogitsWarper(top_p)(None, expected) if top_p < 1 else expected
    kept = truncate(logits, top_k, top_p)
    assert torch.equal(kept, expected)
    if 0 < top_k < 40:
        assert (kept.isfinite().sum(1) <= top_k).all()


# -- the distribution ------------------------------------------------------------------------------------------------------

DRAWS = 20_000
PROMPT = [3, 5, 2]
ALPHA = 1e-3  # p-value below which a sampler is called biased
FEW = 6  # tokens of the vocabulary


def sequence_probabilities(model, temperature, warp=lambda cumulative: cumulative) -> dict[tuple[int, ...], float]:
    """Exact probabilities of [EOS] and of all pairs that do not start with it; `warp` is the uniforms' distribution function."""

    def distribution(ids):
        probabilities = slow_distribution(next_logits(model, ids), SamplingSettings(temperature=temperature))
        return np.diff(warp(np.append(0.0, probabilities.cumsum().clip(max=1.0))))

    first = distribution(PROMPT)
    pairs = {(EOS,): first[EOS]}
    for token in set(range(FEW)) - {EOS}:
        pairs |= {(token, after): first[token] * p for after, p in enumerate(distribution([*PROMPT, token]))}
    return pairs


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    assert (probabilities * DRAWS > 5).all()
    return stats.chisquare(counts, probabilities / probabilities.sum() * DRAWS).pvalue


def of_first_tokens(pairs: dict[tuple[int, ...], float]) -> np.ndarray:
    return np.array([sum(p for outcome, p in pairs.items() if outcome[0] == token) for token in range(FEW)])


def pvalues(model, rollout, temperature) -> tuple[float, float]:
    """Of the first tokens, and of [EOS] and all pairs."""
    exact = sequence_probabilities(model, temperature)
    drawn = Counter((EOS,) if pair[0] == EOS else tuple(pair) for pair in rollout.completion_ids.tolist())
    first = rollout.completion_ids[:, 0].bincount(minlength=FEW).numpy()
    of_pairs = chi_square(np.array([drawn[outcome] for outcome in exact]), np.array(list(exact.values())))
    return chi_square(first, of_first_tokens(exact)), of_pairs


def powers(model, temperature, biased: dict[tuple[int, ...], float]) -> list[float]:
    """The probabilities that the two tests reject the biased distribution."""
    exact = sequence_probabilities(model, temperature)
    tables = [
        (of_first_tokens(exact), of_first_tokens(biased)),
        (np.array(list(exact.values())), np.array(list(biased.values()))),
    ]
    critical = [stats.chi2.isf(ALPHA, len(p) - 1) for p, _ in tables]
    shifts = [DRAWS * ((q - p) ** 2 / p).sum() for p, q in tables]
    return [stats.ncx2.sf(at, len(p) - 1, shift) for at, shift, (p, _) in zip(critical, shifts, tables, strict=True)]


@pytest.fixture(scope="module")
def few():
    """A policy over 6 tokens, and the uniforms of 20,000 samples."""
    return tiny_llama(seed=9, vocab_size=FEW), keyed([0] * DRAWS, range(DRAWS), length=2)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_samples_follow_the_exact_distribution(few, temperature):
    model, uniforms = few
    rollout = sample(model, [PROMPT], DRAWS, uniforms, SamplingSettings(temperature=temperature, max_completion_length=2))
    assert min(pvalues(model, rollout, temperature)) > ALPHA


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("bias", ["skewed uniforms", "another temperature"])
def test_the_same_test_rejects_a_biased_sampler(few, temperature, bias):
    """Uniforms to the power 1.1 (mean 0.476 instead of 0.5), or a temperature a tenth too high: power above 0.999."""
    model, uniforms = few
    if bias == "skewed uniforms":  # P(u^1.1 < c) = c^(1/1.1)
        drawn_at, used = temperature, uniforms**1.1
        biased = sequence_probabilities(model, temperature, warp=lambda cumulative: cumulative ** (1 / 1.1))
    else:
        drawn_at, used = 1.1 * temperature, uniforms
        biased = sequence_probabilities(model, drawn_at)
    assert min(powers(model, temperature, biased)) > 0.999
    rollout = sample(model, [PROMPT], DRAWS, used, SamplingSettings(temperature=drawn_at, max_completion_length=2))
    assert max(pvalues(model, rollout, temperature)) < ALPHA
