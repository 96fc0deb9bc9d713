"""Which rows the sampler computes, and which tokens of them count."""

import dataclasses
import math

import pytest
import torch

from grpo import sampler
from grpo.rollout import Rollout, concatenate
from grpo.sampler import sample
from models import decoding
from tests.grpo.sampled import (
    EOS,
    GENERATIONS,
    LIMIT,
    PROMPTS,
    VOCAB,
    WHOLE,
    keyed,
    policy,
    whole_batch,
)
from tests.helpers import random_prompts

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
