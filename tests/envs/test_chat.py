"""Questions become prompts in the order of the dataset, each once; those that do not fit the context are counted."""

from collections.abc import Callable, Iterator

import pytest

from configs.experiment import EnvironmentSettings
from envs.chat import build_chat, without_long_prompts
from envs.types import FIRST_EVAL_INDEX, Environment

UNKNOWN, ASKS, REPLIES = 0, 100, 101


def encode(texts: list[str], most: int | None = None) -> list[list[int]]:
    """A template of two tokens around one a word, its length; 0 for `?`."""
    return [[ASKS, *(UNKNOWN if word == "?" else len(word) for word in text.split()), REPLIES][:most] for text in texts]


def texts_of(train: list[str], held_out: list[str]) -> Callable[[str], Iterator[str]]:
    return lambda use: iter({"train": train, "eval": held_out}[use])


def built(train: list[str], held_out: list[str], unk_id: int | None = None, **settings: int) -> Environment:
    chat = EnvironmentSettings(name="chat", **settings)
    return build_chat(texts_of(train, held_out), encode, lambda _: "not shown", unk_id, chat)


def test_a_prompt_shows_the_question_and_has_the_ids_of_the_template():
    environment = built(["why not", "who"], ["how come"])
    assert [(prompt.index, prompt.text, prompt.token_ids) for prompt in environment.train_prompts] == [
        (0, "why not", (ASKS, 3, 3, REPLIES)),
        (1, "who", (ASKS, 3, REPLIES)),
    ]
    (held_out,) = environment.eval_prompts
    assert (held_out.index, held_out.token_ids) == (FIRST_EVAL_INDEX, (ASKS, 3, 4, REPLIES))
    assert environment.name == "chat" and environment.notes == ()


def test_no_prompt_comes_twice_or_in_both_splits():
    environment = built(["who", "why", "is it"], ["how", "to be", "or", "or"])  # ids tell lengths of words alone
    assert [prompt.text for prompt in environment.train_prompts] == ["who", "is it"]
    assert [prompt.text for prompt in environment.eval_prompts] == ["or"]


def test_no_more_are_taken_than_wanted():
    environment = built(["a", "bb", "ccc"], ["dddd", "eeeee"], num_prompts=2, num_eval_prompts=1)
    assert [prompt.text for prompt in environment.train_prompts] == ["a", "bb"]
    assert [prompt.text for prompt in environment.eval_prompts] == ["dddd"]


@pytest.mark.parametrize(("train", "held_out", "use"), [([], ["a"], "train"), (["a"], [], "eval"), (["a"], ["b"], "eval")])
def test_texts_without_a_new_question_are_named(train: list[str], held_out: list[str], use: str):
    with pytest.raises(ValueError, match=f"no new question for {use} prompts"):
        built(train, held_out)


def test_questions_that_the_tokenizer_does_not_know_are_refused():
    with pytest.raises(ValueError, match=r"33\.3% of the train prompts' tokens are unknown"):
        built(["?"], ["a"], unk_id=UNKNOWN)
    assert built(["?"], ["a"], unk_id=None).train_prompts


def test_prompts_too_long_for_the_context_are_left_out_and_counted():
    environment = built(["a", "b b b", "c c", "d d d d"], ["f f f f f", "ee"])
    fitting = without_long_prompts(environment, 4)
    assert [prompt.index for prompt in fitting.train_prompts] == [0, 2]
    assert [prompt.text for prompt in fitting.eval_prompts] == ["ee"]
    assert fitting.notes == ("left out, as longer than 4 tokens: 2 of 4 training prompts, 1 of 2 evaluation prompts",)
    assert without_long_prompts(environment, 7) == environment


@pytest.mark.parametrize("longest", [2, 3])
def test_where_no_question_fits_that_is_an_error(longest: int):
    with pytest.raises(ValueError, match=f"they are longer than {longest} tokens"):
        without_long_prompts(built(["a"], ["b b"]), longest)
