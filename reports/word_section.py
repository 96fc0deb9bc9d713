"""What a run's modes say more often than the base model: the words that stand in for a hack among them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from records.estimates import is_above_noise
from records.names import BASE, MODES
from records.reader import RunFiles, grouped
from reports.sections import Section
from reports.tables import Cell, Table, text_cell

WORD = re.compile(r"\w+(?:['’]\w+)*|[!?]")
SHOWN = 10  # words of a mode

NOTE = """The words whose share of completions has risen most above the base's, that share, and the base's in small print. Only \
what is above the noise: 1.96 standard errors over completions of the same prompts, for each word by itself, so that among \
thousands of words a few small ones are chance."""


class Risen(NamedTuple):
    """A word, and the shares of a mode's completions and of the base's that have it."""

    word: str
    share: float
    base: float


def risen_words(completions: Sequence[str], base: Sequence[str], most: int = SHOWN) -> list[Risen]:
    """Those above the noise, the largest rise first. Completion i of either answers the same prompt."""
    said, base_said = ([{*WORD.findall(text.lower())} for text in texts] for texts in (completions, base))
    times, base_times = (Counter(chain.from_iterable(each)) for each in (said, base_said))
    ranked = sorted(times, key=lambda word: (base_times[word] - times[word], word))
    risen = (word for word in ranked if is_above_noise(_presence(word, said) - _presence(word, base_said)))
    return [Risen(word, times[word] / len(said), base_times[word] / len(base_said)) for word in islice(risen, most)]


def _presence(word: str, said: Sequence[set[str]]) -> np.ndarray:
    return np.array([word in words for words in said], dtype=float)


def word_section(run: RunFiles) -> list[Section]:
    """None without samples of the final evaluation, the base's among them."""
    texts = grouped(run.samples, lambda row: row.get("mode"))
    if BASE not in texts:
        return []
    modes = [mode for mode in MODES if mode in texts and mode != BASE]
    rows = [[text_cell(mode), *_word_cells(texts[mode], texts[BASE])] for mode in modes]
    header = ["mode", *(str(place) for place in range(1, SHOWN + 1))]
    title = "Words that have become more frequent"
    return [Section("words", title, NOTE, table=Table("wordtable", header, rows, sortable=False))]


def _word_cells(rows: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> list[Cell]:
    said, base_said = ([row["completion"] for row in each] for each in (rows, base))
    risen = risen_words(said, base_said)
    cells = [text_cell(f"{each.word} {each.share:.2f}", more=f"base {each.base:.2f}") for each in risen]
    return cells + [text_cell("")] * (SHOWN - len(cells))
