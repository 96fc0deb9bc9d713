"""An interpolated Kneser-Ney n-gram model on token ids: what a small transformer has to beat.

Kneser & Ney (1995) as Chen & Goodman (1998) interpolate it, one absolute discount D = n1 / (n1 + 2 n2) an order. With
c(h w) how often w follows the context h, c(h) the sum over w and t(h) how many different w follow:

    p(w | h) = max(c(h w) - D, 0) / c(h) + D t(h) / c(h) p(w | h without its first token)

Below the highest order, c(h w) is how many different tokens precede `h w`, or how often it occurs where h begins
with the start of a row, which nothing precedes. Below single tokens p is uniform. A context never seen leaves p as it is.

An n-gram is kept as one 64-bit number, its tokens as digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

ORDER = 5


@dataclass(frozen=True)
class Counts:
    """The n-grams of one order."""

    grams: pd.Series  # c(h w) by n-gram
    contexts: pd.DataFrame  # total c(h) and types t(h) by context
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
            p[at] = interpolated(order, gram_numbers(ids, at, n, self.vocab_size + 1), self.vocab_size + 1, p[at])
        return p[places >= 2]

    def loss(self, rows: Sequence[Sequence[int]]) -> float:
        """Nats a token, over the same tokens as a model that starts from each row's first."""
        return float(-np.log(self.probabilities(rows)).mean())


def fit(rows: Sequence[Sequence[int]], vocab_size: int, order: int = ORDER) -> NGram:
    base = vocab_size + 1  # one more digit for the start of a row
    assert base**order < 2**63, "the n-grams do not fit into 64 bits"
    ids, places = with_starts(rows, vocab_size)
    grams = pd.Series(gram_numbers(ids, np.flatnonzero(places >= max(order - 1, 1)), order, base)).value_counts()
    orders = [count_contexts(grams, base)]
    for n in range(order - 1, 0, -1):
        extended = pd.Series(grams.index % base**n)  # each once for every different token before it
        starting = pd.Series(gram_numbers(ids, np.flatnonzero((places == n - 1) & (places > 0)), n, base))
        grams = pd.concat([extended, starting]).value_counts()
        orders.insert(0, count_contexts(grams, base))
    return NGram(vocab_size, tuple(orders))


def with_starts(rows: Sequence[Sequence[int]], vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows in one array, each behind a start marker `vocab_size`; and each token's place in its row, the marker's 0."""
    ids = np.fromiter((token for row in rows for token in (vocab_size, *row)), dtype=np.int64)
    return ids, np.concatenate([np.arange(len(row) + 1) for row in rows])


def gram_numbers(ids: np.ndarray, ends: np.ndarray, n: int, base: int) -> np.ndarray:
    """The n-grams that end at `ends`, each as one number."""
    grams = np.zeros(len(ends), dtype=np.int64)
    for back in range(n - 1, -1, -1):
        grams = grams * base + ids[ends - back]
    return grams


def count_contexts(grams: pd.Series, base: int) -> Counts:
    grouped = grams.groupby(grams.index // base)
    contexts = pd.DataFrame({"total": grouped.sum(), "types": grouped.size()})
    once, twice = int((grams == 1).sum()), int((grams == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5  # where no count is 1, any discount below 1 is sound
    return Counts(grams, contexts, discount)


def interpolated(order: Counts, grams: np.ndarray, base: int, lower: np.ndarray) -> np.ndarray:
    """p of the last token of each n-gram, given `lower`, its p from one token of context less."""
    counts = order.grams.reindex(grams, fill_value=0).to_numpy()
    total, types = order.contexts.reindex(grams // base).to_numpy(dtype=float).T  # NaN of a context never seen
    p = (np.maximum(counts - order.discount, 0.0) + order.discount * types * lower) / total
    return np.where(np.isnan(total), lower, p)
