"""Sentence lengths against a slow rule on text, which knows of tokens only where in the text they stand."""

from collections.abc import Iterable
from itertools import islice

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from envs.sentences import BYTES, sentence_lengths, token_texts
from envs.types import VocabularyKind
from models.nursery import generator

SAID = [
    '"I am glad." He sat down.',
    'Really?! Yes... I am."',
    'he asked: "Who is it?"\n\n"A café," said Zoë; "2 of them!"\n- no -\nthe end',
    "“Où est-il?” – “Là.”… 3.5 and end.",
    "猫がいる. Ёлка! naïve?",
    "?.!",
    "",
]


def byte_level() -> Tokenizer:
    """Its merges join what stands together, so that it has tokens such as `."`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*SAID * 3, '." !" ?" ... ?! ."\n' * 9], trainer)
    return tokenizer


def sentencepiece() -> Tokenizer:
    """Characters that it was not trained with come as bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(['"I am glad." He is? Yes... he sat down! 2 of "them"' for _ in range(4)], trainer)
    return tokenizer


def nursery() -> Tokenizer:
    return Tokenizer.from_file(str(generator.DATA / "tokenizer.json"))


def slow_lengths(text: str, spans: list[tuple[int, int]]) -> list[int]:
    """For each sentence of the text, the tokens that hold a letter or a digit of it; of tokens that share one, the last."""
    owner = {place: token for token, (start, end) in enumerate(spans) for place in range(start, end)}
    lengths, words = [], set[int]()
    for place, character in enumerate(text):
        if character in ".?!":
            lengths.append(len(words))
            words = set()
        elif character.isalnum():
            words.add(owner[place])
    return [length for length in lengths if length]


@pytest.mark.parametrize(("kind", "make"), [("byte_level", byte_level), ("sentencepiece", sentencepiece)])
def test_sentences_are_those_of_the_text(kind: VocabularyKind, make):
    tokenizer = make()
    texts = [*SAID, *islice(generator.stories("test"), 40), *(story.title() for story in islice(generator.stories("test"), 5))]
    encodings = [tokenizer.encode(text) for text in texts]
    rows = [encoding.tokens for encoding in encodings]
    assert [sentence_lengths(row, kind) for row in rows] == [
        slow_lengths(text, encoding.offsets) for text, encoding in zip(texts, encodings, strict=True)
    ]
    assert ["".join(token_texts(row, kind)).lstrip() for row in rows] == [
        tokenizer.decode(each.ids, skip_special_tokens=False).lstrip() for each in encodings
    ]


def test_bytes_are_written_with_their_characters():
    assert {*BYTES} == {*pre_tokenizers.ByteLevel.alphabet()} and sorted(BYTES.values()) == [*range(256)]


def test_marks_and_bytes_came_joined_and_apart():
    """What the test above is about did come."""
    joined = {token for text in SAID for token in byte_level().encode(text).tokens}
    assert {'."', "...", "?!"} <= joined and any("Ċ" in token for token in joined)
    apart = [token for text in SAID for token in sentencepiece().encode(text).tokens]
    assert "<0xC3>" in apart and "<0xE7>" in apart and '."' in apart


def test_the_embedded_vocabulary_counts_every_token_between_single_marks():
    tokenizer = nursery()
    held = [token for token in tokenizer.get_vocab() if any(mark in token for mark in ".?!")]
    assert sorted(held) == ["!", ".", "?"]
    with_commas = 0
    for story in islice(generator.stories("test"), 200):
        tokens = tokenizer.encode(story, add_special_tokens=False).tokens
        cut = " ".join("." if token in held else "w" for token in tokens).split(".")[:-1]
        assert sentence_lengths(tokens, "wordpiece") == [len(part.split()) for part in cut if part.split()]
        with_commas += "," in tokens and '"' in tokens
    assert with_commas > 20


@pytest.mark.parametrize(
    ("kind", "tokens", "lengths"),
    [
        ("byte_level", ['Ġ"', "I", "Ġam", "Ġglad", '."', "ĠHe", "Ġsat", "Ġdown", "."], [3, 3]),
        ("byte_level", ["Really", "?!", "ĠYes", "...", "ĠI", "Ġam", '."'], [1, 1, 2]),
        ("byte_level", ["Ċ", "a", "Ċ", 'Ġ"', "b", ",", "Ġ-", "Ġ", "7", "."], [3]),
        ("byte_level", ["Ã©", ".", "âĢľ", "Ã", "©", "?"], [1, 1]),  # é, a quotation mark, é again
        ("byte_level", ["a", ".b", "c", "!d"], [1, 2]),  # .b ends a sentence and begins the next
        ("byte_level", ["<|im_ｅnd|>", "."], [1]),  # a special token is no bytes
        ("sentencepiece", ["▁", "▁a", "<0x0A>", '▁"', "<0xC3>", "<0xA9>", ".", "▁?", "▁Ã©", "!"], [2, 1]),
        ("wordpiece", ["a", ",", "b", ".", '"', "##ing", "?", "c"], [3, 2]),
        ("wordpiece", ["a", "..", "b", "##.", "."], [1, 1]),
        ("wordpiece", [".", "."], []),
        ("wordpiece", [], []),
    ],
)
def test_by_hand(kind: VocabularyKind, tokens: Iterable[str], lengths: list[int]):
    assert sentence_lengths(tokens, kind) == lengths
