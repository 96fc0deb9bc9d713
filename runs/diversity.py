"""Figures that show a policy collapsing: repeats, shared words, worn-out phrases."""

import gzip
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LEAST_UNIQUE, MOST_JACCARD = 0.5, 0.7  # beyond either, samples count as degenerate
# Of the base model's own figures on as many samples; beyond either, samples count as collapsed into templates.
# Fixed on the runs of seed 1 of `configs/sweeps/template_collapse.py`, and tried on those of seed 2.
LEAST_DISTINCT_3, MOST_GZIP_RATIO = 0.7, 1.3
Words = list[str]  # of a text, in its order


def words_of(text: str) -> Words:
    """Lower-cased."""
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def unique_share(texts: Sequence[str]) -> float:
    return len(set(texts)) / len(texts)


def mean_jaccard(words: Sequence[Words]) -> float | None:
    """Mean over all pairs of texts of |shared words| / |words of both|; two empty texts count as 1.

    None below two texts.
    """
    if len(words) < 2:
        return None
    sets = [*map(set, words)]
    column = {word: i for i, word in enumerate(sorted(set().union(*sets)))}
    holds = np.zeros((len(words), len(column)), dtype=np.float32)
    for row, present in enumerate(sets):
        holds[row, [column[word] for word in present]] = 1
    sizes, above = holds.sum(1).astype(np.float64), ~np.tri(len(words), dtype=bool)  # each pair once, row by row
    shared = (holds @ holds.T)[above].astype(np.float64)
    union = (sizes[:, None] + sizes[None, :])[above] - shared
    return float(np.where(union > 0, shared / np.maximum(union, 1), 1.0).mean())


def distinct(words: Sequence[Words], n: int) -> float | None:
    """Different n-grams of words per n-gram, over all texts together; None when there are none."""
    grams = [gram for each in words for gram in zip(*(each[i:] for i in range(n)), strict=False)]
    return len(set(grams)) / len(grams) if grams else None


def gzip_ratio(texts: Sequence[str]) -> float:
    """Bytes per compressed byte of the texts joined by newlines; comparable for equal numbers of texts only."""
    raw = "\n".join(texts).encode()
    return len(raw) / len(gzip.compress(raw, mtime=0))


def diversity(texts: Sequence[str]) -> dict[str, float | bool | None]:
    """Raises ValueError without texts."""
    if not texts:
        raise ValueError("diversity of no texts")
    words = [*map(words_of, texts)]
    unique, jaccard = unique_share(texts), mean_jaccard(words)
    return {
        "unique": unique,
        "jaccard": jaccard,
        "distinct_1": distinct(words, 1),
        "distinct_2": distinct(words, 2),
        "distinct_3": distinct(words, 3),
        "gzip_ratio": gzip_ratio(texts),
        "degenerate": None if jaccard is None else unique < LEAST_UNIQUE or jaccard > MOST_JACCARD,
    }


def template_collapse(figures: Mapping[str, Any], base: Mapping[str, Any]) -> bool | None:
    """Whether texts repeat phrases far more than the base model's, on as many samples; None where either has no phrases.

    Unlike `degenerate` it sees stories that differ in their words and share their sentences.
    """
    if figures["distinct_3"] is None or base["distinct_3"] is None:
        return None
    few_phrases = figures["distinct_3"] < LEAST_DISTINCT_3 * base["distinct_3"]
    return few_phrases or figures["gzip_ratio"] > MOST_GZIP_RATIO * base["gzip_ratio"]
