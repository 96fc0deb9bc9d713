"""What a sweep's page opens with: the figures of summary.csv and of the terminal's table, and the base as a row."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from records.reader import RunFiles, SweepFiles, read_sweep
from reports.summary_section import summary_section
from reports.tables import MISSING
from sweeps.summary import summarize_sweep, write_summary
from sweeps.summary_text import summary_table
from tests.reports.report_runs import MADE_OF, mode_figures, write_sweep
from tests.reports.test_answer_section import write_answered


def swept(**configurations: list[dict]) -> SweepFiles:
    """Of each configuration the final evaluations of its seeds."""
    made = {"state": "finished", "kind": "routed", "made_of": MADE_OF, "values": {}}
    runs = [
        RunFiles(name=f"{name}{i}", configuration=name, final=final, config={"seed": i}, **made)
        for name, finals in configurations.items()
        for i, final in enumerate(finals)
    ]
    return SweepFiles("s", ("seed",), tuple(runs), ())


def figures(task: float, hacked: float | None) -> dict:
    return mode_figures(0.5, hacked, **{"rewards/task": task, "rewards/hack": 0.0})


def rows_of(sweep: SweepFiles) -> dict[str, dict[str, tuple[str, str]]]:
    """{name: {"figure, mode": (value, small print)}}, gaps left out."""
    table = summary_section(sweep).table
    assert table is not None
    groups = [caption for caption, count in table.groups for _ in range(count)]
    names = [f"{group}, {name}" for group, name in zip(groups, table.header, strict=True)][2:]
    return {
        cells[0].text: {
            name: (cell.text, cell.small_print) for name, cell in zip(names, cells[2:], strict=True) if cell.text != MISSING
        }
        for cells in table.rows
    }


def test_means_over_seeds_by_mode_with_intervals_and_the_base_as_a_row():
    """0.25 and 0.75 spread by 0.3536: half an interval is 12.706 * 0.25."""
    base = {"base": figures(0.4, 0.1)}
    both = [{"both": figures(0.8, hacked), "retain_only": figures(0.6, None)} | base for hacked in (0.25, 0.75)]
    assert rows_of(swept(c=both)) == {
        "c": {
            "task reward, both": ("0.800", ""),
            "task reward, retain_only": ("0.600", ""),
            "hack rate, both": ("0.500", "-2.677 to 3.677"),
        },
        "base, before training": {"task reward, both": ("0.400", ""), "hack rate, both": ("0.100", "")},
    }


def test_a_policy_without_two_adapters_stands_as_both():
    rows = rows_of(swept(c=[{"policy": figures(0.8, 0.5), "base": figures(0.4, 0.1)}]))
    assert rows["c"] == {"task reward, both": ("0.800", ""), "hack rate, both": ("0.500", "")}


def test_each_base_of_a_sweep_over_models_says_whose_it_is():
    rows = rows_of(
        swept(
            **{
                name: [{"policy": figures(0.8, 0.5), "base": figures(task, 0.1)}]
                for name, task in {"a": 0.4, "b": 0.4, "c": 0.3}.items()
            }
        )
    )
    assert [*rows] == ["a", "b", "c", "base, before training of a and 1 more", "base, before training of c"]


def test_bases_whose_configurations_differ_in_the_middle_of_their_names_are_told_apart():
    names = [f"lora reward=sentence_length_10{form} lr=0.003 beta=0.02" for form in ("", "_smooth")]
    rows = rows_of(swept(**{names[0]: [{"policy": figures(0.8, 0.5), "base": figures(0.1, 0.1)}],
                            names[1]: [{"policy": figures(0.8, 0.5), "base": figures(0.4, 0.1)}]}))  # fmt: skip
    assert [*rows] == [*names, *(f"base, before training of {name}" for name in names)]


def test_rows_know_their_configuration_by_its_place_in_the_plan_and_the_base_s_none(tmp_path: Path):
    """A control that was planned first stands below its routed configuration all the same."""
    table = summary_section(read_sweep(write_answered(tmp_path / "s", {"u1": 4, "r1": 2}), [], iter)).table
    assert table is not None
    assert [row[0].text for row in table.rows] == ["routed", "unrouted", "base, before training"]
    assert [*table.configurations] == [1, 0, None]


def test_failed_runs_are_counted(tmp_path: Path):
    table = summary_section(read_sweep(write_sweep(tmp_path / "s"), [], iter)).table
    assert table is not None
    assert [row[1].text for row in table.rows[:4]] == ["2 of 2", "1 of 2, 1 failed", "1 of 1", "0 of 1"]


def test_before_a_run_has_finished_it_says_so():
    section = summary_section(swept(c=[{}]))
    assert section.table is None and section.missing == "no run has finished with a final evaluation"


@pytest.mark.parametrize("column", ["task_reward", "hacked"])
def test_page_csv_and_terminal_have_the_same_figures(tmp_path: Path, column: str):
    folder = write_answered(tmp_path / "s", {"r1": 2, "r2": 1, "r3": 0, "u1": 4, "u2": 3, "u3": 4})
    sweep = read_sweep(folder, [], iter)
    summary = summarize_sweep(sweep)
    write_summary(folder, summary)
    with (folder / "summary.csv").open(newline="") as stream:
        told = [*csv.DictReader(stream)]
    page, shown = rows_of(sweep), summary_table(summary)
    group = {"task_reward": "task reward", "hacked": "hack rate"}[column]
    assert {row["configuration"] for row in told} == {"routed", "unrouted"}
    for row in told:
        of_base = row["mode"] == "base"
        name, mode = ("base, before training", "both") if of_base else (row["configuration"], row["mode"])
        value, interval = page[name][f"{group}, {mode}"]
        assert value == f"{float(row[column]):.3f}"
        assert interval == (
            f"{float(row[f'{column}/low']):.3f} to {float(row[f'{column}/high']):.3f}" if row[f"{column}/low"] else ""
        )
        assert terminal_cell(row, column) in shown


def terminal_cell(row: Mapping[str, str], column: str) -> str:
    half = f" ± {float(row[f'{column}/high']) - float(row[column]):.3f}" if row[f"{column}/low"] else ""
    return f"{float(row[column]):.3f}{half}"
