"""Tokenizer files as people save them: with padding, with BOS, with fewer tokens than the embedding has rows, or with gaps."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from configs.errors import UserError
from models.loading import load_pretrained
from models.tokenizer import Bos, bos_note
from tests.helpers import EOS, UNK, VOCAB, tiny_tokenizer
from tests.models.folders import error_of, logits_of, rewrite_config, rewrite_json

TEXTS = ["cab fa", "a"]


def rewrite_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))


def test_padding_and_truncation_of_a_saved_tokenizer_are_left_behind(folder: Path):
    tokenizer = tiny_tokenizer()
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    tokenizer.enable_padding(pad_id=1, pad_token=EOS, length=12)
    tokenizer.enable_truncation(3)
    rewrite_tokenizer(folder, tokenizer)
    loaded = load_pretrained(str(folder)).tokenizer
    assert [encoding.ids for encoding in loaded.encode_batch(TEXTS, add_special_tokens=False)] == plain
    assert len(plain[0]) > 3 and [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)] != plain


# Tokens and rows


def test_rows_beyond_the_tokenizers_tokens_are_padding_and_said(folder: Path):
    whole = logits_of(load_pretrained(str(folder)).model)
    rewrite_tokenizer(folder, tiny_tokenizer(VOCAB - 5))
    loaded = load_pretrained(str(folder))
    config = loaded.model.config
    assert (config.vocab_size, config.padding_rows, config.token_count) == (VOCAB, 5, VOCAB - 5)
    assert torch.equal(logits_of(loaded.model), whole[..., : VOCAB - 5])
    assert loaded.notes == (f"the last 5 rows of the embedding stand for no token of the {VOCAB - 5}; they are never sampled",)


def test_a_tokenizer_of_more_tokens_than_rows_is_refused(folder: Path):
    rewrite_tokenizer(folder, tiny_tokenizer(VOCAB + 1))
    assert error_of(folder).endswith(f"its tokenizer has {VOCAB + 1} tokens, its weights {VOCAB}; they do not fit")


@pytest.mark.parametrize(("ids", "message"), [
    ((0, 1, 5, 6), "has no token 2 (3 gaps below its last, 6)"),
    ((0, 1, 2, VOCAB), "has no token 3 "),  # as many tokens as a smaller vocabulary, one of them beyond the rows
])  # fmt: skip
def test_ids_that_stand_for_no_token_are_refused(folder: Path, ids: tuple[int, ...], message: str):
    tokenizer = Tokenizer(models.WordLevel(dict(zip((UNK, EOS, "a", "b"), ids, strict=True)), unk_token=UNK))
    tokenizer.add_special_tokens([UNK, EOS])
    rewrite_tokenizer(folder, tokenizer)
    assert message in error_of(folder)


# BOS


def bos_tokenizer(single: str | None) -> Tokenizer:
    """[UNK]=0, [EOS]=1, <s>=2, <t>=3 and the letters; `single` is its template of a text."""
    vocab = [UNK, EOS, "<s>", "<t>", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocab)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(vocab[:4])
    if single:
        tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[(EOS, 1), ("<s>", 2), ("<t>", 3)])
    return tokenizer


TEMPLATES = {"<s> $A": (2,), f"<s> $A {EOS}": (2,), f"$A {EOS}": (), "$A <s>": (), "<s> <t> $A": (2, 3), None: ()}


@pytest.mark.parametrize(("single", "expected"), TEMPLATES.items())
def test_what_the_tokenizer_puts_before_a_text_is_its_bos(folder: Path, single: str | None, expected: tuple[int, ...]):
    rewrite_tokenizer(folder, bos_tokenizer(single))
    pretrained = load_pretrained(str(folder))
    assert pretrained.bos == Bos(own=expected, named=None)
    plain, theirs = pretrained.tokenizer.encode("b c", add_special_tokens=False).ids, AutoTokenizer.from_pretrained(folder)
    own = tuple(theirs("b c").input_ids)
    assert own[: len(expected) + 2] == (*expected, *plain)


def test_add_bos_token_is_without_effect_as_in_transformers_and_that_is_said(folder: Path):
    rewrite_tokenizer(folder, bos_tokenizer(f"$A {EOS}"))
    rewrite_json(folder / "tokenizer_config.json", bos_token="<s>", add_bos_token=True)
    assert AutoTokenizer.from_pretrained(folder)("b").input_ids == [5, 1]
    pretrained = load_pretrained(str(folder))
    assert pretrained.bos == Bos(own=(), named=2)
    (note,) = [note for note in pretrained.notes if "add_bos_token" in note]
    assert note.endswith("has no effect beside tokenizer.json, as in transformers; --env.bos always has")


NAMED = {
    "by the tokenizer": ({"bos_token": "<t>"}, {"bos_token_id": 2}, 3),
    "as an added token": ({"bos_token": {"content": "<s>", "lstrip": False}}, {}, 2),
    "by the config": ({}, {"bos_token_id": 3}, 3),
    "by none": ({"bos_token": None}, {"bos_token_id": None}, None),
    "beyond the tokens": ({}, {"bos_token_id": 31}, None),
    "minus one": ({}, {"bos_token_id": -1}, None),
    "no token": ({"bos_token": "<u>"}, {"bos_token_id": 2}, None),
}


@pytest.mark.parametrize(("tokenizer_config", "config", "expected"), NAMED.values(), ids=NAMED)
def test_the_bos_that_the_files_name(folder: Path, tokenizer_config: dict, config: dict, expected: int | None):
    rewrite_tokenizer(folder, bos_tokenizer(None))
    rewrite_json(folder / "tokenizer_config.json", **tokenizer_config)
    rewrite_config(folder, **config)
    assert load_pretrained(str(folder)).bos == Bos(own=(), named=expected)


@pytest.mark.parametrize(("own", "named", "expected"), [
    ((2,), 3, {"auto": (2,), "always": (2,), "never": ()}),
    ((), 3, {"auto": (), "always": (3,), "never": ()}),
    ((), None, {"auto": (), "never": ()}),
])  # fmt: skip
def test_which_bos_a_setting_takes(own: tuple[int, ...], named: int | None, expected: dict[str, tuple[int, ...]]):
    assert {setting: Bos(own, named).ids(setting) for setting in expected} == expected


def test_bos_that_is_to_be_and_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"^--env\.bos always: the model has none: "):
        Bos((), None).ids("always")


def test_bos_is_said():
    assert bos_note(bos_tokenizer(None), (2, 3)) == ["prompts begin with BOS (token 2 '<s>' and token 3 '<t>')"]
    assert bos_note(bos_tokenizer(None), ()) == []


def test_a_tokenizer_config_that_is_no_object_is_named(folder: Path):
    (folder / "tokenizer_config.json").write_text(json.dumps(["bos"]))
    assert "tokenizer_config.json cannot be read: it holds list" in error_of(folder)
