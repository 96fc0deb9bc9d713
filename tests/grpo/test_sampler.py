"""The sampler against a slow one that samples each completion by itself, without cache, padding or batch."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from configs.experiment import SamplingSettings
from grpo import sampler
from grpo.logprobs import completion_logprobs
from grpo.rollout import Rollout
from grpo.sampler import sample
from tests.grpo.sampled import (
    COOL,
    EOS,
    GENERATIONS,
    LIMIT,
    PROMPTS,
    SETTINGS,
    VOCAB,
    WHOLE,
    keyed,
    next_logits,
    policy,
    slow_distribution,
    whole_batch,
)
from tests.helpers import random_prompts, tiny_llama, transformers_twin

# -- the slow sampler ------------------------------------------------------------------------------------------------------


def slow_completion(model, prompt, uniforms, settings) -> tuple[list[int], list[float]]:
    """Tokens up to and with EOS, and their log-probabilities."""
    tokens, logprobs = [], []
    for uniform in uniforms:
        logits = next_logits(model, [*prompt, *tokens])
        if settings.temperature == 0:
            token = int(logits.argmax())
            probability = slow_distribution(logits, SamplingSettings(temperature=1.0))[token]
        else:
            distribution = slow_distribution(logits, settings)
            token = next(token for token, passed in enumerate(itertools.accumulate(distribution)) if passed > uniform)
            probability = distribution[token]
        tokens.append(token)
        logprobs.append(math.log(probability))
        if token in model.config.eos_token_ids:
            break
    return tokens, logprobs


def slow_batch(model, settings) -> dict[tuple[int, int], tuple[list[int], list[float]]]:
    """{(prompt, generation): completion} of all keys of `whole_batch`."""
    keys = itertools.product(range(len(PROMPTS)), range(GENERATIONS))
    return {(p, g): slow_completion(model, PROMPTS[p], keyed([p], [g])[0].tolist(), settings) for p, g in keys}


def assert_is(rollout: Rollout, prompts, completions, eos_ids=(EOS,)) -> None:
    """Every field of a rollout is what its completions, row by row, make of it."""
    width = max(len(tokens) for tokens, _ in completions)
    length = max(len(prompt) + len(tokens) for prompt, (tokens, _) in zip(prompts, completions, strict=True))
    assert len(rollout) == len(completions)
    assert rollout.completion_ids.shape == rollout.mask.shape == rollout.logprobs.shape == (len(completions), width)
    for row, (prompt, (tokens, logprobs)) in enumerate(zip(prompts, completions, strict=True)):
        count = len(tokens)
        assert rollout.completion_ids[row].tolist() == tokens + [eos_ids[0]] * (width - count)
        assert rollout.mask[row].tolist() == [True] * count + [False] * (width - count)
        assert rollout.ids[row].tolist() == prompt + tokens + [eos_ids[0]] * (length - len(prompt) - count)
        assert rollout.prompt_lengths[row] == len(prompt)
        assert rollout.finished[row] == (tokens[-1] in eos_ids)
        expected = torch.tensor(logprobs + [0.0] * (width - count), dtype=torch.float64)
        torch.testing.assert_close(rollout.logprobs[row], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_batch_is_what_sampling_each_completion_by_itself_gives(settings):
    model = policy()
    expected = slow_batch(model, settings)
    assert_is(whole_batch(model, settings), [PROMPTS[p] for p, _ in expected], list(expected.values()))


def test_any_of_several_eos_ends_a_completion():
    model, eos_ids = policy(eos_token_ids=(7, EOS)), (7, EOS)
    expected = slow_batch(model, WHOLE)
    assert {tokens[-1] for tokens, _ in expected.values()} > {*eos_ids}  # some end with the one, some the other, some not
    assert_is(whole_batch(model), [PROMPTS[p] for p, _ in expected], list(expected.values()), eos_ids)


def test_rows_beyond_the_tokenizer_s_are_never_sampled():
    """As if the model ended before them: tokens, log-probabilities of the sampler and of the scorer."""
    padded, smaller = policy(padding_rows=5), policy()
    smaller.load_state_dict(padded.state_dict())
    smaller.config = dataclasses.replace(smaller.config, vocab_size=VOCAB - 5)
    smaller.model.embed_tokens.weight = torch.nn.Parameter(smaller.model.embed_tokens.weight.detach()[: VOCAB - 5])
    prompts = [[token % (VOCAB - 5) for token in prompt] for prompt in PROMPTS]
    uniforms = keyed(range(len(PROMPTS)), [0] * len(PROMPTS))
    rollouts = [sample(model, prompts, 1, uniforms, WHOLE) for model in (padded, smaller)]
    scores = [completion_logprobs(model, rollouts[0], 1.0) for model in (padded, smaller)]
    assert all(torch.equal(*pair) for pair in zip(*(vars(rollout).values() for rollout in rollouts), strict=True))
    assert torch.equal(*scores)
    torch.testing.assert_close(scores[0], rollouts[0].logprobs, atol=1e-10, rtol=0)


# -- a sample is a function of its prompt and its uniforms -----------------------------------------------------------------


def compositions(seed):
    """Batches of all sizes from 1: some of the prompts, in any order, with any generations of each."""
    random = np.random.default_rng(seed)
    for _ in range(12):
        chosen = random.permutation(len(PROMPTS))[: random.integers(1, len(PROMPTS) + 1)]
        group_size = int(random.integers(1, GENERATIONS + 1))
        yield [(int(p), int(g)) for p in chosen for g in random.permutation(GENERATIONS)[:group_size]], group_size


@pytest.mark.parametrize("settings", [WHOLE, COOL], ids=["temperature 1", "temperature 0.7"])
@pytest.mark.parametrize(
    ("shrink_at", "fewest_rows", "check_every"),
    [(0.75, 8, 1), (1.0, 1, 1), (1.0, 8, 2), (0.5, 3, 1), (0.0, 8, 1), (0.75, 40, 1), (0.875, 8, 8)],
)
def test_a_sample_does_not_depend_on_its_batch(monkeypatch, settings, shrink_at, fewest_rows, check_every):
    """Exactly the same tokens whoever the neighbours are, in any order and number, whenever finished rows leave."""
    monkeypatch.setattr(sampler, "SHRINK_AT", shrink_at)
    monkeypatch.setattr(sampler, "FEWEST_ROWS", fewest_rows)
    monkeypatch.setattr(sampler, "CHECK_EVERY", check_every)
    model = policy()
    reference = whole_batch(model, settings)
    lengths = reference.mask.sum(1)
    assert lengths.unique().numel() > 5  # rows leave at many times, and some never
    assert reference.finished.any()
    assert not reference.finished.all()
    sizes = set()
    for keys, group_size in compositions(seed=int(100 * shrink_at) + fewest_rows):
        sizes.add(len(keys))
        prompts = [PROMPTS[p] for p, _ in keys[::group_size]]
        rollout = sample(model, prompts, group_size, keyed(*zip(*keys, strict=True)), settings)
        for row, (p, g) in enumerate(keys):
            of_reference = p * GENERATIONS + g
            count = int(lengths[of_reference])
            assert rollout.mask[row].sum() == count
            assert torch.equal(rollout.completion_ids[row, :count], reference.completion_ids[of_reference, :count])
    assert min(sizes) < 8 < max(sizes)


def test_a_lower_limit_cuts_a_sample_and_changes_nothing_before():
    model = policy()
    long = whole_batch(model)
    keys = list(itertools.product(range(len(PROMPTS)), range(GENERATIONS)))
    uniforms = keyed(*zip(*keys, strict=True), length=4)
    short = sample(model, PROMPTS, GENERATIONS, uniforms, dataclasses.replace(WHOLE, max_completion_length=4))
    assert torch.equal(short.completion_ids, long.completion_ids[:, :4])
    assert torch.equal(short.mask, long.mask[:, :4])
    assert torch.equal(short.finished, long.finished & (long.mask.sum(1) <= 4))


# -- greedy ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
@torch.no_grad()
def test_greedy_equals_generate_of_transformers(dtype, changes):
    """EOS is made to be the token that ends about half of the completions early."""
    prompts = random_prompts([4, 1, 11, 6, 2, 8, 3, 5, 9, 7], seed=1)
    uniforms = torch.zeros(len(prompts), 20, dtype=torch.float64)
    settings = SamplingSettings(max_completion_length=20, temperature=0)
    free = sample(tiny_llama(3, dtype, eos_token_ids=(0,), **changes), prompts, 1, uniforms, settings)
    counts = [(free.completion_ids == token).any(1).sum().item() for token in range(32)]
    eos = min(range(2, 32), key=lambda token: abs(counts[token] - len(prompts) / 2))
    model = tiny_llama(3, dtype, eos_token_ids=(eos,), **changes)
    rollout = sample(model, prompts, 1, uniforms, settings)
    assert 0 < rollout.finished.sum() < len(prompts)
    assert rollout.mask.sum(1).unique().numel() > 2

    longest = max(map(len, prompts))
    left = torch.tensor([[eos] * (longest - len(prompt)) + prompt for prompt in prompts])
    attention_mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    generated = transformers_twin(model).generate(
        left, attention_mask=attention_mask, do_sample=False, max_new_tokens=20, eos_token_id=eos, pad_token_id=eos
    )
    assert torch.equal(rollout.completion_ids, generated[:, longest:])


# -- log-probabilities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["float64", "float32"])
@torch.no_grad()
def test_sampling_logprobs_equal_the_scorers(temperature, dtype, bound):
    """Greedy ones are those of temperature 1."""
    model = policy(dtype)
    rollout = whole_batch(model, dataclasses.replace(WHOLE, temperature=temperature))
    scored = completion_logprobs(model, rollout, temperature or 1.0)
    assert rollout.logprobs.dtype == dtype
    assert rollout.logprobs[rollout.mask].std() > 0.1
    torch.testing.assert_close(rollout.logprobs, scored, atol=bound, rtol=0)


# -- what does not fit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "fits"), [(8, True), (9, False)])
def test_prompt_and_completion_must_fit_the_context(length, fits):
    """A context of 23 holds a prompt of 8 and a completion of 15."""
    model = policy(max_position_embeddings=8 + LIMIT)
    prompts = random_prompts([2, length], vocab=VOCAB)
    if fits:
        assert len(sample(model, prompts, 1, keyed([0, 1], [0, 0]), WHOLE)) == 2
        return
    with pytest.raises(ValueError, match="prompts of 2 to 9 tokens and completions of 15 do not fit the context"):
        sample(model, prompts, 1, keyed([0, 1], [0, 0]), WHOLE)


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="prompts of 0 to 3 tokens"):
        sample(policy(), [[2, 3, 4], []], 1, keyed([0, 1], [0, 0]), WHOLE)


@pytest.mark.parametrize("shape", [(4, LIMIT - 1), (4, LIMIT + 1), (3, LIMIT), (8, LIMIT)])
def test_uniforms_must_be_one_a_token(shape):
    with pytest.raises(AssertionError):
        sample(policy(), PROMPTS[:2], 2, torch.rand(shape, dtype=torch.float64), WHOLE)


def test_sampling_leaves_no_gradient_and_no_trace_in_the_model():
    model = policy()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rollout = whole_batch(model)
    assert not rollout.logprobs.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(whole_batch(model).ids, rollout.ids)
