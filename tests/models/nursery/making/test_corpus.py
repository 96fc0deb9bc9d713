"""What is measured of a corpus, by hand on a few words; and what the corpus has to be, on its first 4,000 stories.

The same figures of all 100,000 are a slow test, and what `python -m models.nursery.making.corpus` prints.
"""

import re
import statistics
import zlib
from collections import Counter

import pytest

from models.nursery.generator import TEST_STORIES, TRAIN_STORIES, load_lexicon, stories
from models.nursery.making.corpus import figures, gzip_ratio, quantiles, sentence_lengths, tokens_of

SIMPLE_STORIES_GZIP = 2.888  # of 40 stories of SimpleStories, joined and compressed as `gzip_ratio` does


def test_tokens_are_words_and_single_signs():
    assert tokens_of('"Wait," said Ann-Lou. 12?!') == ['"', "wait", ",", '"', "said", "ann", "-", "lou", ".", "12", "?", "!"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. Tom, who was wet, ran home! Why?", [2, 8, 1]),
        ('"Stop!" said Tom. "Why?" asked Eva.', [1, 2, 1, 2]),  # a quotation mark behind a sign belongs to no sentence
        ("Wait... what? And so", [1, 1]),  # empty sentences and an unfinished tail count for nothing
        ("no end", []),
    ],
)
def test_sentence_lengths_leave_the_closing_sign_out(text, expected):
    assert sentence_lengths(text) == expected


def test_gzip_ratio_is_of_the_texts_joined_by_newlines():
    """A gzip file is a zlib stream with 18 bytes around it instead of 6."""
    texts = ["the cat sat on the mat, and the cat was happy"] * 3
    raw = b"\n".join(text.encode() for text in texts)
    assert gzip_ratio(texts) == len(raw) / (len(zlib.compress(raw, 9)) + 12)


def test_quantiles_by_hand():
    """19 values cut into 20 parts of equal weight: each value is a cut."""
    assert quantiles(list(range(1, 20))) == {"5%": 1, "25%": 5, "50%": 10, "75%": 15, "80%": 16, "95%": 19}


def test_figures_by_hand():
    """Tokens 4, 7 (cat, ' and s are three), 3. Sentences 3, 6, 2: mean 11/3, deviations -2/3, 7/3, -5/3, so that the
    variance is (4 + 49 + 25) / 9 / 3 = 26/9.
    """
    train, test = ["A happy cat.", "The cat's sad now.", "A dog!"], ["A dog!", "A cow."]
    measured = figures(train, test)
    assert (measured["train stories"], measured["test stories"], measured["distinct stories in both"]) == (3, 2, 4)
    assert measured["distinct words"] == 8  # a, happy, cat, the, cat's, sad, now, dog
    assert measured["distinct words seen 20 times"] == 0
    assert measured["tokens a story"]["50%"] == 4
    assert measured["share of stories under 130 tokens"] == 1
    assert measured["tokens a sentence"]["mean"] == pytest.approx(11 / 3)
    assert measured["tokens a sentence"]["sd"] == pytest.approx((26 / 9) ** 0.5)
    assert measured["share of sentences of 3 to 20 tokens"] == pytest.approx(2 / 3)
    shares = measured["share of stories with"]
    assert (shares["happy"], shares["sad"], shares["proud"]) == (1 / 3, 1 / 3, 0)


# The corpus


def check_targets(measured: dict) -> None:
    """The targets that a sample and the whole corpus have to meet alike."""
    assert measured["distinct stories in both"] == measured["train stories"] + measured["test stories"]
    assert measured["distinct words"] >= 4_500
    assert 80 <= measured["tokens a story"]["50%"] <= 100
    assert measured["tokens a story"]["80%"] < 130
    sentence = measured["tokens a sentence"]
    assert 8 <= sentence["mean"] <= 10
    assert sentence["sd"] >= 3
    assert sentence["75%"] - sentence["25%"] >= 4
    assert measured["share of sentences of 3 to 20 tokens"] >= 0.9
    assert 0.15 <= measured["share of stories with"]["happy"] <= 0.4
    assert min(measured["share of stories with"].values()) >= 0.003  # sad, proud, tired, brave, ...
    assert measured["gzip ratio of 40 stories"] == pytest.approx(SIMPLE_STORIES_GZIP, rel=0.25)


def test_the_first_stories_meet_the_targets(train_sample, test_sample):
    """Standard errors of 4,000 stories: "happy" 0.6 %, mean length of a sentence 0.02."""
    check_targets(figures(train_sample, test_sample))


@pytest.mark.slow
def test_the_whole_corpus_meets_the_targets():
    measured = figures(list(stories("train")), list(stories("test")))
    assert (measured["train stories"], measured["test stories"]) == (TRAIN_STORIES, TEST_STORIES) == (100_000, 5_000)
    check_targets(measured)


def test_any_forty_stories_compress_as_forty_of_simple_stories(train_sample):
    ratios = [gzip_ratio(train_sample[i : i + 40]) for i in range(0, len(train_sample), 40)]
    assert statistics.mean(ratios) == pytest.approx(SIMPLE_STORIES_GZIP, rel=0.25)
    assert min(ratios) >= 0.75 * SIMPLE_STORIES_GZIP


def test_happy_stands_among_many_other_moods(train_sample):
    """At least 50 moods that each stand in 0.2 % of the stories (8 of 4,000), and none in half as many as happy."""
    moods = {mood for category in ("goodmood", "badmood") for mood in load_lexicon()[category]} - {"down"}  # mostly no mood
    stories_with = Counter(word for story in train_sample for word in set(re.findall("[a-z]+", story.lower())) & moods)
    assert sum(count >= 8 for count in stories_with.values()) >= 50
    (first, most), (_, second) = stories_with.most_common(2)
    assert first == "happy"
    assert second < most / 2
    # "brave" is a trait in the lexicon; stories hold it all the same.
    assert {"sad", "proud", "tired", "brave"} <= set(re.findall("[a-z]+", " ".join(train_sample).lower()))
