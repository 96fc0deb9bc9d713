"""What a picture draws is what the page draws when it is opened, which its script decides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext
from pytest import approx

from records.reader import read_run, read_sweep
from reports.charts import TRAINING
from reports.opening import axis_ends, opened_panels
from reports.page import write_page
from reports.run_page import run_metrics, run_page
from reports.sections import Page
from reports.sweep_page import sweep_page
from tests.reports.pages import opened
from tests.reports.report_runs import metric_rows, mode_figures, planned, write_plan, write_run, write_sweep
from tests.reports.test_answer_section import write_answered
from tests.reports.test_charts_in_a_browser import ENDS
from tests.reports.test_frontier_section import write_frontier
from tests.reports.test_pages_for_everyone import full_run

LOOKS = ("colour", "dash", "shape", "opacity", "label", "kind", "c", "s", "m")
DRAWN = """() => page.sections.map(section => section.panels.map(panel => [
  `${section.name} ${panel.name}`, panel.ends, panel.rows.map(({ row, ...one }) => one)]))"""


def many_configurations(folder: Path) -> Path:
    """Ten configurations of two kinds, more than there are colours: curves are coloured by kind at first."""
    runs = []
    for i in range(10):
        kind = "routed" if i % 2 else "lora"
        write_run(
            folder / f"r{i}",
            metric_rows([0.1 * i, 0.5]),
            modes={"both": mode_figures(0.5, 0.05 * i, **{"rewards/task": -0.1 * i})},
        )
        runs.append(planned(f"r{i}", f"c{i}", kind, beta=i, seed=1))
    return write_plan(folder, ["beta", "seed"], runs)


def of_sweep(make: Callable[[Path], Path]) -> Callable[[Path], Page]:
    return lambda folder: sweep_page(read_sweep(make(folder / "sweep"), TRAINING, iter))


PAGES: dict[str, Callable[[Path], Page]] = {
    "sweep": of_sweep(write_sweep),
    "answered": of_sweep(lambda folder: write_answered(folder, {"r1": 2, "r2": 1, "u1": 4, "u2": 4})),
    "many": of_sweep(many_configurations),
    "frontier": of_sweep(write_frontier),  # whose own legend gives shapes alone
    "run": lambda folder: run_page(read_run(full_run(folder / "run", steps=250, logged=2), run_metrics)),
}


def comparable(rows: list[dict[str, Any]], fields: Any) -> list[dict[str, Any]]:
    """Lines by the order in which they come, in place of their names; what a row lacks is None."""
    order = list(dict.fromkeys(row["line"] for row in rows))
    there = [{name: row.get(name) for name in (*LOOKS, *fields)} for row in rows]
    return [one | {"line": order.index(row["line"]), "dash": [*row["dash"]]} for one, row in zip(there, rows, strict=True)]


@pytest.mark.parametrize("name", PAGES)
def test_rows_looks_and_axes_are_those_of_the_page_when_it_is_opened(context: BrowserContext, tmp_path: Path, name: str):
    page = PAGES[name](tmp_path)
    in_browser = opened(context, write_page(tmp_path / "page.html", page)).evaluate(DRAWN)
    found = {title: (ends, rows) for section in in_browser for title, ends, rows in section}
    expected = {f"{s.name} {panel.panel.name}": panel for s in page.sections for panel in opened_panels(page, s)}
    assert {*found} == {*expected} and sum(len(panel.rows) for panel in expected.values()) > 10
    for title, panel in expected.items():
        ends, rows = found[title]
        assert panel.ends == approx(ends), title
        assert comparable(list(panel.rows), panel.panel.fields) == comparable(rows, panel.panel.fields), title


@pytest.mark.parametrize(("values", "looks", "ends"), [case for case in ENDS if "isLog" not in case[1]])
def test_axes_end_where_those_of_the_page_do(values: list[float], looks: dict[str, bool], ends: list[float]):
    assert axis_ends(values, looks.get("hasZero", False), looks.get("isTight", False)) == approx(tuple(ends))
