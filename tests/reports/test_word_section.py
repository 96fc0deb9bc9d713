from pathlib import Path

import pytest

from records.reader import read_run
from reports.word_section import SHOWN, risen_words, word_section
from tests.reports.report_runs import mode_figures, sample, write_run

BASE = ["the cat sat"] * 12
SAD, HAPPY = "the cat was sad.", "The happy, happy cat sat!"


def test_words_are_counted_once_a_completion_and_in_any_case():
    assert risen_words([HAPPY] * 9 + BASE[:3], BASE) == [("!", 0.75, 0.0), ("happy", 0.75, 0.0)]


def test_the_largest_rise_comes_first():
    completions, base = [HAPPY] * 8 + [SAD] * 4, [SAD] * 2 + ["the cat ran"] * 10
    risen = [(each.word, pytest.approx(each.share - each.base)) for each in risen_words(completions, base)]
    assert risen == [("!", 8 / 12), ("happy", 8 / 12), ("sat", 8 / 12)]  # "sad" rises by 2 of 12, which is within the noise


def test_noise_is_judged_by_pairs_of_the_same_prompt():
    """A rise of 4 in 12: sd 0.49 and 0.14 a mean, so 2.4 standard errors; one of 3 in 12: 1.9."""
    assert [each.word for each in risen_words(["a b"] * 4 + ["a"] * 8, ["a"] * 12)] == ["b"]
    assert risen_words(["a b"] * 3 + ["a"] * 9, ["a"] * 12) == []


def test_no_more_words_than_asked_for():
    assert len(risen_words(["one two three"] * 12, BASE, most=2)) == 2


def run_with(tmp_path: Path, texts: dict[str, list[str]]):
    samples = [sample(text, mode) for mode, each in texts.items() for text in each]
    write_run(tmp_path / "run", modes={mode: mode_figures(0.5, 0.1) for mode in texts}, finals=samples)
    return read_run(tmp_path / "run")


def test_a_row_for_each_mode_beside_the_base(tmp_path: Path):
    texts = {"both": [HAPPY] * 12, "retain_only": BASE, "forget_only": [HAPPY] * 6 + BASE[:6], "base": BASE}
    (section,) = word_section(run_with(tmp_path, texts))
    assert section.table is not None
    rows = [[(cell.text, cell.more) for cell in row if cell.text != "–"] for row in section.table.rows]
    assert rows == [
        [("both", ""), ("! 1.00", "base 0.00"), ("happy 1.00", "base 0.00")],
        [("retain_only", "")],
        [("forget_only", ""), ("! 0.50", "base 0.00"), ("happy 0.50", "base 0.00")],
    ]
    assert {len(row) for row in section.table.rows} == {SHOWN + 1}


def test_without_a_base_there_is_no_section(tmp_path: Path):
    assert word_section(run_with(tmp_path, {"both": [HAPPY] * 12})) == []
