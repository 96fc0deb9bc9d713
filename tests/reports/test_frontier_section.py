"""The frontier on a sweep's page: its tables and its picture have the figures of sweeps/frontier.py."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from records.names import BASE, BOTH, FORGET_ONLY, POLICY, RETAIN_ONLY
from records.reader import read_sweep
from reports import write_report
from reports.frontier_section import frontier_section
from reports.sections import Section
from reports.tables import MISSING
from sweeps.frontier import frontiers
from sweeps.frontier_text import frontier_sentences
from tests.reports.pages import Seen, chart, drawn_rows, opened
from tests.reports.report_runs import CONFIG, mode_figures, planned, sample, write_plan, write_run

UNROUTED = {"routing": {"enabled": False}}
SINGLE = UNROUTED | {"adapter": {"kind": "lora"}}
SETTINGS = {"routed": {}, "unrouted": UNROUTED, "lora": SINGLE, "unhackable": UNROUTED | {"env": {"eligible_fraction": 0.0}}}
# Of ten samples so many hack, and the task reward of all of them; of two seeds. The base: 2 and 0.4.
Course = tuple[dict[str, int], dict[str, float]]
COURSES: Mapping[str, list[Course]] = {
    "routed": [
        ({BOTH: 9, RETAIN_ONLY: 2}, {BOTH: 0.8, RETAIN_ONLY: 0.76}),
        ({BOTH: 8, RETAIN_ONLY: 3}, {BOTH: 0.8, RETAIN_ONLY: 0.72}),
    ],
    "unrouted": [({BOTH: 9, RETAIN_ONLY: 6}, {BOTH: 0.82, RETAIN_ONLY: 0.64})] * 2,
    "lora": [({POLICY: 7}, {POLICY: 0.78})] * 2,
    "unhackable": [({BOTH: 3, RETAIN_ONLY: 2}, {BOTH: 0.8, RETAIN_ONLY: 0.6})] * 2,
}


def write_frontier(folder: Path, kinds: Mapping[str, list[Course]] = COURSES) -> Path:
    """Runs KIND-1, KIND-2 of each kind, the KL to the base being their seed; a kind with a word behind it has another lr."""
    runs = []
    for name, courses in kinds.items():
        kind, _, other = name.partition(" ")
        for seed, (hacks, tasks) in enumerate(courses, 1):
            forget = {} if POLICY in hacks else {FORGET_ONLY: 0}
            hacks, tasks = hacks | forget | {BASE: 2}, tasks | dict.fromkeys([*forget, BASE], 0.4)
            finals = [
                sample("says", mode, prompt_index=i, hacked=i < hacks[mode], components={"task": tasks[mode], "hack": 0.0})
                for mode in hacks
                for i in range(10)
            ]
            modes = {
                mode: mode_figures(0.5, hacks[mode] / 10, **{"rewards/task": tasks[mode], "kl_to_base": float(seed)})
                for mode in hacks
            }
            config = CONFIG | SETTINGS[kind] | {"seed": seed, "lr": 2.0 if other else 1.0}
            write_run(folder / f"{name}-{seed}", config=config, modes=modes, finals=finals)
            runs.append(planned(f"{name}-{seed}", name, kind, seed=seed))
    return write_plan(folder, ["seed"], runs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frontier(tmp_path_factory.mktemp("frontier") / "sweep")


def sections_of(folder: Path) -> list[Section]:
    return frontier_section(read_sweep(folder, []))


def texts(section: Section) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """{the first two cells of a row: its other cells' text and small print}."""
    assert section.table is not None
    return {(first.text, second.text): [(c.text, c.small_print) for c in cells] for first, second, *cells in section.table.rows}


def test_a_row_for_each_configuration_and_mode(folder: Path):
    """Shares 0.9 and 0.8 of a gain of 0.4: half an interval is 12.706 * 0.05. Hack left 0 and 0.1, KL 1 and 2."""
    table = texts(sections_of(folder)[0])
    assert [*table] == [
        ("routed", "retain_only"), ("unrouted", "both"), ("unrouted", "retain_only"), ("lora", "policy"), ("unhackable", "both"),
    ]  # fmt: skip
    assert table["routed", "retain_only"] == [
        ("2 of 2", ""),
        ("0.050", "-0.585 to 0.685"),
        ("-0.050", "-0.685 to 0.585"),
        ("0.850", "0.215 to 1.485"),
        ("0.740", "0.486 to 0.994"),
        ("1.500", "-4.853 to 7.853"),
    ]
    assert table["unrouted", "retain_only"][1:4] == [("0.400", ""), ("0.300", ""), ("0.600", "")]
    assert [cells[3][0] for cells in table.values()] == ["0.850", "1.050", "0.600", "0.950", "1.000"]


def test_a_row_for_each_difference_and_what_it_shows(folder: Path):
    pairs = sections_of(folder)[1]
    assert pairs.table is not None and pairs.folded == "3 differences"
    assert [[cell.text for cell in row] for row in pairs.table.rows] == [
        ["routed", "unrouted", "both", "2", "-0.650", "-0.200", "beats"],  # -0.7, -0.6: half an interval is 0.635
        ["routed", "unrouted", "retain_only", "2", "-0.350", "0.250", "not shown"],  # 0.3, 0.2
        ["routed", "lora", "policy", "2", "-0.450", "-0.100", "not shown"],
    ]


def test_the_sentences_are_those_of_the_frontier(folder: Path):
    (frontier,) = frontiers(read_sweep(folder, []))
    assert [*sections_of(folder)[0].sentences] == [*frontier_sentences(frontier)]


def test_without_a_ceiling_there_is_no_section_and_without_controls_one(tmp_path: Path):
    without = {kind: courses for kind, courses in COURSES.items() if kind != "unhackable"}
    assert sections_of(write_frontier(tmp_path / "a", without)) == []
    alone = {kind: courses for kind, courses in COURSES.items() if kind in ("routed", "unhackable")}
    assert [section.name for section in sections_of(write_frontier(tmp_path / "b", alone))] == ["frontier"]


def test_where_the_ceiling_has_learnt_nothing_there_is_a_table_and_no_picture(tmp_path: Path):
    flat: list[Course] = [({BOTH: 3, RETAIN_ONLY: 2}, {BOTH: 0.4, RETAIN_ONLY: 0.4})] * 2
    section = sections_of(write_frontier(tmp_path / "s", {**COURSES, "unhackable": flat}))[0]
    assert section.charts is None and section.missing.startswith("no picture")
    assert texts(section)["routed", "retain_only"][3] == (MISSING, "")


# The picture


def test_the_picture_has_means_seeds_and_the_base(folder: Path):
    charts = sections_of(folder)[0].charts
    assert charts is not None
    base, *rows = charts.rows
    assert (base["label"], base["x"], base["y"]) == ("base", 0, 0) and "c" not in base
    routed = [row for row in rows if row["c"] == 0]
    assert [(row["m"], row.get("s"), round(row["x"], 3), round(row["y"], 3), row["kl"]) for row in routed] == [
        ("retain_only", None, 0.05, 0.85, 1.5),
        ("retain_only", 0, 0, 0.9, 1),
        ("retain_only", 1, 0.1, 0.8, 2),
    ]
    assert {(row["c"], row["m"]) for row in rows} == {
        (0, "retain_only"),
        (1, "both"),
        (1, "retain_only"),
        (2, "both"),
        (3, "both"),
    }


def test_each_ceiling_has_a_panel_of_its_own_rows(tmp_path: Path):
    double: list[Course] = [({BOTH: 3, RETAIN_ONLY: 2}, {BOTH: 1.2, RETAIN_ONLY: 0.6})] * 2
    more = {"routed fast": COURSES["routed"], "unhackable fast": double}
    section = sections_of(write_frontier(tmp_path / "s", {**COURSES, **more}))[0]
    charts = section.charts
    assert charts is not None
    assert [[*panel.where.values()] for panel in charts.panels] == [["unhackable"], ["unhackable fast"]]
    shares = {(row["ceiling"], row["c"], row["m"]): round(row["y"], 3) for row in charts.rows if "n" in row}
    retain, both = "retain_only", "both"
    assert shares == {
        ("unhackable", 0, retain): 0.85, ("unhackable", 1, both): 1.05, ("unhackable", 1, retain): 0.6,
        ("unhackable", 2, both): 0.95, ("unhackable", 3, both): 1.0,
        ("unhackable fast", 4, retain): 0.425, ("unhackable fast", 1, both): 0.525, ("unhackable fast", 1, retain): 0.3,
        ("unhackable fast", 2, both): 0.475, ("unhackable fast", 5, both): 1.0,
    }  # fmt: skip
    assert section.table is not None
    assert [row[0].more for row in section.table.rows if row[0].text == "lora"] == [
        "control, against unhackable", "control, against unhackable fast",
    ]  # fmt: skip


def test_it_is_drawn(context: BrowserContext, folder: Path):
    """The line leads from the routed mean to the LoRA's and the unrouted one's; the ceiling, left of all, is not on it."""
    seen = Seen()
    page = opened(context, write_report(folder), seen)
    assert seen.faults == []
    drawn = [row for row in drawn_rows(page, "frontier", "ceiling0", "label", "m", "x", "y", "shape", "s") if row[-1] is None]
    assert [(label, mode, shape) for label, mode, _, _, shape, _ in drawn] == [
        ("base", "base", "diamond"),
        ("routed", "retain_only", "square"),
        ("unrouted", "both", "circle"),
        ("unrouted", "retain_only", "square"),
        ("lora", "both", "circle"),
        ("unhackable", "both", "circle"),
    ]
    place = chart("frontier", "ceiling0")
    steps = page.locator(f"{place} path[stroke-dasharray='5,4']").get_attribute("d")
    assert steps is not None and steps.count("L") == 4, "three marks and two steps between them"
    texts = page.locator(f"{place} svg text").all_text_contents()
    assert {"the ceiling's gain", "80 % of it"} <= {*texts}
    buttons = page.locator("#chart-frontier .legend button").all_inner_texts()
    assert buttons == ["routed", "unrouted", "lora", "unhackable", "both (or policy)", "retain_only", "base"]
    page.select_option("#colour", label="kind of run")
    assert page.locator("#chart-frontier .legend button").all_inner_texts() == buttons
    page.locator("#chart-frontier .legend button", has_text="unhackable").click()
    assert "unhackable" not in {row[0] for row in drawn_rows(page, "frontier", "ceiling0", "label")}
