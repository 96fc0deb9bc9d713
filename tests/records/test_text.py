"""Tables that fit."""

from records.text import fitted

ROWS = {"both": ["0.250", "yes"], "retain_only": ["0.500", "no"]}
WIDE = "mode         reward  degenerate\nboth          0.250         yes\nretain_only   0.500          no"
TURNED = "             both  retain_only\nreward      0.250        0.500\ndegenerate    yes           no"


def test_a_table_that_is_too_wide_is_turned():
    assert max(map(len, WIDE.splitlines())) == 31
    assert fitted("mode", ("reward", "degenerate"), ROWS, width=None) == WIDE
    assert fitted("mode", ("reward", "degenerate"), ROWS, width=31) == WIDE
    assert fitted("mode", ("reward", "degenerate"), ROWS, width=30) == TURNED
