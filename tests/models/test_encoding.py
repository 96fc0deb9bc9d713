"""The first ids of a text are those of the whole text, whatever the tokenizer; how much of it was read does not show."""

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from models.encoding import encode, opening
from models.nursery import generator
from tests.helpers import tiny_tokenizer

LENGTHS = (1, 2, 3, 8)
TEXTS = [
    *generator.stories("test", 30),
    " once  upon\n\na time, there was. \"Oh!\" he said.\n\nthen they went home. and so on",
    "a b", "", "   ", "a", "a  \n b\tc d e f g h i j k l m n o p q r s t u v w",
    "\u65e5\u672c \u00e4\u0308b  c\u3000d e f g h i [EOS] j k l m n o p q r s",
    "don't you'll 12345 6789 ... --- ' ' ' a e i o u a e i o u a e i o u a e i o u",
]  # fmt: skip


def trained(kind: str) -> Tokenizer:
    """On the texts themselves, so that long pieces are merged."""
    trainers: dict[str, Any] = {"show_progress": False, "vocab_size": 400, "special_tokens": ["[UNK]", "[EOS]"]}
    from tokenizers import trainers as of

    if kind == "byte-level BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = of.BpeTrainer(**trainers, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "Metaspace Unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = of.UnigramTrainer(**trainers, unk_token="[UNK]")
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        trainer = of.BpeTrainer(**trainers)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def tokenizer_of(kind: str) -> Tokenizer:
    return {"nursery": lambda: Tokenizer.from_file(str(generator.DATA / "tokenizer.json")), "letters": tiny_tokenizer}.get(
        kind, lambda: trained(kind)
    )()


def whole(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.mark.parametrize("kind", ["nursery", "letters", "byte-level BPE", "Metaspace Unigram", "BPE of whole texts"])
def test_the_first_ids_are_those_of_the_whole_text(kind: str):
    tokenizer = tokenizer_of(kind)
    rows = whole(tokenizer, TEXTS)
    assert encode(tokenizer, TEXTS) == rows
    for most in LENGTHS:
        assert encode(tokenizer, TEXTS, most) == [ids[:most] for ids in rows]


def test_a_tokenizer_that_merges_across_words_reads_on():
    """`b` and the space behind it go together first, so what `a b` begins with depends on what follows it."""
    vocab = {token: i for i, token in enumerate(["a", "b", "c", " ", "b ", " b", "a b"])}
    tokenizer = Tokenizer(models.BPE(vocab, [("b", " "), (" ", "b"), ("a", " b")]))
    assert whole(tokenizer, ["a b", "a b c"]) == [[6], [0, 3, 4, 2]]
    assert encode(tokenizer, ["a b", "a b c"], most=1) == [[6], [0]]


def test_an_added_token_of_several_words_is_read_whole():
    tokenizer = tiny_tokenizer()
    text = "a begin of the text b"
    apart = encode(tokenizer, [text], most=2)
    tokenizer.add_tokens([AddedToken("begin of the text", normalized=False)])
    assert encode(tokenizer, [text], most=2) == [ids[:2] for ids in whole(tokenizer, [text])] != apart
    assert encode(tokenizer, ["begin of the text b"], most=1) == [[tokenizer.token_to_id("begin of the text")]]


def test_no_more_is_read_than_twice_as_many_words_where_they_settle_it():
    seen: list[str] = []

    class Noting:
        """The tokenizer, with a note of each text it is given."""

        def __init__(self, tokenizer: Tokenizer):
            self.get_added_tokens_decoder = tokenizer.get_added_tokens_decoder
            self.tokenizer = tokenizer

        def encode_batch(self, texts: list[str], add_special_tokens: bool) -> Any:
            seen.extend(texts)
            return self.tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)

    encode(Noting(tokenizer_of("nursery")), ["the cat sat  on a mat", "zzyzx"], most=2)  # type: ignore[arg-type]
    assert seen == ["the cat sat  on", "zzyzx"]


def test_an_opening_keeps_the_white_space_between_its_words():
    assert opening(" a bb\n ccc  dddd eeeee", 4) == " a bb\n ccc  dddd"
    assert opening("a b", 3) == "a b"
