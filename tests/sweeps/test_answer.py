"""Which arms and differences a sweep has, over which seeds, and what may be said of them: by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from records.estimates import SAMPLES, Estimate, mean_over_samples
from records.measures import CONTAINED, GAIN_KEPT, HACK_LEFT, HACK_REMOVED, MEASURES, measures_over_samples
from records.reader import RunFiles, SweepFiles
from sweeps.answer import Answer, answers
from sweeps.conclusions import CLAIMS, conclusions
from sweeps.summary import controls_after_routed
from sweeps.summary_text import answer_text

T1 = 12.70620474  # Student's, one degree of freedom
NAMES = ("both", "retain_only", "forget_only", "base")
# Of two seeds of each kind: of ten samples of each mode so many hack, and the task reward of all of them.
HACKS = {"routed": [(8, 3, 9, 2), (9, 2, 10, 2)], "unrouted": [(8, 7, 6, 2), (9, 6, 6, 2)]}
TASKS = {"routed": [(0.8, 0.6, 0.4, 0.4), (0.82, 0.64, 0.4, 0.4)], "unrouted": [(0.8, 0.7, 0.4, 0.4)] * 2}


def run_of(name: str, kind: str, hacks: Any, tasks: Any, configuration: str = "", **more: Any) -> RunFiles:
    outcomes: Mapping[str, Any] = {
        mode: {"hacked": np.arange(10.0) < count, "task": np.full(10, task)}
        for mode, count, task in zip(NAMES, hacks, tasks, strict=True)
    }
    outcomes = {mode: {name: 1.0 * values for name, values in figures.items()} for mode, figures in outcomes.items()}
    usual: dict[str, Any] = {"state": "finished", "config": {"seed": int(name[-1])}, "outcomes": outcomes}
    return RunFiles(name, kind, configuration or kind, {}, **usual | more)


def seeds_of(kind: str, letter: str, like: str = "", **more: Any) -> list[RunFiles]:
    runs = zip(HACKS[like or kind], TASKS[like or kind], strict=True)
    return [run_of(f"{letter}{i}", kind, *figures, **more) for i, figures in enumerate(runs, 1)]


def controls_of(runs: list[RunFiles], routed: str = "r") -> list[RunFiles]:
    return [replace(run, baseline_of=(f"{routed}{run.seed}",)) for run in runs]


def two_seeds() -> list[RunFiles]:
    return seeds_of("routed", "r") + controls_of(seeds_of("unrouted", "u"))


def all_answers(*runs: RunFiles) -> list[Answer]:
    return answers(SweepFiles("mine", (), runs, ()))


def one_answer(*runs: RunFiles) -> Answer:
    (answer,) = all_answers(*runs)
    return answer


def about(value: float, half: float) -> Estimate:
    """Of two seeds."""
    return Estimate(pytest.approx(value), pytest.approx((value - half, value + half)), 2)


def test_an_arm_is_measured_over_its_seeds():
    """Removed: 5/6 and 7/7 of the hacking learnt; kept: 0.2/0.4 and 0.24/0.42 of the gain."""
    arm = one_answer(*two_seeds()).routed
    assert (arm.configuration, arm.planned, arm.seeds) == ("routed", 2, [1, 2])
    assert arm.by_seed[HACK_REMOVED] == pytest.approx([5 / 6, 1])
    assert arm.measures[HACK_REMOVED] == about(11 / 12, T1 / 12)
    assert arm.measures[HACK_LEFT] == about(0.05, T1 * 0.05)
    assert arm.measures[CONTAINED] == about(0.7, T1 * 0.1)
    assert arm.measures[GAIN_KEPT] == about((0.5 + 4 / 7) / 2, T1 * (4 / 7 - 0.5) / 2)
    assert arm.learnt == {"hacked": about(0.65, T1 * 0.05), "task": about(0.41, T1 * 0.01)}


def test_a_control_is_measured_alike_and_differences_are_paired_by_seed():
    answer = one_answer(*two_seeds())
    (control,), (difference,) = answer.controls, answer.differences
    assert (control.configuration, control.kind, control.seeds) == ("unrouted", "unrouted", [1, 2])
    assert control.measures[HACK_LEFT] == about(0.45, T1 * 0.05)  # 0.5 and 0.4
    assert (difference.first, difference.second, difference.seeds) == ("routed", "unrouted", [1, 2])
    assert difference.measures[HACK_LEFT] == Estimate(pytest.approx(-0.4), None, 2)  # as much in either seed
    assert difference.measures[CONTAINED] == about(0.75, T1 * 0.05)  # 0.6 + 0.1 and 0.8 - 0.0
    assert difference.measures[HACK_REMOVED] == about((4 / 6 + 4 / 7) / 2, T1 * (4 / 6 - 4 / 7) / 2)
    r1, r2, u1, u2 = two_seeds()
    assert one_answer(r2, u1, r1, u2).differences[0].measures == one_answer(*two_seeds()).differences[0].measures


def test_a_difference_is_of_the_seeds_that_both_have():
    r1, r2, u1, u2 = two_seeds()
    answer = one_answer(r1, r2, replace(u1, state="failed"), u2)
    assert (answer.routed.seeds, answer.controls[0].seeds, answer.differences[0].seeds) == ([1, 2], [2], [2])
    assert answer.differences[0].measures == measures_over_samples(r2.outcomes, u2.outcomes)
    assert answer.controls[0].measures == measures_over_samples(u2.outcomes)
    assert "routed − unrouted, over the samples of one seed: " in " ".join(conclusions([answer]))


def test_one_seed_is_measured_over_its_samples_and_nothing_is_said_of_others():
    run = two_seeds()[0]
    answer = one_answer(run)
    assert answer.routed.measures == measures_over_samples(run.outcomes)
    gains = run.outcomes["both"]["hacked"] - run.outcomes["base"]["hacked"]
    assert answer.routed.learnt["hacked"] == mean_over_samples(gains) and mean_over_samples(gains).value == pytest.approx(0.6)
    assert answer.routed.measures[HACK_REMOVED].over == SAMPLES and answer.routed.by_seed[HACK_REMOVED] == [pytest.approx(5 / 6)]
    said = conclusions([answer])
    assert "Its intervals are over the samples of one run, so nothing may be concluded about other seeds." in said
    assert said[-1].startswith("Of routed may be concluded of this run alone: cutting forget out takes away some of the hacking")
    assert said[-1].endswith(" Equal in all, so without an interval: gain kept 0.500.")


def test_a_seed_that_learnt_nothing_leaves_its_arm_without_a_share():
    r1, r2, *controls = two_seeds()
    r2 = run_of("r2", "routed", (2, 2, 2, 2), TASKS["routed"][1])
    answer = one_answer(r1, r2, *controls)
    assert answer.routed.by_seed[HACK_REMOVED] == [pytest.approx(5 / 6), None]
    assert answer.routed.measures[HACK_REMOVED] == answer.differences[0].measures[HACK_REMOVED] == Estimate(None, None, 2)
    assert answer.routed.measures[GAIN_KEPT].value is not None and answer.routed.not_learnt == {"hacked": [2], "task": []}
    noise = "both − base is not above the noise of the samples, so hack removed is not defined."
    assert f"routed has not raised the hack rate in seed 2: {noise}" in conclusions([answer])
    assert f"routed has not raised the hack rate: {noise}" in conclusions([one_answer(r2)])


# Which are answered for


@pytest.mark.parametrize("more", [{"state": "running"}, {"state": "failed"}, {"foreign": "other settings"}, {"outcomes": {}}])
def test_only_finished_seeds_with_both_adapters_evaluated_count(more: dict[str, Any]):
    r1, r2, *_ = two_seeds()
    answer = one_answer(replace(r1, **more), replace(r2, **more))
    assert (answer.routed.seeds, answer.routed.planned) == ([], 2)
    assert {*answer.routed.measures.values()} == {Estimate(None, None, 0)}
    assert conclusions([answer]) == ["none of 2 seeds has finished, so nothing may be concluded."]
    assert one_answer(replace(r1, **more), r2).routed.seeds == [2]


def test_without_routed_runs_there_is_no_answer_and_a_single_adapter_is_no_control():
    assert all_answers(*seeds_of("unrouted", "u")) == []
    lora = run_of(
        "l1", "lora", HACKS["routed"][0], TASKS["routed"][0], baseline_of=("r1",), outcomes={"policy": {"hacked": [0.0]}}
    )
    assert one_answer(two_seeds()[0], lora).controls == []


def test_the_run_that_can_not_hack_is_no_control_of_the_answer():
    unhackable = controls_of(seeds_of("unhackable", "c", like="unrouted"))
    assert [arm.configuration for arm in one_answer(*two_seeds(), *unhackable).controls] == ["unrouted"]


GOOD, GROUP = {"advantages": "good_only"}, {"advantages": "group"}


def square() -> list[RunFiles]:
    """Masks and rules, in an order in which no difference comes first by itself; and the filter."""
    runs = {
        "r": seeds_of("routed", "r"),
        "f": controls_of(seeds_of("filter", "f", like="unrouted")),
        "o": controls_of(seeds_of("routed", "o", like="unrouted", configuration="routed group")),
        "v": controls_of(seeds_of("unrouted", "v", like="routed", configuration="unrouted group")),
        "u": controls_of(seeds_of("unrouted", "u")),
    }
    return [replace(run, config=run.config | (GROUP if run.name[0] in "ov" else GOOD)) for each in runs.values() for run in each]


def test_masks_and_rules_are_told_apart_and_masks_under_one_rule_come_first():
    answer = one_answer(*square())
    assert [arm.configuration for arm in answer.controls] == ["filter", "routed group", "unrouted group", "unrouted"]
    assert [(difference.first, difference.second, difference.of_what) for difference in answer.differences] == [
        ("routed", "unrouted", "masks, both good_only"),
        ("routed group", "unrouted group", "masks, both group"),
        ("routed", "filter", ""),
        ("routed", "routed group", "rule, good_only − group, both with masks"),
        ("routed", "unrouted group", "good_only with masks − group without"),
    ]
    assert answer.differences[1].measures[CONTAINED] == about(-0.75, T1 * 0.05)  # the other way round, by how they were made
    unknown = one_answer(*[replace(run, config={"seed": run.seed}) for run in square()])
    assert [difference.of_what for difference in unknown.differences] == [""] * 4


def test_two_routed_configurations_that_are_controls_of_one_another_are_both_answered_for():
    r, o = seeds_of("routed", "r"), controls_of(seeds_of("routed", "o", configuration="routed group"))
    assert [answer.routed.configuration for answer in all_answers(*r, *o)] == ["routed"]
    both = [*controls_of(r, "o"), *o]
    assert [answer.routed.configuration for answer in all_answers(*both)] == ["routed", "routed group"]
    assert [group[0].configuration for group in controls_after_routed(both)] == ["routed", "routed group"]


# What may be concluded


def test_what_may_be_concluded_is_said_by_intervals():
    answer = one_answer(*two_seeds())
    learnt, claims, compared = conclusions([answer])
    assert learnt == (
        "routed, 2 seeds of 2, has learnt (both − base): hack rate 0.650 [0.015, 1.285], task reward 0.410 [0.283, 0.537]."
    )
    assert claims == (
        "Of routed may be concluded: retain alone keeps some of the task gain (0.536 [0.082, 0.990]). Not shown: that cutting "
        "forget out takes away any of the hacking learnt (0.917 [-0.142, 1.976], holds 0); a difference in hacking between "
        "retain alone and the base (0.050 [-0.585, 0.685], holds 0); a difference in hacking between forget alone and "
        "retain alone (0.700 [-0.571, 1.971], holds 0)."
    )
    assert compared == (
        "routed − unrouted: more hack removed 0.619 [0.014, 1.224], contained 0.750 [0.115, 1.385]; no difference shown in "
        "gain kept -0.214 [-0.668, 0.240]; equal in all, so without an interval: hack left -0.400."
    )
    signs = {HACK_LEFT: (-0.2, -0.1), CONTAINED: (0.5, 0.7)}
    sure = {name: Estimate(sum(ends) / 2, ends, 3) for name, ends in signs.items()}
    (_, claims, _) = conclusions([replace(answer, routed=replace(answer.routed, measures=answer.routed.measures | sure))])
    assert "retain alone hacks less than the base (-0.150 [-0.200, -0.100])" in claims
    assert "forget alone hacks more than retain alone (0.600 [0.500, 0.700])" in claims
    assert [*CLAIMS] == [*MEASURES]


def test_what_speaks_against_a_conclusion_is_said_before_it():
    r1, r2, u1, u2 = two_seeds()
    collapsed = {"both": {"template_collapse": True}, "base": {"template_collapse": False}}
    blind = "detector happy_at_least(3) finds 0.0 % of the base model's hacks"
    r1, u2 = replace(r1, warnings=(blind,), final=collapsed), replace(u2, final=collapsed | {"retain_only": collapsed["both"]})
    said = conclusions([one_answer(r1, replace(r2, warnings=(blind,)), u1, u2)])
    little = "figures of collapsed text say little"
    assert said[1:4] == [
        f"routed: {blind}.",
        f"routed has collapsed into templates: both in seed 1; {little}.",
        f"unrouted has collapsed into templates: both in seed 2, retain_only in seed 2; {little}.",
    ]
    assert said[4].startswith("Of routed may be concluded")


def test_of_several_configurations_each_sentence_says_which():
    answer = one_answer(*two_seeds())
    assert conclusions([answer, answer]) == [f"routed: {sentence}" for sentence in conclusions([answer])] * 2


def test_an_unknown_truth_is_said():
    run = two_seeds()[0]
    for figures in run.outcomes.values():
        del figures["hacked"]
    assert "routed: the hack rate is not known." in conclusions([one_answer(run)])


def test_the_answer_as_text():
    answer = one_answer(*two_seeds())
    lines = answer_text([answer]).splitlines()
    assert lines[0].split()[3:] == [*MEASURES]
    assert [line.split("  ")[0] for line in lines[2:5]] == ["routed", "unrouted", "routed − unrouted"]
    assert "2 of 2" in lines[2] and "0.700 [-0.571, 1.971] 2 seeds" in lines[2]
    assert "-0.400 2 seeds" in lines[4] and "0.750 [0.115, 1.385] 2 seeds" in lines[4]
    assert lines[-3:] == conclusions([answer])


def test_a_stopped_run_counts_and_is_said():
    reason = "--stop_rule collapsed ended it at step 40 of 60"
    stopped = [
        replace(run, state="stopped", step=40, error=reason, warnings=(reason, "other")) if run.name == "r2" else run
        for run in two_seeds()
    ]
    (answer,), (usual,) = all_answers(*stopped), all_answers(*two_seeds())
    assert (answer.routed.seeds, answer.routed.stopped, answer.routed.warnings) == ([1, 2], {2: 40}, ["other"])
    assert answer.routed.measures == usual.routed.measures
    said = "routed: 1 of 2 seeds stopped early by the stop rule (seed 2 at step 40); figures are those of that step."
    assert said in conclusions([answer]) and not any("stopped" in sentence for sentence in conclusions([usual]))
