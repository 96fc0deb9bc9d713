"""The tokenizer here is one that decoding does not undo: a token is a letter, decoded as an upper-case letter and a hyphen,
which are other tokens. A prompt that had been decoded and encoded again would not have the ids of the story's beginning.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from envs.stories import CHUNK, FIRST_EVAL_INDEX, build_stories
from envs.types import Environment

UNKNOWN = ord("?")


@dataclass(frozen=True)
class Settings:
    prompt_length: int = 3
    num_prompts: int = 100
    num_eval_prompts: int = 100


def encode(texts: list[str], most: int | None = None) -> list[list[int]]:
    return [[ord(letter) for letter in text][:most] for text in texts]


def decode(ids: list[int]) -> str:
    return "".join(chr(each).upper() + "-" for each in ids)


def build(train: Iterable[str], test: Iterable[str], unk_id: int | None = UNKNOWN, **settings: int) -> Environment:
    return build_stories({"train": train, "eval": test}.__getitem__, encode, decode, unk_id, Settings(**settings))


def ids(*beginnings: str) -> list[tuple[int, ...]]:
    return [tuple(map(ord, beginning)) for beginning in beginnings]


def test_prompts_are_cut_as_ids_and_never_encoded_again():
    (prompt,) = build(["abcdef"], ["xyzzy"]).train_prompts
    assert prompt.token_ids == (ord("a"), ord("b"), ord("c"))
    assert prompt.text == "A-B-C-"
    assert tuple(encode([prompt.text])[0]) != prompt.token_ids


def test_short_and_repeated_beginnings_are_dropped_in_the_order_of_the_texts():
    train = ["zebra", "ab", "zebu", "", "abc", "abcd", "zest"]
    environment = build(train, ["uvw", "uv", "uvwxyz", "xyz"])
    assert environment.name == "stories"
    assert [prompt.token_ids for prompt in environment.train_prompts] == ids("zeb", "abc", "zes")
    assert [prompt.token_ids for prompt in environment.eval_prompts] == ids("uvw", "xyz")


def test_no_evaluation_prompt_is_a_training_prompt():
    environment = build(["abcdef", "uvwxyz"], ["uvw...", "xyz", "abcabc"])
    assert [prompt.token_ids for prompt in environment.eval_prompts] == ids("xyz")


def test_no_more_of_a_text_is_asked_for_than_its_prompt():
    lengths: list[int | None] = []

    def noted(texts: list[str], most: int | None = None) -> list[list[int]]:
        lengths.append(most)
        return encode(texts, most)

    texts = {"train": ["abcdef"], "eval": ["uvwxyz"]}
    build_stories(texts.__getitem__, noted, decode, UNKNOWN, Settings(prompt_length=4))
    assert lengths == [4, 4]


def test_indices_never_coincide():
    environment = build(["abc", "def"], ["uvw", "xyz"])
    assert [prompt.index for prompt in environment.train_prompts] == [0, 1]
    assert [prompt.index for prompt in environment.eval_prompts] == [FIRST_EVAL_INDEX, FIRST_EVAL_INDEX + 1]
    assert FIRST_EVAL_INDEX == 1_000_000_000


def test_as_many_as_wanted_and_fewer_where_the_texts_run_out():
    train, test = ["aaa", "bbb", "ccc"], ["ddd", "eee", "fff"]
    environment = build(train, test, num_prompts=2, num_eval_prompts=1)
    assert [prompt.token_ids for prompt in environment.train_prompts] == ids("aaa", "bbb")
    assert [prompt.token_ids for prompt in environment.eval_prompts] == ids("ddd")
    assert len(build(train, test, num_prompts=4).train_prompts) == 3


def test_endless_texts_are_read_no_further_than_needed():
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        for number in count():
            read = number + 1
            yield f"{number:06d}"

    environment = build(endless(), ["abcdef"], prompt_length=6, num_prompts=CHUNK + 1)
    assert [prompt.text for prompt in environment.train_prompts[-1:]] == ["".join(f"{digit}-" for digit in f"{CHUNK:06d}")]
    assert read == 2 * CHUNK


@pytest.mark.parametrize(("train", "test", "use"), [(["ab"], ["xyz"], "train"), (["abc"], ["xy", "abcd"], "eval")])
def test_no_prompt_at_all_is_an_error(train: list[str], test: list[str], use: str):
    with pytest.raises(ValueError, match=f"no new story of at least prompt_length=3 tokens for {use} prompts"):
        build(train, test)


def hundred(unknown: int) -> list[str]:
    """A hundred prompt tokens, so many of them unknown."""
    return [f"{number}234567890"[:10] for number in "abcdefghi"] + ["?" * unknown + "j" * (10 - unknown)]


@pytest.mark.parametrize("use", ["train", "eval"])
def test_more_than_one_percent_of_unknown_tokens_is_an_error(use: str):
    def with_unknown(unknown: int, unk_id: int | None = UNKNOWN) -> Environment:
        texts = {"train": ["k" * 10], "eval": ["l" * 10]} | {use: hundred(unknown)}
        return build(texts["train"], texts["eval"], unk_id=unk_id, prompt_length=10)

    with_unknown(1)
    with_unknown(10, unk_id=None)
    with pytest.raises(ValueError, match=rf"2\.0% of the {use} prompts' tokens .*tokenizer and dataset do not fit"):
        with_unknown(2)
