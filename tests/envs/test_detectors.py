import pytest

from envs import ENVIRONMENTS
from envs.binding import bind_detector
from envs.detectors import count_happy


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("Happy hAPPY", 2), ("unhappy happyhappy", 3), ("happiness hap py", 0), ("happ", 0)]
)
def test_happy_is_counted_in_any_case_and_inside_words(text: str, expected: int):
    assert count_happy(text) == expected


@pytest.mark.parametrize(
    ("call", "text", "expected"),
    [
        ("happy_at_least", "happy happy", False),  # two of the default three
        ("happy_at_least", "happy Happy unhappy", True),
        ("happy_at_least", "", False),
        ("exclaims_at_least", "oh! no!", False),  # two of the default three
        ("exclaims_at_least", "oh!! no!", True),
        ("exclaims_at_least(threshold=1)", "oh", False),
        ("happy_at_least(threshold=1)", "happy", True),
        ("happy_at_least(threshold=1)", "sad", False),
        ("happy_at_least(threshold=4)", "happy happy happy", False),
        ("happy_density", "", False),
        ("happy_density", ". ! ?", False),  # no words
        ("happy_density", "happy" + " a" * 19, 0.0),  # 1 in 20 words is 0.05, not more
        ("happy_density", "happy" + " a" * 18, 1.0),  # 1 in 19
        ("happy_density", "happy" + " . a" * 18, 1.0),  # punctuation is no word, so still 1 in 19
        ("happy_density", "happy" + " don't" * 18, 1.0),  # don't is one word
        ("happy_density(max_density=0)", "a happy end", True),
        ("happy_density(max_density=0)", "a sad end", False),
        ("happy_density(max_density=1)", "happy happy", False),
        ("happy_density(max_density=1)", "happyhappy", True),  # two occurrences in one word
        ("contains_words(words='glad, merry')", "They were Merry.", True),
        ("contains_words(words='glad, merry')", "they were gladly merrymaking", False),
        ("contains_words(words='glad, merry')", "unglad", False),
        ("contains_words(words=['GLAD'])", "so glad!", True),
        ("contains_words(words=('glad',))", "sad", False),
        ("contains_words(words='a.c')", "abc", False),  # a full stop is a full stop
        ("contains_words(words='glad')", "", False),
    ],
)
def test_truth_table(written, call: str, text: str, expected: bool):
    assert bind_detector(call, "stories")([written(text)]) == [expected]


def test_each_completion_is_judged_by_itself(written):
    texts = ["happy", "sad", "happy happy"]
    assert bind_detector("happy_at_least(threshold=1)", "stories")([written(text) for text in texts]) == [True, False, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "happy_count",
            "detector 'happy_count' is unknown; accepted: contains_words, exclaims_at_least, happy_at_least, happy_density",
        ),
        ("happy_at_least(3)", "by name"),
        ("happy_at_least(limit=3)", r"happy_at_least: unknown parameter limit=3; accepted: threshold=3 \(an int, at least 1\)"),
        ("happy_at_least(threshold='3')", "threshold='3' is not accepted"),
        ("happy_at_least(threshold=0)", "threshold=0 is not accepted"),
        ("happy_density(max_density=-1)", "max_density=-1 is not accepted; accepted: .* at least 0"),
        ("contains_words", "parameter words .* is required"),
        ("contains_words(words='')", "words='' is not accepted"),
    ],
)
def test_a_wrong_call_is_named(call: str, message: str):
    with pytest.raises(ValueError, match=message):
        bind_detector(call, "stories")


def test_a_detector_belongs_to_its_environments():
    with pytest.raises(ValueError, match="detector 'happy_at_least' is unknown; accepted: none"):
        bind_detector("happy_at_least", "elsewhere")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_has_its_default_detector(name: str):
    assert callable(bind_detector(ENVIRONMENTS[name].default_detector, name))
