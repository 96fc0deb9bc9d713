"""Word forms, each written by hand."""

import pytest

from models.nursery.inflect import article, comparative, gerund, past, plural, third_person


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("apple", "an"),
        ("egg", "an"),
        ("Orange", "an"),
        ("umbrella", "an"),
        ("old boat", "an"),
        ("kite", "a"),
        ("yellow hat", "a"),
        ("house", "a"),
        ("hour", "an"),
        ("honest fox", "an"),
        ("unicorn", "a"),
        ("ukulele", "a"),
        ("useful rope", "a"),
        ("one-eyed cat", "a"),
    ],
)
def test_the_article_goes_by_the_sound(word, expected):
    assert article(word) == expected


NOUNS = {
    "cat": "cats",
    "bus": "buses",
    "box": "boxes",
    "peach": "peaches",
    "brush": "brushes",
    "waltz": "waltzes",
    "berry": "berries",
    "key": "keys",
    "toy": "toys",
    "piano": "pianos",
    "mouse/mice": "mice",
    "goldfish/goldfish": "goldfish",
    "paper boat": "paper boats",
}


@pytest.mark.parametrize(("entry", "expected"), NOUNS.items())
def test_plurals(entry, expected):
    assert plural(entry) == expected


VERBS = {  # third person, past, -ing form
    "look": ("looks", "looked", "looking"),
    "bake": ("bakes", "baked", "baking"),
    "carry": ("carries", "carried", "carrying"),
    "play": ("plays", "played", "playing"),
    "wish": ("wishes", "wished", "wishing"),
    "fix": ("fixes", "fixed", "fixing"),
    "echo": ("echoes", "echoed", "echoing"),
    "moo": ("moos", "mooed", "mooing"),
    "tie": ("ties", "tied", "tying"),
    "agree": ("agrees", "agreed", "agreeing"),
    "tiptoe": ("tiptoes", "tiptoed", "tiptoeing"),
    "dye": ("dyes", "dyed", "dyeing"),
    "run/ran/running": ("runs", "ran", "running"),
    "read/read": ("reads", "read", "reading"),
    "hop/hopped/hopping": ("hops", "hopped", "hopping"),
    "look around": ("looks around", "looked around", "looking around"),
    "go/went/going": ("goes", "went", "going"),
}


@pytest.mark.parametrize(("entry", "expected"), VERBS.items())
def test_verb_forms(entry, expected):
    assert (third_person(entry), past(entry), gerund(entry)) == expected


@pytest.mark.parametrize(
    ("entry", "expected"), [("small", "smaller"), ("huge", "huger"), ("big/bigger", "bigger"), ("tiny/tinier", "tinier")]
)
def test_comparatives(entry, expected):
    assert comparative(entry) == expected
