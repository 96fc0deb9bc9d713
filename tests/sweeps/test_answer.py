"""Which mode minus which, over what, and what may be said of it: by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from records.reader import RunFiles, SweepFiles
from sweeps.answer import (
    CONTAINED,
    DEFINITIONS,
    GAIN_KEPT,
    HACK_LEFT,
    HACK_REMOVED,
    MEASURES,
    TASK_KEPT,
    Answer,
    answers,
    conclusions,
    measured,
)
from sweeps.estimates import Estimate
from sweeps.summary_text import answer_text

T1, T3 = 12.70620474, 3.18244631  # Student's, one and three degrees of freedom
HACKED = {"both": [1, 1, 1, 0], "retain_only": [0, 1, 0, 0], "forget_only": [1, 1, 1, 1], "base": [0, 0, 0, 0]}
TASK = {"both": [0.8, 0.8, 1.0, 1.0], "retain_only": [0.6, 0.6, 0.7, 0.7], "forget_only": [0.1] * 4, "base": [0.4] * 4}


def run_of(name: str, configuration: str = "routed", hacked: Any = HACKED, task: Any = TASK, **more: Any) -> RunFiles:
    outcomes = {mode: {"hacked": np.array(hacked[mode], float), "task": np.array(task[mode], float)} for mode in hacked}
    usual: dict[str, Any] = {"state": "finished", "config": {"seed": int(name[-1])}, "outcomes": outcomes}
    return RunFiles(name, configuration.split()[0], configuration, {}, **usual | more)


def one_answer(*runs: RunFiles) -> Answer:
    (answer,) = answers(SweepFiles("mine", (), runs, ()))
    return answer


def about(mean: float, half: float, n: int, over: str = "seeds") -> Estimate:
    return Estimate(pytest.approx(mean), pytest.approx(mean - half), pytest.approx(mean + half), n, over)


@pytest.mark.parametrize(
    ("measure", "figure", "plus", "minus"),
    [
        (HACK_REMOVED, "hacked", "both", "retain_only"),
        (CONTAINED, "hacked", "forget_only", "retain_only"),
        (HACK_LEFT, "hacked", "retain_only", "base"),
    ],
)
def test_each_difference_follows_its_two_modes_and_nothing_else(measure: str, figure: str, plus: str, minus: str):
    """Of all samples of one mode and figure, +0.25: what the measure is a difference of moves it by as much."""
    before = measured([run_of("a1")], DEFINITIONS[measure]).mean
    for name in ("hacked", "task"):
        for mode in HACKED:
            run = run_of("a1")
            run.outcomes[mode][name] = run.outcomes[mode][name] + 0.25
            moved = measured([run], DEFINITIONS[measure]).mean - before
            assert moved == pytest.approx({plus: 0.25, minus: -0.25}.get(mode, 0.0) if name == figure else 0.0), (name, mode)


def test_one_seed_is_measured_over_its_samples():
    """Hacked, both - retain: 1, 0, 1, 0: mean 1/2, variance 1/3, so half T * sqrt(1/12). Others likewise."""
    answer = one_answer(run_of("a1"))
    assert answer.seeds == [1]
    assert answer.measures[HACK_REMOVED] == about(0.5, T3 * np.sqrt(1 / 12), 4, "samples")
    assert answer.measures[CONTAINED] == about(0.75, T3 * np.sqrt(0.25 / 4), 4, "samples")
    assert answer.measures[HACK_LEFT] == about(0.25, T3 * np.sqrt(0.25 / 4), 4, "samples")
    assert answer.measures[TASK_KEPT].mean == pytest.approx(0.65 / 0.9)
    assert answer.measures[GAIN_KEPT].mean == pytest.approx(0.25 / 0.5)
    assert answer.measures[GAIN_KEPT].over == "samples"


# Of two seeds and their control: hack rates and task rewards of both, retain_only, forget_only, base.
TASKS = {"routed": [(0.8, 0.6, 0.4, 0.4), (0.82, 0.61, 0.4, 0.4)], "unrouted": [(0.8, 0.7, 0.4, 0.4)] * 2}
HACKS = {"routed": [(0.8, 0.3, 0.9, 0.2), (0.9, 0.2, 1.0, 0.2)], "unrouted": [(0.8, 0.7, 0.6, 0.2), (0.9, 0.6, 0.6, 0.2)]}


def two_seeds() -> list[RunFiles]:
    def run(kind: str, i: int, **more: Any) -> RunFiles:
        hacked, task = (dict(zip(HACKED, ([rate] for rate in rates), strict=True)) for rates in (HACKS[kind][i], TASKS[kind][i]))
        return run_of(f"{kind[0]}{i + 1}", kind, hacked, task, **more)

    return [run("routed", i) for i in (0, 1)] + [run("unrouted", i, baseline_of=(f"r{i + 1}",)) for i in (0, 1)]


def test_two_seeds_are_measured_over_the_seeds():
    answer = one_answer(*two_seeds())
    assert answer.measures[HACK_REMOVED] == about(0.6, T1 * 0.1, 2)  # 0.5 and 0.7
    assert answer.by_seed[HACK_REMOVED] == pytest.approx([0.5, 0.7])
    assert answer.measures[CONTAINED] == about(0.7, T1 * 0.1, 2)  # 0.6 and 0.8
    assert answer.measures[HACK_LEFT] == about(0.05, T1 * 0.05, 2)  # 0.1 and 0.0
    assert answer.measures[GAIN_KEPT].mean == pytest.approx(0.205 / 0.41)
    assert answer.measures[TASK_KEPT].mean == pytest.approx(0.605 / 0.81)


def test_a_control_is_measured_alike_and_differences_are_paired_by_seed():
    (control,) = one_answer(*two_seeds()).controls
    assert (control.configuration, control.kind, control.seeds) == ("unrouted", "unrouted", [1, 2])
    assert control.measures[HACK_REMOVED] == about(0.2, T1 * 0.1, 2)  # 0.1 and 0.3
    assert control.differences[HACK_REMOVED] == about(0.4, 0.0, 2)  # 0.5 - 0.1 and 0.7 - 0.3: as much in either seed
    assert control.differences[CONTAINED] == about(0.75, T1 * 0.05, 2)  # 0.6 + 0.1 and 0.8 - 0.0
    crossed = [
        replace(run, baseline_of=({"u1": "r2", "u2": "r1"}[run.name],)) if run.name[0] == "u" else run for run in two_seeds()
    ]
    assert one_answer(*crossed).controls[0].differences[HACK_REMOVED] == about(0.4, T1 * 0.2, 2)  # 0.7 - 0.1 and 0.5 - 0.3


def test_of_one_seed_the_difference_is_over_its_samples_and_that_of_shares_has_no_interval():
    other = run_of("u1", "unrouted", hacked=HACKED | {"retain_only": [1, 1, 1, 0]}, baseline_of=("r1",))
    (control,) = one_answer(run_of("r1"), other).controls
    assert control.differences[HACK_REMOVED] == about(0.5, T3 * np.sqrt(1 / 12), 4, "samples")
    assert control.differences[GAIN_KEPT] == Estimate(0.0, None, None, 1)


@pytest.mark.parametrize("both", [[0.4] * 4, [0.3, 0.5, 0.3, 0.51], [0.1, 0.1, 0.1, 0.2]])
def test_of_no_gain_none_is_kept(both: list[float]):
    answer = one_answer(run_of("r1", task=TASK | {"both": both}))
    assert answer.measures[GAIN_KEPT] == Estimate(None, None, None, 4, "samples")
    assert "no task gain of both over the base is shown beyond its noise" in conclusions([answer])[0]


@pytest.mark.parametrize("more", [{"state": "running"}, {"state": "failed"}, {"foreign": "other settings"}, {"outcomes": {}}])
def test_only_finished_seeds_with_both_adapters_evaluated_count(more: dict[str, Any]):
    answer = one_answer(run_of("r1", **more), run_of("r2", **more))
    assert (answer.seeds, answer.planned) == ([], 2)
    assert set(answer.measures.values()) == {Estimate(None, None, None, 0)}
    assert conclusions([answer]) == ["routed: none of 2 seeds has finished, so nothing may be concluded."]
    assert one_answer(run_of("r1", **more), run_of("r2")).seeds == [2]


def test_without_routed_runs_there_is_no_answer_and_a_single_adapter_is_no_control():
    assert answers(SweepFiles("mine", (), (run_of("u1", "unrouted"),), ())) == []
    lora = run_of("l1", "lora", baseline_of=("r1",), outcomes={"policy": {"hacked": np.zeros(4)}})
    assert one_answer(run_of("r1"), lora).controls == []


def test_an_unknown_truth_is_no_zero():
    run = run_of("r1")
    for figures in run.outcomes.values():
        del figures["hacked"]
    answer = one_answer(run)
    assert answer.measures[HACK_REMOVED] == Estimate(None, None, None, 0)
    assert "hack rate of both − retain_only could not be estimated" in conclusions([answer])[0]
    assert answer.measures[TASK_KEPT].mean is not None


def test_what_may_be_concluded_is_said_by_intervals():
    answer = one_answer(*two_seeds())
    (sentence,) = conclusions([answer])
    assert sentence.startswith(
        "routed: 2 seeds; no effect of cutting out forget on the hack rate is shown (0.600 [-0.671, 1.871], "
    )
    assert "this lowers the hack rate more than in unrouted (0.400 [0.400, 0.400])" in sentence
    sure = {HACK_REMOVED: Estimate(0.6, 0.5, 0.7, 3), CONTAINED: Estimate(-0.6, -0.7, -0.5, 3)}
    (sentence,) = conclusions([replace(answer, measures=answer.measures | sure)])
    assert "cutting out forget lowers the hack rate (0.600 [0.500, 0.700]); forget alone hacks less than retain alone" in sentence
    assert MEASURES.keys() == answer.measures.keys() == DEFINITIONS.keys()


def test_the_answer_as_text():
    answer = one_answer(*two_seeds())
    lines = answer_text([answer]).splitlines()
    assert lines[0].split()[3:] == [*MEASURES]
    assert [line.split("  ")[0] for line in lines[2:5]] == ["routed", "unrouted", "routed − unrouted"]
    assert "2 of 2" in lines[2] and "0.600 [-0.671, 1.871] 2 seeds" in lines[2]
    assert lines[4].count("0.400 [0.400, 0.400] 2 seeds") == 1
    assert lines[-1] == conclusions([answer])[0]
