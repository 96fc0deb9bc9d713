"""The sampler against a slow one that samples each completion by itself, without cache, padding or batch.

Statistical tests have fixed seeds; each states its power and rejects a sampler that is biased on purpose.
"""

import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import TopKLogitsWarper, TopPLogitsWarper

from configs.experiment import SamplingSettings
from grpo import sampler
from grpo.logprobs import completion_logprobs
from grpo.randomness import SampleKeys
from grpo.rollout import Rollout, concatenate
from grpo.sampler import choose_tokens, sample, truncate
from models import decoding
from models.llama import Llama
from tests.helpers import random_prompts, tiny_llama, transformers_twin

EOS = 1
VOCAB = 16  # small, so that completions end by EOS at all lengths
LIMIT = 15
LENGTHS = (3, 1, 9, 5, 2, 7)
PROMPTS = random_prompts(LENGTHS, seed=5, vocab=VOCAB)
GENERATIONS = 5
WHOLE = SamplingSettings(max_completion_length=LIMIT)
COOL = SamplingSettings(max_completion_length=LIMIT, temperature=0.7)
GREEDY = SamplingSettings(max_completion_length=LIMIT, temperature=0)
LAST_UNIFORM = 1 - 2**-53  # the largest that a float64 generator gives


def policy(dtype=torch.float64, **changes) -> Llama:
    return tiny_llama(seed=2, dtype=dtype, vocab_size=VOCAB, **changes)


def keyed(prompts, generations, length=LIMIT, seed=0):
    return SampleKeys(seed, 0, prompts, generations).uniforms("training sample", length)


def whole_batch(model, settings=WHOLE) -> Rollout:
    """GENERATIONS completions of each prompt."""
    keys = list(itertools.product(range(len(PROMPTS)), range(GENERATIONS)))
    return sample(model, PROMPTS, GENERATIONS, keyed(*zip(*keys, strict=True)), settings)


# -- the slow sampler ------------------------------------------------------------------------------------------------------


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


SETTINGS = {
    "the whole distribution": WHOLE,
    "temperature 0.7": COOL,
    "greedy": GREEDY,
    "top_k": SamplingSettings(max_completion_length=LIMIT, top_k=4),
    "top_p": SamplingSettings(max_completion_length=LIMIT, top_p=0.6),
    "all of them": SamplingSettings(max_completion_length=LIMIT, temperature=1.6, top_k=9, top_p=0.8),
}


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


# -- what is computed ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Calls:
    prefilled: list[torch.Tensor]  # ids [p, t], a call each
    decoded: list[int]  # rows, a call each


@pytest.fixture
def calls(monkeypatch) -> Calls:
    """What the sampler asks the model to compute."""
    recorded = Calls([], [])

    def prefill(weights, ids, lengths, slots):
        recorded.prefilled.append(ids.clone())
        return decoding.prefill(weights, ids, lengths, slots)

    def decode(weights, cache, tokens, rotation):
        recorded.decoded.append(len(tokens))
        return decoding.decode(weights, cache, tokens, rotation)

    monkeypatch.setattr(sampler, "prefill", prefill)
    monkeypatch.setattr(sampler, "decode", decode)
    return recorded


@pytest.mark.parametrize("prompts", [len(PROMPTS) * 2, 8, 3, 1])
def test_each_distinct_prompt_is_prefilled_once(calls, prompts):
    """One forward call, a row a prompt whatever the size of its group; short batches are filled up to 8 rows."""
    chosen = random_prompts(range(1, prompts + 1), vocab=VOCAB)
    sample(policy(), chosen, 4, keyed(range(4 * prompts), [0] * 4 * prompts), WHOLE)
    (prefilled,) = calls.prefilled
    rows = max(prompts, 8)
    assert prefilled.tolist() == [(chosen * rows)[i] + [0] * (prompts - len((chosen * rows)[i])) for i in range(rows)]


def test_finished_rows_leave_the_batch_at_once_when_asked_to(calls, monkeypatch):
    """After t tokens the batch holds the completions of more than t tokens, but never fewer than 8."""
    monkeypatch.setattr(sampler, "SHRINK_AT", 1.0)
    monkeypatch.setattr(sampler, "CHECK_EVERY", 1)
    lengths = whole_batch(policy()).mask.sum(1)
    assert calls.decoded == [max(int((lengths > t).sum()), 8) for t in range(1, LIMIT)]
    assert calls.decoded[0] > 20 > 8 == calls.decoded[-1]
    assert (lengths == LIMIT).sum() < 8


@pytest.mark.parametrize("check_every", [1, 3])
def test_finished_rows_leave_the_batch_once_an_eighth_is_finished(calls, monkeypatch, check_every):
    """Looked at every few tokens, a batch holds fewer than 8/7 rows a live one, or 8 rows."""
    monkeypatch.setattr(sampler, "CHECK_EVERY", check_every)
    lengths = whole_batch(policy()).mask.sum(1)
    held, expected = len(lengths), []
    for t in range(1, LIMIT):
        still = max(int((lengths > t).sum()), 8)
        held = still if t % check_every == 0 and still <= 7 / 8 * held else held
        expected.append(held)
    assert calls.decoded == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize(("prompts", "group_size"), [(1, 1), (1, 3), (3, 1), (2, 8), (12, 1)])
def test_never_fewer_than_eight_rows_are_computed(calls, prompts, group_size):
    count = prompts * group_size
    chosen = random_prompts(range(1, prompts + 1), vocab=VOCAB)
    rollout = sample(policy(), chosen, group_size, keyed(range(count), [0] * count), WHOLE)
    assert len(rollout) == count
    assert min(len(calls.prefilled[0]), *calls.decoded) == 8


@pytest.mark.parametrize("check_every", [1, 4])
def test_sampling_stops_with_the_last_eos(calls, monkeypatch, check_every):
    """Looked for every few tokens."""
    monkeypatch.setattr(sampler, "CHECK_EVERY", check_every)
    model = policy()
    row = next(row for row, done in enumerate(whole_batch(model).finished) if done)
    prompt, generation = divmod(row, GENERATIONS)
    calls.decoded.clear()
    rollout = sample(model, [PROMPTS[prompt]], 1, keyed([prompt], [generation]), WHOLE)
    length = rollout.completion_ids.shape[1]
    assert length + check_every < LIMIT
    assert len(calls.decoded) == math.ceil(length / check_every) * check_every - 1


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


# -- the mask --------------------------------------------------------------------------------------------------------------


def scripted(*lines):
    """A rollout of given tokens at a limit of 4, after the prompts [5], [6, 7], [8, 9, 10], ..."""
    prompts = [list(range(5 + i * (i + 1) // 2, 6 + i + i * (i + 1) // 2)) for i in range(len(lines))]
    completion_ids = torch.tensor(lines)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    return sampler.pack_rollout(prompts, 1, lengths, completion_ids, torch.ones(completion_ids.shape), (EOS,))


def test_eos_is_inside_the_mask_and_nothing_after_it_is():
    rollout = scripted([3, EOS, EOS, EOS], [EOS, EOS, EOS, EOS], [3, 4, 2, EOS])
    assert rollout.mask.tolist() == [[True, True, False, False], [True, False, False, False], [True, True, True, True]]
    assert rollout.finished.tolist() == [True, True, True]
    assert rollout.ids.tolist() == [
        [5, 3, EOS, EOS, EOS, EOS, EOS],
        [6, 7, EOS, EOS, EOS, EOS, EOS],
        [8, 9, 10, 3, 4, 2, EOS],
    ]


def test_a_completion_at_the_length_limit_is_whole_and_not_finished():
    rollout = scripted([3, 4, 2, 3], [3, EOS, EOS, EOS])
    assert rollout.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert rollout.finished.tolist() == [False, True]


def test_tensors_are_cut_to_the_longest_completion_and_the_longest_text():
    rollout = scripted([3, 4, EOS, EOS], [EOS, EOS, EOS, EOS])
    assert rollout.completion_ids.tolist() == [[3, 4, EOS], [EOS, EOS, EOS]]
    assert rollout.mask.tolist() == [[True, True, True], [True, False, False]]
    assert rollout.ids.tolist() == [[5, 3, 4, EOS], [6, 7, EOS, EOS]]


def test_chosen_rows_of_a_rollout_are_cut_to_the_longest_of_them():
    rollout = scripted([3, 4, EOS, EOS], [EOS, EOS, EOS, EOS], [2, 2, 2, 2], [3, EOS, EOS, EOS])
    rows = rollout.rows(torch.tensor([3, 0]))
    assert rows.ids.tolist() == [[11, 12, 13, 14, 3, EOS], [5, 3, 4, EOS, EOS, EOS]]  # 4 + 2 tokens, 1 + 3
    assert rows.prompt_lengths.tolist() == [4, 1]
    assert rows.completion_ids.tolist() == [[3, EOS, EOS], [3, 4, EOS]]
    assert rows.mask.tolist() == [[True, True, False], [True, True, True]]
    assert rows.logprobs.shape == (2, 3)
    assert rows.finished.tolist() == [True, True]


def test_rollouts_of_parts_make_up_the_rollout_of_the_whole():
    """Field by field: parts of different widths and lengths, each padded to the longest of all."""
    model = policy()
    whole = whole_batch(model)
    parts = []
    for p in (0, 1, 2, 3, 4, 5):
        generations = range(GENERATIONS)
        parts.append(sample(model, [PROMPTS[p]], GENERATIONS, keyed([p] * GENERATIONS, generations), WHOLE))
    assert len({part.mask.shape[1] for part in parts}) > 1
    assert len({part.ids.shape[1] for part in parts}) > 1
    joined = concatenate(parts, EOS)
    for field in dataclasses.fields(Rollout):
        one, other = getattr(joined, field.name), getattr(whole, field.name)
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0, msg=lambda text, name=field.name: f"{name}: {text}")


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
