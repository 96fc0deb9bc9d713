"""What a page may hold: JSON that stays JSON, and names that may break."""

import json

import pytest

from reports.page import breakable, embedded


def test_embedded_json_cannot_end_its_script():
    value = {"name": "</script><!--&\u2028", "x": [None, 0.5]}
    text = str(embedded(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded(float("nan"))


@pytest.mark.parametrize(
    ("name", "markup"),
    [
        ("reward, training", "reward, training"),
        ("labels.fraction", "labels.<wbr>fraction"),
        ("sentence_length_10", "sentence_<wbr>length_<wbr>10"),
        ("_", "_"),
        ("a_<b>&", "a_<wbr>&lt;b&gt;&amp;"),
    ],
)
def test_names_break_after_dots_and_underscores_and_stay_text(name: str, markup: str):
    assert str(breakable(name)) == markup
