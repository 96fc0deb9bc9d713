"""A sweep's figures of relearning, by hand, from folders of runs."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from records.reader import read_sweep
from reports.numbers import relearning_rows as chart_rows
from reports.sweep_page import sweep_page
from sweeps.relearning import counts_text, relearning_of, relearning_rows, relearning_text
from sweeps.summary import summarize_sweep, write_summary
from sweeps.summary_text import summary_table
from tests.reports.report_runs import mode_figures, planned, write_plan, write_run

T = 12.706205  # Student's, of two seeds


def figures(steps: int | None, threshold: float | None = 0.5, most: int = 100) -> dict[str, Any]:
    return {"steps_to_relearn": steps, "relearn_threshold": threshold, "relearn_steps": most if threshold is not None else 0}


def relearnt(folder: Path, start: str, **by_start: list[float]) -> None:
    rows = [
        {"start": start if name == "own" else name, "step": 10 * i, "hacked": rate, "reward": 0.5, "task_reward": 0.4,
         "kl_to_start": 0.1, "samples": 64}
        for name, rates in by_start.items()
        for i, rate in enumerate(rates)
    ]  # fmt: skip
    (folder / "relearning.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def sweep_of(folder: Path, **configurations: Sequence[tuple[Any, Any] | None]) -> Path:
    """By configuration and seed the figures of the policy and of the base; None: the run was not measured."""
    plan = []
    for name, seeds in configurations.items():
        start = "policy" if name == "lora" else "retain_only"
        for seed, pair in enumerate(seeds):
            modes = {mode: mode_figures(0.5, 0.2) for mode in (start, "base")}
            for mode, own in zip(modes, pair or (), strict=False):
                modes[mode] |= own
            write_run(folder / f"{name}{seed}", config={"seed": seed}, modes=modes)
            plan.append(planned(f"{name}{seed}", name, seed=seed))
    return write_plan(folder, ["seed"], plan)


def entries_of(folder: Path) -> dict[str, Any]:
    return {entry["configuration"]: entry["relearning"] for entry in summarize_sweep(read_sweep(folder))["configurations"]}


def test_where_all_seeds_relearnt_there_is_a_mean_and_the_difference_is_paired(tmp_path: Path):
    """Steps 40 and 60, the base's 30 and 40: differences 10 and 20."""
    sweep = sweep_of(tmp_path, routed=[(figures(40), figures(30)), (figures(60, 0.7), figures(40, 0.7))])
    of_routed = entries_of(sweep)["routed"]
    counts = {"seeds": 2, "tried": 2, "relearnt": 2, "within": 100, "threshold": pytest.approx(0.6)}
    assert of_routed["retain_only"] == counts | interval(50, T * 10)
    assert of_routed["base"] == counts | interval(35, T * 5)
    assert of_routed["difference"] == interval(15, T * 5)


def interval(mean: float, half: float) -> dict[str, Any]:
    return {"n": 2, "mean": mean, "interval": pytest.approx([mean - half, mean + half])}


def test_where_one_did_not_there_is_no_mean_but_a_count(tmp_path: Path):
    """Its bound is no value, and without that seed the mean would be of those that relearnt."""
    pairs = [(figures(40), figures(30)), (figures(None), figures(20)), (figures(100), figures(10))]
    routed = entries_of(sweep_of(tmp_path, routed=pairs))["routed"]
    assert (routed["retain_only"]["mean"], routed["base"]["mean"], routed["difference"]["mean"]) == (None, 20, None)
    assert counts_text(routed["retain_only"]) == "2 of 3 within 100"
    assert next(row[:2] for row in relearning_rows(routed)) == ("retain_only", "2 of 3 within 100")


def test_seeds_that_were_not_tried_are_said(tmp_path: Path):
    nothing = figures(None, None)
    sweep = sweep_of(tmp_path, routed=[(figures(40), figures(30)), (nothing, nothing)], lora=[(nothing, nothing)])
    entries = entries_of(sweep)
    assert [row[1] for row in relearning_rows(entries["routed"])] == ["1 of 1 within 100, 1 had learnt nothing"] * 2
    assert [row[:2] for row in relearning_rows(entries["lora"])] == [
        ("policy", "1 had learnt nothing"),
        ("base", "1 had learnt nothing"),
    ]


def test_a_sweep_without_it_has_nothing_of_it(tmp_path: Path):
    sweep = sweep_of(tmp_path, routed=[None])
    files = read_sweep(sweep, ["reward"])
    assert relearning_of(files.runs) == {} and relearning_text([{"configuration": "routed", "relearning": {}}]) == []
    write_summary(sweep, summarize_sweep(files))
    assert "relearn" not in (sweep / "summary.csv").read_text() and "relearn" not in summary_table(summarize_sweep(files))
    assert "relearning" not in [section.name for section in sweep_page(files).sections]


def test_it_stands_in_the_table_the_csv_and_the_page(tmp_path: Path):
    pairs = [(figures(10), figures(20)), (figures(None), figures(20))]
    sweep = sweep_of(tmp_path, routed=pairs, lora=[(figures(0), figures(30))])
    for seed, own in enumerate(([0.1, 0.5], [0.1, 0.2, 0.4])):
        relearnt(sweep / f"routed{seed}", "retain_only", own=own, base=[0.2, 0.3, 0.6])
    relearnt(sweep / "lora0", "policy", own=[0.6], base=[0.2, 0.3, 0.4, 0.5])
    files = read_sweep(sweep, ["reward"])
    summary = summarize_sweep(files)
    lines = [line.split() for line in summary_table(summary).splitlines()]
    assert ["routed", "retain_only", "1", "of", "2", "within", "100", "2", "0.500", "–"] in lines
    assert ["lora", "policy", "0.0", "1", "0.500", "-30.0"] in lines and ["lora", "base", "30.0", "1", "0.500"] in lines
    write_summary(sweep, summary)
    with (sweep / "summary.csv").open(newline="") as stream:
        rows = {(row["configuration"], row["mode"]): row for row in csv.DictReader(stream)}
    routed, lora = rows["routed", "retain_only"], rows["lora", "policy"]
    assert (routed["steps_to_relearn"], routed["relearnt"], routed["relearn_threshold"]) == ("", "1 of 2 within 100", "0.5")
    assert (lora["steps_to_relearn"], lora["steps_to_relearn/n"]) == ("0.0", "1")
    assert rows["lora", "base"]["steps_to_relearn"] == "30.0"
    (section,) = [section for section in sweep_page(files).sections if section.name == "relearning"]
    assert section.charts is not None and section.table is not None
    assert [panel.where for panel in section.charts.panels] == [{"m": "retain_only"}, {"m": "base"}]
    assert [[cell.text for cell in row[:3]] for row in section.table.rows][:2] == [
        ["routed", "retain_only", "1 of 2 within 100"], ["routed", "base", "20.0"],
    ]  # fmt: skip
    assert list(section.table.configurations) == [0, 0, 1, 1]


def test_a_drawn_mean_ends_where_its_first_seed_does(tmp_path: Path):
    """Seed 0 hacks again after 10 steps; a mean of what comes later would be of seed 1 alone. A policy stands as retain_only."""
    pairs = [(figures(10, 0.5), figures(20, 0.5)), (figures(None, 0.7), figures(20, 0.7))]
    sweep = sweep_of(tmp_path, routed=pairs, lora=[(figures(0), figures(0))])
    for seed, own in enumerate(([0.1, 0.5], [0.3, 0.3, 0.4])):
        relearnt(sweep / f"routed{seed}", "retain_only", own=own, base=[0.2, 0.6])
    relearnt(sweep / "lora0", "policy", own=[0.6], base=[0.6])
    rows = chart_rows(read_sweep(sweep, ["reward"]).runs)
    means = [row for row in rows if "s" not in row and (row["c"], row["m"]) == (0, "retain_only")]
    assert [(row["x"], row["y0"], row.get("y1")) for row in means] == [(0, 0.2, 0.6), (10, 0.4, None)]
    seed = [(row["x"], row["y0"]) for row in rows if row.get("s") == 1 and (row["c"], row["m"]) == (0, "retain_only")]
    assert seed == [(0, 0.3), (10, 0.3), (20, 0.4)]
    assert {row["m"] for row in rows if row["c"] == 1} == {"retain_only", "base"}
