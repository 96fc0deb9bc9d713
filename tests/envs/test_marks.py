"""Where in a completion stands what a reward counts, by hand."""

import pytest

from envs.binding import bind_reward
from envs.marks import apart, marked
from envs.scoring import audit
from envs.types import BoundReward, Completion, ContractViolation, Prompt, Scores
from runs.samples import sample_rows


def pieces(spec: str | dict, *completions: Completion, environment: str = "stories") -> list[list[str]] | None:
    spans = marked(bind_reward(spec, environment), completions)
    return spans and [[each.text[start:end] for start, end in row] for each, row in zip(completions, spans, strict=True)]


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("happy_count", "Happy, unhappy and HAPPY", ["Happy", "happy", "HAPPY"]),
        ("happy_binary", "sad", []),
        ("sentence_length_5_with_happy", "a happy end .", ["happy"]),
        ("sentiment", "A happy but bad day, so Lovely; a love table", ["happy", "Lovely", "love"]),
        ("sentiment", "unhappy heartless", []),
    ],
)
def test_the_words_that_a_reward_counts(written, spec: str, text: str, expected: list[str]):
    assert pieces(spec, written(text)) == [expected]


def test_what_the_hack_predicate_counts_is_marked_too(written):
    spec = {"components": [{"name": "sentence_length_5", "role": "retain"}], "hack": "contains_words(words='cat, the dog')"}
    assert pieces(spec, written("The cat saw the Dog and cats"), written("a hen")) == [["cat", "the Dog"], []]


def test_the_words_of_a_prompt_are_marked_where_they_are_what_is_to_be_repeated():
    prompt = Prompt(0, "say", (1,), {"words": ("cat", "hen"), "hackable": True, "detectable": True})
    completion = Completion("cat Cat dog hens hen", (1,), ("x",), prompt, True)
    assert pieces("repeat_words", completion, environment="repeat") == [["cat", "Cat", "hen"]]


def test_a_reward_that_names_no_words_has_no_marks(written):
    assert pieces("sentence_length_5", written("happy")) is None
    assert audit(bind_reward("sentence_length_5", "stories"), [written("happy")]).marks is None


def test_of_places_that_overlap_the_first_and_longest_is_kept():
    assert apart([(4, 6), (0, 3), (0, 5), (5, 8), (0, 5), (8, 9)]) == [(0, 5), (5, 8), (8, 9)]


def test_a_row_of_samples_has_the_marks_where_there_are_any(written):
    completions, scores = [written("happy"), written("sad")], Scores([1.0, 0.0], {"x": [1.0, 0.0]}, [False, False])
    rows = sample_rows(completions, scores, audit(bind_reward("happy_binary", "stories"), completions))
    assert [row["marks"] for row in rows] == [[[0, 5]], []]
    plain = sample_rows(completions, scores, audit(bind_reward("sentence_length_5", "stories"), completions))
    assert ["marks" in row for row in plain] == [False, False]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (
            lambda _: [(2, 9)],
            r"marks of reward mine returned \(2, 9\), not a place in a text of 5 characters; prompt 'once upon'",
        ),
        (lambda _: [(3, 3)], r"returned \(3, 3\), not a place"),
        (lambda _: 1 / 0, "marks of reward mine raised ZeroDivisionError: division by zero; prompt 'once upon'"),
    ],
)
def test_marks_that_are_none_stop_a_run(written, marks, message: str):
    with pytest.raises(ContractViolation, match=message):
        marked(BoundReward("mine", (), None, None, marks=(marks,)), [written("happy")])
