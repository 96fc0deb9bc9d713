"""What a sweep's page says of its sample and of runs that stopped early, and of what running ones do."""

from typing import Any

from records.reader import RunFiles, SweepFiles
from reports.sweep_page import sweep_facts, sweep_page


def sweep_of(*runs: dict[str, Any], sample: dict[str, int] | None = None) -> SweepFiles:
    files = [RunFiles(str(i), "full", "full", {"seed": i}, **run) for i, run in enumerate(runs)]
    return SweepFiles("mine", ("seed",), tuple(files), (), sample)


def test_runs_are_counted_by_what_they_do():
    states = ({"state": "finished"}, {"state": "running", "phase": "evaluating"}, {"state": "running"}, {"state": "stopped"})
    assert dict(sweep_facts(sweep_of(*states)))["runs"] == "4: 1 finished, 1 evaluating, 1 running, 1 stopped"


def test_a_sample_is_said():
    sample = {"points": 4, "of": 90, "seed": 3}
    assert dict(sweep_facts(sweep_of({}, sample=sample)))["sample"] == "4 of the grid's 90 points, drawn with seed 3"
    assert "sample" not in dict(sweep_facts(sweep_of({})))


def test_runs_that_stopped_early_are_said_first():
    stopped = {"state": "stopped", "step": 4}
    said = sweep_page(sweep_of(stopped, stopped, {"state": "finished"})).problem
    assert said == "2 of 3 runs were stopped early by their stop rule; means have them as they were then"
    assert sweep_page(sweep_of({"state": "finished"})).problem == ""
