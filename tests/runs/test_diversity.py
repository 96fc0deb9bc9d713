"""Figures of collapse: by hand, and against a loop over all pairs."""

import gzip
from itertools import combinations
from random import Random

import pytest

from runs.diversity import distinct, diversity, gzip_ratio, mean_jaccard, template_collapse, unique_share, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("...!?", []),
        ("A cat, a CAT.", ["a", "cat", "a", "cat"]),
        ("I don't, he said: 'no'", ["i", "don't", "he", "said", "no"]),
        ("x1 2y", ["x1", "2y"]),
    ],
)
def test_words(text: str, words: list[str]):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("texts", "share"),
    [(["a"], 1.0), (["a", "a"], 0.5), (["a", "a", "A", "b"], 0.75), (["", ""], 0.5)],  # a and A are two texts
)
def test_unique_share(texts: list[str], share: float):
    assert unique_share(texts) == share


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a b", "b c"], 1 / 3),  # {b} of {a, b, c}
        (["a b", "B a a"], 1.0),  # words count once, in any case
        (["a", "b"], 0.0),
        (["a b", "b c", "a b c d"], (1 / 3 + 2 / 4 + 2 / 4) / 3),
        (["", "..."], 1.0),
        (["", "a"], 0.0),
        (["a"], None),
        ([], None),
    ],
)
def test_mean_jaccard_by_hand(texts: list[str], expected: float | None):
    assert mean_jaccard([*map(words_of, texts)]) == (None if expected is None else pytest.approx(expected, abs=1e-15))


def random_texts(count: int, seed: int) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choices("abcdefghijklmnop", k=random.randrange(0, 12))) for _ in range(count)]


def test_mean_jaccard_is_that_of_a_loop_over_pairs():
    texts = random_texts(40, seed=1)

    def jaccard(x: set[str], y: set[str]) -> float:
        return len(x & y) / len(x | y) if x | y else 1.0

    pairs = [jaccard(set(x.split()), set(y.split())) for x, y in combinations(texts, 2)]
    assert mean_jaccard([*map(words_of, texts)]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, 3 / 7),  # a b a b | b b c: a b c of seven
        (2, 4 / 5),  # ab ba ab | bb bc, none across the texts: ab twice
        (3, 3 / 3),  # aba bab | bbc
        (4, 1 / 1),  # abab
        (5, None),
    ],
)
def test_distinct_by_hand(n: int, expected: float | None):
    assert distinct([*map(words_of, ["a b a b", "B b c"])], n) == expected


def test_gzip_ratio_is_that_of_the_gzip_program_s_format():
    texts = random_texts(50, seed=2)
    raw = "\n".join(texts).encode()
    assert gzip_ratio(texts) == len(raw) / len(gzip.compress(raw))
    assert gzip_ratio(["the cat sat. " * 3] * 50) > 10 * gzip_ratio(texts)


@pytest.mark.parametrize(
    ("texts", "degenerate"),
    [
        (["a b", "c d", "e f"], False),
        (["a b", "a b", "c d", "e f"], False),  # 3 of 4 unique, Jaccard 1/6
        (["a b", "a b"], True),  # one text; Jaccard 1
        (["a a", "a b"], False),  # Jaccard 0.5
        (["a a", "a"], True),  # two texts of the same words
        (["a b c d", "a b c d e"], True),  # Jaccard 0.8
        (["a", "a", "b", "b", "c", "d"], False),  # 4 of 6 unique
        (["a", "a", "a", "b", "b"], True),  # 2 of 5 unique, Jaccard 4/10
        (["a"], None),
    ],
)
def test_degenerate_is_few_texts_or_the_same_words(texts: list[str], degenerate: bool | None):
    assert diversity(texts)["degenerate"] is degenerate


def test_all_figures_stand_under_their_names():
    texts = ["a b c", "a b d"]
    assert diversity(texts) == {
        "unique": 1.0,
        "jaccard": 0.5,
        "distinct_1": 4 / 6,
        "distinct_2": 3 / 4,
        "distinct_3": 2 / 2,
        "gzip_ratio": gzip_ratio(texts),
        "degenerate": False,
    }


def test_no_texts_are_refused():
    with pytest.raises(ValueError, match="no texts"):
        diversity([])


@pytest.mark.parametrize(
    ("distinct_3", "gzip_ratio", "expected"),
    [
        (0.9, 2.0, False),  # the base's own figures
        (0.64, 2.0, False),  # 0.71 of the base's phrases
        (0.62, 2.0, True),  # 0.69
        (0.9, 2.58, False),  # 1.29 of the base's ratio
        (0.9, 2.62, True),  # 1.31
        (None, 2.0, None),  # completions of fewer than three words have no phrases
    ],
)
def test_template_collapse_is_relative_to_the_base(distinct_3: float | None, gzip_ratio: float, expected: bool | None):
    base = {"distinct_3": 0.9, "gzip_ratio": 2.0}
    assert template_collapse({"distinct_3": distinct_3, "gzip_ratio": gzip_ratio}, base) is expected
