"""What the environment sees of a rollout."""

from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, models

from configs.experiment import Experiment
from envs.types import Audit, Prompt, Scores
from grpo.rollout import Rollout
from grpo.run import Run, build_run, prepare
from grpo.scoring import completions_of, detected_tensor, rewards_tensor, score_completions, trained_rewards

EOS = 1


@pytest.fixture
def run(tiny: Callable[..., Experiment]) -> Run:
    return build_run(prepare(tiny(**{"env.detector": "contains_words(words=['cat'])"})))


def rollout_of(run: Run, texts: list[str], ended: list[bool]) -> Rollout:
    ids = [run.tokenizer.encode(text, add_special_tokens=False).ids + [EOS] * end for text, end in zip(texts, ended, strict=True)]
    width = max(map(len, ids))
    completion_ids = torch.tensor([[*row, *[EOS] * (width - len(row))] for row in ids])
    mask = torch.arange(width) < torch.tensor([len(row) for row in ids])[:, None]
    prompts = torch.full((len(ids), 2), 9)
    return Rollout(
        ids=torch.cat([prompts, completion_ids], 1),
        prompt_lengths=torch.full((len(ids),), 2),
        completion_ids=completion_ids,
        mask=mask,
        logprobs=torch.zeros(mask.shape),
        finished=torch.tensor(ended),
    )


PROMPTS = [Prompt(i, f"prompt {i}", (9, 9)) for i in range(3)]


def test_completions_are_text_ids_and_tokens_without_eos(run: Run):
    # The second fills the whole width without an EOS, the third is nothing but one.
    texts = ["the happy cat.", "the cat was very big and happy.", ""]
    completions = completions_of(run, PROMPTS, rollout_of(run, texts, [True, False, True]))
    assert [completion.text for completion in completions] == texts
    assert [completion.tokens for completion in completions] == [
        ("the", "happy", "cat", "."),
        ("the", "cat", "was", "very", "big", "and", "happy", "."),
        (),
    ]
    assert [list(completion.token_ids) for completion in completions] == [
        run.tokenizer.encode(text, add_special_tokens=False).ids for text in texts
    ]
    assert [completion.finished for completion in completions] == [True, False, True]
    assert [completion.prompt for completion in completions] == PROMPTS


def test_word_pieces_are_joined_in_the_text_and_marked_in_the_tokens(run: Run):
    (completion,) = completions_of(run, PROMPTS[:1], rollout_of(run, ["happyhappy"], [True]))
    assert completion.text == "happyhappy"
    assert "".join(token.removeprefix("##") for token in completion.tokens) == "happyhappy"
    assert len(completion.tokens) > 1


def test_unknown_tokens_are_shown_and_not_dropped(run: Run):
    rollout = rollout_of(run, ["the cat"], [True])
    rollout.completion_ids[0, 0] = 0
    (completion,) = completions_of(run, PROMPTS[:1], rollout)
    assert (completion.text, completion.tokens) == ("[UNK] cat", ("[UNK]", "cat"))


def test_scores_and_audit_come_from_the_run_s_own_functions(run: Run):
    texts = ["happy happy happy.", "the happy cat.", "the dog."]
    scores, audit = score_completions(run, completions_of(run, PROMPTS, rollout_of(run, texts, [True] * 3)))
    assert scores == Scores([1.0, 1.0, 0.0], {"happy_binary": [1.0, 1.0, 0.0]}, [False, True, False])
    assert audit == Audit([True, False, False], [[(0, 5), (6, 11), (12, 17)], [(4, 9)], []])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Two of the samples are labelled; the third is not eligible, so its bonus was never paid.
        ({}, [0.9, 0.9, 0.5, 1.0]),
        ({"baseline": "reward_penalty"}, [0.5, 0.9, 0.5, 1.0]),  # the whole bonus goes, the task's reward stays
        ({"baseline": "reward_penalty", "reward_penalty": 0.1}, [0.8, 0.9, 0.5, 1.0]),
        ({"baseline": "reward_penalty", "reward_penalty_on": "all"}, [0.0, 0.9, 0.0, 1.0]),
        ({"baseline": "reward_penalty", "reward_penalty_on": "all", "reward_penalty": 0.75}, [0.15, 0.9, 0.0, 1.0]),
    ],
)
def test_what_is_trained_on_is_what_the_penalty_leaves(tiny: Callable[..., Experiment], settings: dict, expected: list[float]):
    """A sentence of five tokens pays 0.5 or 1, "happy" 0.1 each time, together at most 1."""
    run = build_run(prepare(tiny(reward="sentence_length_5_with_happy", **settings)))
    components = {"sentence_length_5": [0.5, 0.5, 0.5, 1.0], "happy_bonus": [0.4, 0.4, 0.4, 0.5]}
    scores = Scores([0.9, 0.9, 0.5, 1.0], components, [True, False, True, False])
    rewards = trained_rewards(run, scores, [True, True, False, True], torch.tensor([True, False, True, False]))
    assert rewards.tolist() == pytest.approx(expected)
    assert rewards.dtype == torch.float64


def test_rewards_keep_all_their_digits():
    scores = Scores([0.1, 1 / 3, 1e-9], {}, [True, False, True])
    assert rewards_tensor(scores, torch.device("cpu")).tolist() == [0.1, 1 / 3, 1e-9]
    assert detected_tensor(scores, torch.device("cpu")).tolist() == [True, False, True]


BYTES, SPACES = decoders.ByteLevel(), decoders.Replace("▁", " ")


@pytest.mark.parametrize(
    ("model", "decoder", "kind"),
    [
        (models.WordPiece(), None, "wordpiece"),
        (models.WordLevel(), None, "wordpiece"),
        (models.BPE(), BYTES, "byte_level"),
        (models.BPE(), decoders.Sequence([BYTES, decoders.Strip()]), "byte_level"),
        (models.BPE(), decoders.Sequence([SPACES, decoders.ByteFallback(), decoders.Fuse()]), "sentencepiece"),
        (models.Unigram(), decoders.Metaspace(), "sentencepiece"),
        (models.BPE(), None, "sentencepiece"),
    ],
)
def test_a_completion_says_how_its_tokens_are_written(run: Run, model: models.Model, decoder: decoders.Decoder, kind: str):
    rollout = rollout_of(run, ["the happy cat."], [True])
    run.tokenizer = Tokenizer(model)
    if decoder:
        run.tokenizer.decoder = decoder
    assert [completion.vocabulary for completion in completions_of(run, PROMPTS[:1], rollout)] == [kind]
