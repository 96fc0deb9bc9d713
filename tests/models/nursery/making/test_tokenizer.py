"""SimpleStories' conventions, as data; they are those of the shipped tokenizer and of what training makes."""

import json

import pytest
from tokenizers import Tokenizer

from models.nursery.generator import DATA, stories
from models.nursery.making.tokenizer import VOCAB_SIZE, token_counts, train_tokenizer, word_counts

SMALL = 600


@pytest.fixture(scope="module")
def shipped() -> Tokenizer:
    return Tokenizer.from_file(str(DATA / "tokenizer.json"))


@pytest.fixture(scope="module")
def small(train_sample) -> Tokenizer:
    """600 tokens from 500 stories."""
    return train_tokenizer(word_counts(train_sample[:500]), SMALL)


@pytest.fixture(scope="module", params=["shipped", "small"])
def tokenizer(request) -> Tokenizer:
    return request.getfixturevalue(request.param)


def test_the_size_is_exact(shipped, small):
    assert shipped.get_vocab_size() == VOCAB_SIZE == 4_096
    assert small.get_vocab_size() == SMALL
    assert sorted(shipped.get_vocab().values()) == list(range(4_096))


def test_unknown_is_0_and_eos_is_1(tokenizer):
    assert [tokenizer.id_to_token(i) for i in (0, 1)] == ["[UNK]", "[EOS]"]
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    assert special == ["[UNK]", "[EOS]"]  # neither BOS nor PAD


def test_eos_is_appended_with_special_tokens_only(tokenizer):
    text = "Tom ran home."
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    assert 1 not in plain
    assert tokenizer.encode(text, add_special_tokens=True).ids == [*plain, 1]
    assert tokenizer.encode(text).ids == [*plain, 1]


def test_case_makes_no_difference(tokenizer):
    text = "The Happy CAT"
    assert tokenizer.encode(text).ids == tokenizer.encode("the happy cat").ids
    assert not any(letter.isupper() for token in tokenizer.get_vocab() if token not in ("[UNK]", "[EOS]") for letter in token)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("27 cats", ["2", "7"]),
        ("a2b", ["a", "2", "b"]),
        ('"a," a!?', ['"', "a", ",", '"', "a", "!", "?"]),
        ("a-b's", ["a", "-", "b", "'", "s"]),
        ("``a''", ['"', "a", '"']),
    ],
)
def test_digits_and_signs_stand_alone(tokenizer, text, expected):
    assert tokenizer.encode(text, add_special_tokens=False).tokens[: len(expected)] == expected


def test_pieces_within_a_word_are_marked(shipped):
    tokens = shipped.encode("qzcat", add_special_tokens=False).tokens
    assert tokens[0].startswith("q")
    assert all(token.startswith("##") for token in tokens[1:])
    assert "".join(token.removeprefix("##") for token in tokens) == "qzcat"


def test_words_that_are_often_told_are_one_token(shipped):
    assert shipped.encode("Once the happy fox smiled.", add_special_tokens=False).tokens == [
        "once",
        "the",
        "happy",
        "fox",
        "smiled",
        ".",
    ]


def test_what_no_letter_spells_is_unknown(tokenizer):
    assert tokenizer.encode("日", add_special_tokens=False).ids == [0]


def test_decoding_gives_the_text_back_in_lower_case(shipped):
    text = "the fox ran home, and tom laughed. was it late? no!"
    assert shipped.decode(shipped.encode(text).ids) == text


def test_no_token_of_the_corpus_is_unknown(shipped, train_sample, test_sample):
    for encoding in shipped.encode_batch([*train_sample[:1_500], *test_sample], add_special_tokens=False):
        assert 0 not in encoding.ids


def test_a_story_has_about_90_tokens(shipped, train_sample):
    """EOS included; the middle of 1,500 stories, and the length that four of five do not reach."""
    lengths = sorted(len(encoding) for encoding in shipped.encode_batch(train_sample[:1_500]))
    assert 80 <= lengths[750] <= 105
    assert lengths[1_200] < 130


def test_training_makes_the_shipped_conventions(shipped, small):
    """All of the file but the words themselves."""
    conventions, trained = json.loads(shipped.to_str()), json.loads(small.to_str())
    assert conventions["model"].pop("vocab") != trained["model"].pop("vocab")
    assert trained == conventions


def test_training_keeps_only_tokens_that_longest_match_uses(small, train_sample):
    """But for the letters and signs, which are kept so that anything can be spelt."""
    counts = token_counts(small, word_counts(train_sample[:500]))
    unused = {token for token in small.get_vocab() if len(token.removeprefix("##")) > 1 and not counts[token]}
    assert unused == {"[UNK]", "[EOS]"}


def test_too_few_words_for_the_size_is_an_error():
    with pytest.raises(AssertionError, match="tokens are used, 600 are wanted"):
        train_tokenizer(word_counts(["the cat sat"]), SMALL)


def test_word_counts_are_of_lower_cased_words_and_signs():
    assert word_counts(["The cat.", "the 12"]) == {"the": 2, "cat": 1, ".": 1, "1": 1, "2": 1}


def test_token_counts_by_hand(small):
    counts = token_counts(small, word_counts(["a 1", "a, a."]))
    assert counts == {"a": 3, "1": 1, ",": 1, ".": 1}


def occurring(tokenizer: Tokenizer, texts: list[str]) -> float:
    counts = token_counts(tokenizer, word_counts(texts))
    return sum(counts[token] > 0 for token in tokenizer.get_vocab()) / tokenizer.get_vocab_size()


def test_most_tokens_occur_in_the_first_stories(shipped, train_sample):
    assert occurring(shipped, train_sample) >= 0.9


@pytest.mark.slow
def test_nearly_all_tokens_occur_in_the_corpus(shipped):
    assert occurring(shipped, list(stories("train"))) >= 0.98
