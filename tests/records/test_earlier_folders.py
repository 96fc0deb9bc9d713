"""A sweep's folder written by earlier code is read for ever: two finished dual-adapter runs, and two that failed at once."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from records.estimates import SAMPLES
from records.measures import CONTAINED, GAIN_KEPT, HACK_REMOVED
from records.names import BASE, BOTH, FORGET_ONLY, RETAIN_ONLY
from records.reader import SweepFiles, by_configuration, is_finished, is_run, read_run, read_sweep
from sweeps.answer import answers
from sweeps.conclusions import conclusions
from sweeps.summary import summarize_sweep, write_summary

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier_sweep"


@pytest.fixture(scope="module")
def sweep() -> SweepFiles:
    return read_sweep(EARLIER, ("reward", "kl", "routing/hacked"))


def test_its_runs_are_read(sweep: SweepFiles):
    states = {label: [(run.seed, run.state, run.step) for run in runs] for label, runs in by_configuration(sweep.runs).items()}
    assert states == {label: [(1, "finished", 3), (2, "waiting", 0)] for label in ("routed", "unrouted")}
    run = sweep.runs[0]
    assert (run.kind, run.foreign, run.metrics["step"], len(run.step_times)) == ("routed", None, [0, 1, 2], 3)
    assert [*run.final] == [*run.outcomes] == [BOTH, RETAIN_ONLY, FORGET_ONLY, BASE]
    assert {row["step"] for row in run.evaluations} == {0, 1, 2, 3}
    assert sorted({row["run"] for row in sweep.failures}) == sorted(run.name for run in sweep.runs if run.state == "waiting")


def test_the_kinds_of_its_runs_are_told_by_their_settings(sweep: SweepFiles):
    for run in sweep.runs[::2]:
        assert is_run(EARLIER / run.name) and is_finished(EARLIER / run.name)
        assert read_run(EARLIER / run.name).kind == run.kind


def test_figures_are_the_means_of_the_samples(sweep: SweepFiles):
    for run in sweep.runs[::2]:
        for mode, figures in run.final.items():
            assert np.mean(run.outcomes[mode]["hacked"]) == pytest.approx(figures["hacked"])
            assert np.mean(run.outcomes[mode]["task"]) == pytest.approx(figures["rewards/sentence_length_5"])


def test_its_summary_is_what_it_was(sweep: SweepFiles, tmp_path: Path):
    """The answer, the frontier, the sample, what a stop rule ended and relearning are all that has been added."""
    summary = summarize_sweep(sweep)
    write_summary(tmp_path, summary)
    texts = [(folder / "summary.csv").read_text().splitlines() for folder in (tmp_path, EARLIER)]
    rows, earlier = ([*csv.DictReader(lines)] for lines in texts)
    assert [row.pop("stopped") for row in rows] == ["0"] * len(earlier) and rows == earlier
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written.pop("answer")[0]["routed"]["configuration"] == "routed"
    assert (written.pop("frontier"), written.pop("sample"), written.pop("stopped")) == ([], None, {})
    assert [entry["runs"].pop("stopped") for entry in (written, *written["configurations"])] == [0, 0, 0]
    assert [entry.pop("relearning") for entry in written["configurations"]] == [{}, {}]
    assert written == json.loads((EARLIER / "summary.json").read_text())


def test_it_answers(sweep: SweepFiles):
    (answer,) = answers(sweep)
    routed = answer.routed
    assert (routed.configuration, routed.planned, routed.seeds, routed.rule) == ("routed", 2, [1], None)
    assert [(control.configuration, control.seeds) for control in answer.controls] == [("unrouted", [1])]
    assert [(each.first, each.second, each.seeds) for each in answer.differences] == [("routed", "unrouted", [1])]
    assert (routed.measures[CONTAINED].n, routed.measures[CONTAINED].over) == (6, SAMPLES)
    assert routed.measures[GAIN_KEPT].value is routed.measures[HACK_REMOVED].value is None
    said = conclusions([answer])
    assert said[0].startswith("routed, 1 seed of 2, has learnt")
    assert any(sentence.startswith("routed has not raised the task reward: both − base") for sentence in said)
