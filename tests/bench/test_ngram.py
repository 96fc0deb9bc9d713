"""The 5-gram model against hand arithmetic and a slow form in fractions, written from the definition."""

from fractions import Fraction

import numpy as np
import pytest

from bench.ngram import fit

A, B, C = 0, 1, 2
START = -1


def test_two_tokens_of_context_by_hand():
    """Rows ab, ac, ab over {a, b, c}; the start of a row is written <.

    Pairs: <a 3, ab 2, ac 1; one of them once, one twice, so D = 1 / (1 + 2) = 1/3.
    Below them each of a, b, c follows one kind of token: counts 1, 1, 1, D = 3 / (3 + 0) = 1, so p = 1/3 each.
    After a: c(a) = 3, t(a) = 2; what is left to spread is 1/3 x 2 / 3 = 2/9, of which each token gets a third, 2/27.
    p(b | a) = (2 - 1/3) / 3 + 2/27 = 17/27, p(c | a) = (1 - 1/3) / 3 + 2/27 = 8/27, p(a | a) = 2/27.
    """
    model = fit([[A, B], [A, C], [A, B]], vocab_size=3, order=2)
    assert model.probabilities([[A, A], [A, B], [A, C]]) == pytest.approx([2 / 27, 17 / 27, 8 / 27], rel=1e-12)
    assert model.probabilities([[B, C]]) == pytest.approx([1 / 3], rel=1e-12)  # nothing ever followed b
    assert model.loss([[A, B], [A, C, B]]) == pytest.approx(-np.log([17 / 27, 8 / 27, 1 / 3]).mean(), rel=1e-12)


def test_contexts_from_the_start_of_a_row_count_how_often_and_others_what_precedes():
    """Rows bab, ab, ab, order 3.

    Threes: <ba 1, bab 1, <ab 2: D = 2 / (2 + 2) = 1/2.
    Pairs: <b 1 and <a 2 (how often), ba after < only: 1, ab after b and after <: 2. D = 2 / (2 + 2x2) = 1/3.
    Single: a after < and b: 2, b after < and a: 2. No count is 1: D = 1/2. p = (2 - 1/2) / 4 + (1/2) 2 / 4 / 2 = 1/2 each.
    p(b | a) = (2 - 1/3) / 2 + (1/3) 1 / 2 x 1/2 = 11/12.
    p(b | <a) = (2 - 1/2) / 2 + (1/2) 1 / 2 x 11/12 = 47/48.  p(a | <b) = (1 - 1/2) / 1 + 1/2 p(a | b).
    p(a | b) = (1 - 1/3) / 1 + 1/3 x 1/2 = 5/6, so p(a | <b) = 1/2 + 5/12 = 11/12.
    p(b | ba) = (1 - 1/2) / 1 + 1/2 x 11/12 = 23/24.
    """
    model = fit([[B, A, B], [A, B], [A, B]], vocab_size=2, order=3)
    assert model.probabilities([[A, B], [B, A, B]]) == pytest.approx([47 / 48, 11 / 12, 23 / 24], rel=1e-12)


def slow_probability(rows: list[list[int]], vocab: int, context: list[int], token: int) -> Fraction:
    """p(token | context), one order after the other, from lists of n-grams; `context` begins with START where a row does."""
    lower = Fraction(1, vocab)
    order = 4
    for n in range(1, order + 1):
        if len(context) < n - 1:
            break
        counts = slow_counts(rows, n, order)
        ones, twos = list(counts.values()).count(1), list(counts.values()).count(2)
        discount = Fraction(ones, ones + 2 * twos) if ones else Fraction(1, 2)
        before = tuple(context[len(context) - n + 1 :])
        follow = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == before}
        if follow:
            total = sum(follow.values())
            lower = (max(follow.get(token, 0) - discount, Fraction(0)) + discount * len(follow) * lower) / total
    return lower


def slow_counts(rows: list[list[int]], n: int, order: int) -> dict[tuple[int, ...], int]:
    marked = [[START, *row] for row in rows]
    grams = [tuple(row[i : i + n]) for row in marked for i in range(len(row) - n + 1)]
    counts = {gram: grams.count(gram) for gram in grams if gram != (START,)}
    if n == order:
        return counts
    preceding = {
        gram: {row[i] for row in marked for i in range(len(row) - n) if tuple(row[i + 1 : i + n + 1]) == gram} for gram in counts
    }
    return {gram: count if gram[0] == START else len(preceding[gram]) for gram, count in counts.items()}


def random_rows(count: int, vocab: int, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(vocab, size=generator.integers(1, 7)).tolist() for _ in range(count)]


@pytest.mark.parametrize("count", [1, 12])
def test_equals_the_slow_form(count):
    """Rows of 1 to 6 tokens, shorter and longer than the order; held-out ones hold contexts that were never seen."""
    rows, held_out = random_rows(count, 4, seed=count), random_rows(6, 4, seed=7)
    held_out.append([3, 2, 1, 0, 1, 2, 3])
    expected = [float(slow_probability(rows, 4, [START, *row[:i]], row[i])) for row in held_out for i in range(1, len(row))]
    assert fit(rows, vocab_size=4, order=4).probabilities(held_out) == pytest.approx(expected, rel=1e-12)


def test_the_probabilities_of_all_tokens_sum_to_one_after_any_context():
    rows = random_rows(200, 6, seed=3)
    model = fit(rows, vocab_size=6)
    for context in [*(row[:-1] for row in random_rows(50, 6, seed=4) if len(row) > 1), [5, 5, 5, 5, 5]]:
        p = model.probabilities([[*context, token] for token in range(6)]).reshape(6, -1)[:, -1]
        assert p.min() > 0
        assert p.sum() == pytest.approx(1, abs=1e-12)


def test_a_row_is_predicted_from_itself_alone():
    rows = random_rows(40, 5, seed=5)
    model = fit(rows, vocab_size=5)
    alone = np.concatenate([model.probabilities([row]) for row in rows])
    assert model.probabilities(rows).tolist() == alone.tolist()
    assert len(alone) == sum(len(row) - 1 for row in rows)
