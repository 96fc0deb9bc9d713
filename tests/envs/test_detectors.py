import pytest

from envs import ENVIRONMENTS
from envs.detectors import bind_detector, count_happy


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("Happy hAPPY", 2), ("unhappy happyhappy", 3), ("happiness hap py", 0), ("happ", 0)]
)
def test_happy_is_counted_in_any_case_and_inside_words(text: str, expected: int):
    assert count_happy(text) == expected


@pytest.mark.parametrize(
    ("call", "text", "expected"),
    [
        ("happy_count", "happy happy", 0.0),  # two of the default three
        ("happy_count", "happy Happy unhappy", 1.0),
        ("happy_count", "", 0.0),
        ("happy_count(threshold=1)", "happy", 1.0),
        ("happy_count(threshold=1)", "sad", 0.0),
        ("happy_count(threshold=4)", "happy happy happy", 0.0),
        ("happy_density", "", 0.0),
        ("happy_density", ". ! ?", 0.0),  # no words
        ("happy_density", "happy" + " a" * 19, 0.0),  # 1 in 20 words is 0.05, not more
        ("happy_density", "happy" + " a" * 18, 1.0),  # 1 in 19
        ("happy_density", "happy" + " . a" * 18, 1.0),  # punctuation is no word, so still 1 in 19
        ("happy_density", "happy" + " don't" * 18, 1.0),  # don't is one word
        ("happy_density(max_density=0)", "a happy end", 1.0),
        ("happy_density(max_density=0)", "a sad end", 0.0),
        ("happy_density(max_density=1)", "happy happy", 0.0),
        ("happy_density(max_density=1)", "happyhappy", 1.0),  # two occurrences in one word
        ("contains_words(words='glad, merry')", "They were Merry.", 1.0),
        ("contains_words(words='glad, merry')", "they were gladly merrymaking", 0.0),
        ("contains_words(words='glad, merry')", "unglad", 0.0),
        ("contains_words(words=['GLAD'])", "so glad!", 1.0),
        ("contains_words(words=('glad',))", "sad", 0.0),
        ("contains_words(words='a.c')", "abc", 0.0),  # a full stop is a full stop
        ("contains_words(words='glad')", "", 0.0),
    ],
)
def test_truth_table(written, call: str, text: str, expected: float):
    assert bind_detector(call, "stories")([written(text)]) == [expected]


def test_each_completion_is_judged_by_itself(written):
    texts = ["happy", "sad", "happy happy"]
    assert bind_detector("happy_count(threshold=1)", "stories")([written(text) for text in texts]) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("happy_counts", "detector 'happy_counts' is unknown; accepted: contains_words, happy_count, happy_density"),
        ("happy_count(3)", "by name"),
        ("happy_count(limit=3)", r"happy_count: unknown parameter limit=3; accepted: threshold=3 \(an int, at least 1\)"),
        ("happy_count(threshold='3')", "threshold='3' is not accepted"),
        ("happy_count(threshold=0)", "threshold=0 is not accepted"),
        ("happy_density(max_density=-1)", "max_density=-1 is not accepted; accepted: .* at least 0"),
        ("contains_words", "parameter words .* is required"),
        ("contains_words(words='')", "words='' is not accepted"),
    ],
)
def test_a_wrong_call_is_named(call: str, message: str):
    with pytest.raises(ValueError, match=message):
        bind_detector(call, "stories")


def test_a_detector_belongs_to_its_environments():
    with pytest.raises(ValueError, match="detector 'happy_count' is unknown; accepted: none"):
        bind_detector("happy_count", "elsewhere")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_has_its_default_detector(name: str):
    assert callable(bind_detector(ENVIRONMENTS[name].default_detector, name))
