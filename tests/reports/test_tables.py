"""Cells of tables: what they say, what they are sorted by, and that nothing unknown looks like a number."""

from collections.abc import Sequence

import pytest

from records.reader import RunFiles
from reports.run_tables import cost_table, results_table, total_cost
from reports.tables import MISSING, Cell, Table, flags_cell, interval_cell, number_cell, setting_cell, setting_text, shortened
from tests.reports.report_runs import MADE_OF, mode_figures

LONG = "sentence_length_10_smooth_with_happy_routed_duallora4x4_lr3e-4_beta0.02_bs32_s42_max_steps250_4bc3e9d39b96"


def made(**entries) -> RunFiles:
    return RunFiles(**{"name": "r", "kind": "routed", "configuration": "c", "values": {}} | entries)


def test_a_missing_number_is_a_dash_and_zero_is_zero():
    assert number_cell(None) == Cell("–", "")
    assert number_cell(0.0) == Cell("0.000", 0.0)
    assert number_cell(1234567, 0).text == "1,234,567"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({}, "–"),
        ({"both": None}, "–"),
        ({"both": False, "retain_only": None}, "no"),
        ({"both": True, "retain_only": False}, "both"),
        ({"both": False, "retain_only": True, "forget_only": True, "base": True}, "retain_only +2"),
    ],
)
def test_flags_name_the_first_mode_that_has_them(flags: dict, text: str):
    assert flags_cell(flags).text == text


def test_all_modes_of_a_flag_are_named_in_full():
    assert flags_cell({"both": True, "base": True}).title == "both, base"
    assert flags_cell({"both": True, "base": False}).title == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (0.0003, "0.0003"),
        (1e-5, "1e-05"),
        (0.123456789, "0.123456789"),
        (7, "7"),
        ("happy", "happy"),
        ({"name": "mine", "components": []}, "mine"),
        ({"components": [{"name": "a"}, {"name": "b"}]}, "a+b"),
        ({"x": 1}, '{"x": 1}'),
    ],
)
def test_a_setting_in_few_words(value, text: str):
    assert setting_text(value) == text


def test_an_interval_stands_in_small_print_where_there_is_one():
    cell = interval_cell(0.25, [0.125, 0.5])
    assert cell == Cell("0.250", 0.25, interval=("0.125", "0.500")) and cell.small_print == "0.125 to 0.500"
    assert interval_cell(0.25, [0.125, 0.5], "n = 3").small_print == "0.125 to 0.500, n = 3"
    assert interval_cell(0.25, None, "n = 3").small_print == "n = 3"
    assert (interval_cell(0.25, None), interval_cell(None, None)) == (Cell("0.250", 0.25), Cell("–"))


def test_settings_sort_as_numbers_where_they_are_numbers():
    assert [setting_cell(value).order for value in (0.5, 3, "x", True, None)] == [0.5, 3.0, "x", "yes", ""]


def test_long_names_lose_their_middle():
    assert shortened(LONG, 30) == "sentence_length…0_4bc3e9d39b96"
    assert len(shortened(LONG)) == 56 and shortened(LONG).endswith("4bc3e9d39b96")
    assert shortened("short") == "short"


def test_a_long_name_is_short_in_a_table_and_told_in_full():
    run = made(name=LONG, configuration="routed beta=0.01 labels.fraction=0.5", config={"seed": 42})
    for result in (results_table([run], []), cost_table([run])):
        cell = result.rows[0][0]
        assert (cell.text, cell.title) == ("routed beta=…raction=0.5 · seed 42", LONG)


def test_a_column_is_numeric_when_all_of_it_is_numbers_or_missing():
    rows = [[number_cell(1.0), setting_cell("x"), number_cell(None)], [number_cell(None), number_cell(2.0), number_cell(None)]]
    assert Table("t", "abc", rows).numeric == {0, 2}


def result_rows(*runs: RunFiles, axes: Sequence[str] = ()) -> list[dict[str, str]]:
    """By column; a mode's has the name of its figure before it."""
    table = results_table(runs, axes)
    groups = [caption for caption, count in table.groups for _ in range(count)]
    names = [f"{group}, {name}" if group else name for group, name in zip(groups, table.header, strict=True)]
    return [dict(zip(names, [cell.text for cell in row], strict=True)) for row in table.rows]


def test_the_results_of_a_run_and_below_them_those_of_the_base():
    modes = {
        "both": mode_figures(0.75, 0.5, degenerate=True, **{"rewards/task": 0.875, "rewards/hack": 0.25}),
        "retain_only": mode_figures(0.5, 0.125, degenerate=True, **{"rewards/task": 0.75}),
        "forget_only": mode_figures(0.5, None, template_collapse=None),
        "base": mode_figures(0.25, 0.1, degenerate=True, **{"rewards/task": 0.5}),
    }
    metrics = {"step": list(range(40)), "reward": [0.0] * 20 + [0.5] * 20}
    entries = {"metrics": metrics, "final": modes, "values": {"beta": 0.02}, "made_of": MADE_OF}
    run = made(state="finished", step=40, config={"seed": 3, "max_steps": 40}, **entries)
    row, base = result_rows(run, axes=["beta", "seed"])
    assert row == {
        "run": "c · seed 3",
        "beta": "0.02",
        "seed": "3",
        "kind": "routed",
        "state": "finished",
        "reward in training": "0.500",
        "task reward, both": "0.875",
        "task reward, retain_only": "0.750",
        "hack rate, both": "0.500",
        "hack rate, retain_only": "0.125",
        "degenerate": "both +1",
        "collapsed": "no",
    }
    told = {name: text for name, text in base.items() if text != MISSING}
    assert told == {"run": "base, before training", "task reward, both": "0.500", "hack rate, both": "0.100"}


def test_runs_with_the_same_base_share_its_row_and_others_have_their_own():
    figures = [{"base": mode_figures(0.5, hacked, **{"rewards/task": 0.5})} for hacked in (0.1, 0.1, 0.2)]
    policy = {"policy": mode_figures(0.5, 0.5, **{"rewards/task": 0.5})}
    rows = result_rows(*(made(name=str(i), final=policy | each, made_of=MADE_OF) for i, each in enumerate(figures)))
    assert [row["hack rate, both"] for row in rows] == ["0.500"] * 3 + ["0.100", "0.200"]


def test_a_row_says_which_run_it_belongs_to_and_the_base_s_to_none():
    final = {"policy": mode_figures(0.75, 0.5), "base": mode_figures(0.25, 0.1)}
    assert [*results_table([made(), made(final=final, made_of=MADE_OF)], []).runs] == [0, 1, None]


def test_a_run_that_has_not_started_is_all_dashes():
    assert result_rows(made()) == [
        {"run": "c", "kind": "routed", "state": "waiting", "reward in training": "–", "degenerate": "–", "collapsed": "–"}
    ]


def test_a_run_that_lives_says_what_it_is_at_and_tags_have_a_column_where_there_are_any():
    run = made(state="running", phase="evaluating", step=40, config={"max_steps": 40, "tags": ["try", "two"]})
    first, second = results_table([run, made()], []).rows
    assert (first[1].text, second[1].text) == ("try, two", MISSING)
    assert first[3] == Cell("evaluating", "running", style="state running", more="40/40")


def test_the_costs_add_up():
    runs = [made(step_times=[1.0, 2.0, 4.0], tokens=700, made_of={"device": "cuda"}), made(step_times=[60.0], tokens=300), made()]
    result = cost_table(runs)
    rows = [dict(zip(result.header, [cell.text for cell in row], strict=True)) for row in result.rows]
    assert [row["training time"] for row in rows] == ["7 s", "60 s", MISSING]
    assert [row["s / step"] for row in rows] == ["2.333", "60.000", MISSING]
    assert [row["tokens"] for row in rows] == ["700", "300", MISSING]
    assert [row["device"] for row in rows] == ["cuda", MISSING, MISSING]
    assert total_cost(runs) == "67 s of training and 1,000 tokens in 2 runs"
    assert total_cost([made()]) == "no step was timed"


@pytest.mark.parametrize(("count", "paging"), [(3, False), (25, False), (26, True)])
def test_only_tables_that_fill_more_than_a_page_have_pages(count: int, paging: bool):
    assert Table("t", ["a"], [[number_cell(1.0)]] * count).options["paging"] is paging
