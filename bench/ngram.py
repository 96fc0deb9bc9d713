"""An interpolated Kneser-Ney n-gram model on token ids: what a small transformer has to beat.

Kneser & Ney (1995) as Chen & Goodman (1998) interpolate it, one absolute discount D = n1 / (n1 + 2 n2) an order. With
c(h w) how often w follows the context h, c(h) the sum over w and t(h) how many different w follow:

    p(w | h) = max(c(h w) - D, 0) / c(h) + D t(h) / c(h) p(w | h without its first token)

Below the highest order, c(h w) is how many different tokens precede `h w`, or how often it occurs where h begins
with the start of a row, which nothing precedes. Below single tokens p is uniform. A context never seen leaves p as it is.

An n-gram is kept as one 64-bit number, its tokens as digits, so that counting is sorting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDER = 5


@dataclass(frozen=True)
class Counts:
    """The n-grams of one order, sorted by their number, and the contexts that they begin with, sorted too."""

    grams: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray  # c(h) of each context
    types: np.ndarray  # t(h)
    discount: float


@dataclass(frozen=True)
class NGram:
    vocab_size: int
    orders: tuple[Counts, ...]  # of 1 token, of 2, ...

    def probabilities(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """p of each token but its row's first, all rows' in turn; a token is predicted from its own row alone."""
        ids, places = with_starts(rows, self.vocab_size)
        p = np.full(len(ids), 1.0 / self.vocab_size)
        for n, order in enumerate(self.orders, start=1):
            at = np.flatnonzero(places >= max(n - 1, 1))
            p[at] = interpolated(order, numbers(ids, at, n, self.vocab_size + 1), self.vocab_size + 1, p[at])
        return p[places >= 2]

    def loss(self, rows: Sequence[Sequence[int]]) -> float:
        """Nats a token, over the same tokens as a model that starts from each row's first."""
        return float(-np.log(self.probabilities(rows)).mean())


def fit(rows: Sequence[Sequence[int]], vocab_size: int, order: int = ORDER) -> NGram:
    base = vocab_size + 1  # one more digit for the start of a row
    assert base**order < 2**63, "the n-grams do not fit into 64 bits"
    ids, places = with_starts(rows, vocab_size)
    orders: list[Counts] = []
    longer = np.empty(0, dtype=np.int64)  # the different n-grams of one token more
    for n in range(order, 0, -1):
        if n == order:
            grams, counts = np.unique(numbers(ids, np.flatnonzero(places >= max(n - 1, 1)), n, base), return_counts=True)
        else:  # those with something before them, and those that begin with the start of a row
            extended = np.unique(longer % base**n, return_counts=True)
            starting = np.unique(numbers(ids, np.flatnonzero((places == n - 1) & (places > 0)), n, base), return_counts=True)
            grams, counts = (np.concatenate(parts) for parts in zip(extended, starting, strict=True))
            by_number = np.argsort(grams)
            grams, counts = grams[by_number], counts[by_number]
        orders.insert(0, counted(grams, counts, base))
        longer = grams
    return NGram(vocab_size, tuple(orders))


def with_starts(rows: Sequence[Sequence[int]], vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows in one array, each behind a start marker `vocab_size`; and each token's place in its row, the marker's 0."""
    ids = np.fromiter((token for row in rows for token in (vocab_size, *row)), dtype=np.int64)
    starts = np.flatnonzero(ids == vocab_size)
    lengths = np.diff(np.append(starts, len(ids)))
    return ids, np.arange(len(ids)) - np.repeat(starts, lengths)


def numbers(ids: np.ndarray, ends: np.ndarray, n: int, base: int) -> np.ndarray:
    """The n-grams that end at `ends`, each as one number."""
    found = np.zeros(len(ends), dtype=np.int64)
    for back in range(n - 1, -1, -1):
        found = found * base + ids[ends - back]
    return found


def counted(grams: np.ndarray, counts: np.ndarray, base: int) -> Counts:
    contexts, begins, types = np.unique(grams // base, return_index=True, return_counts=True)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5  # where no count is 1, any discount below 1 is sound
    return Counts(grams, counts, contexts, np.add.reduceat(counts, begins), types, discount)


def interpolated(order: Counts, grams: np.ndarray, base: int, lower: np.ndarray) -> np.ndarray:
    """p of the last token of each n-gram, given `lower`, its p from one token of context less."""
    seen, at = found_in(order.contexts, grams // base)
    known, place = found_in(order.grams, grams)
    counts = np.where(known, order.counts[place], 0)
    total, types = order.totals[at], order.types[at]
    p = (np.maximum(counts - order.discount, 0.0) + order.discount * types * lower) / total
    return np.where(seen, p, lower)


def found_in(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each number is there, and where."""
    place = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    return ordered[place] == wanted, place
