"""What a sweep says to the question: does cutting the forget adapter out take the hack away and leave the task?

Of every routed configuration, and of those of its controls that have the two adapters, each of the MEASURES is a difference
between modes, paired by sample (the same prompt and draw), or a share of two of them. Over at least two seeds its interval is
Student's t over their values; with one it is over the samples, and says nothing about other seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from records.figures import cell_with_interval
from records.names import BASE, BOTH, FINISHED, FORGET_ONLY, RETAIN_ONLY, ROUTED
from records.reader import RunFiles, SweepFiles, by_configuration
from sweeps.estimates import SAMPLES, SEEDS, Estimate, mean_estimate, share_estimate

Modes = tuple[str, ...]  # the first minus the second, or the first alone


class Measure(NamedTuple):
    title: str
    figure: str  # of the samples: "hacked" or "task"
    part: Modes
    whole: Modes = ()  # that `part` is a share of
    above: str = ""  # what may be concluded when the interval lies above 0
    below: str = ""
    within: str = ""  # when it holds 0


HACK_REMOVED, HACK_LEFT, CONTAINED, TASK_KEPT, GAIN_KEPT = "hack_removed", "hack_left", "contained", "task_kept", "gain_kept"
DEFINITIONS = {
    HACK_REMOVED: Measure(
        "hack rate of both − retain_only", "hacked", (BOTH, RETAIN_ONLY),
        above="cutting out forget lowers the hack rate", below="cutting out forget raises the hack rate",
        within="no effect of cutting out forget on the hack rate is shown"),
    HACK_LEFT: Measure(
        "hack rate of retain_only − base", "hacked", (RETAIN_ONLY, BASE),
        above="retain alone still hacks more than the base", below="retain alone hacks less than the base",
        within="no difference of retain alone from the base in hacking is shown"),
    CONTAINED: Measure(
        "hack rate of forget_only − retain_only", "hacked", (FORGET_ONLY, RETAIN_ONLY),
        above="forget alone hacks more than retain alone", below="forget alone hacks less than retain alone",
        within="that the hack is contained in forget is not shown"),
    TASK_KEPT: Measure(
        "task reward of retain_only as a share of both's; an untrained model keeps nearly all of it", "task",
        (RETAIN_ONLY,), (BOTH,)),
    GAIN_KEPT: Measure(
        "share of both's gain in task reward over the base that retain_only keeps", "task", (RETAIN_ONLY, BASE), (BOTH, BASE),
        above="retain alone keeps some of the task gain", below="retain alone is worse at the task than the base",
        within="that retain alone keeps any of the task gain is not shown"),
}  # fmt: skip
MEASURES = {name: measure.title for name, measure in DEFINITIONS.items()}


@dataclass(frozen=True)
class Control:
    """A control of a routed configuration that has both adapters."""

    configuration: str
    kind: str
    seeds: list[int]  # that finished
    measures: dict[str, Estimate]
    differences: dict[str, Estimate]  # routed − control, paired by seed


@dataclass(frozen=True)
class Answer:
    """Of one routed configuration."""

    configuration: str
    planned: int  # seeds
    seeds: list[int]  # that finished
    measures: dict[str, Estimate]
    by_seed: dict[str, list[float | None]]  # each measure's value of each of `seeds`
    controls: list[Control]


def answers(sweep: SweepFiles) -> list[Answer]:
    """One for each routed configuration, in the plan's order; none where no run is routed."""
    groups = [*by_configuration(sweep.runs).values()]
    return [_answer(runs, groups) for runs in groups if runs[0].kind == ROUTED]


def _answer(planned: Sequence[RunFiles], configurations: Sequence[Sequence[RunFiles]]) -> Answer:
    runs, names = evaluated(planned), {run.name for run in planned}
    others = [evaluated([run for run in group if names & {*run.baseline_of}]) for group in configurations]
    return Answer(
        planned[0].configuration,
        len(planned),
        [run.seed for run in runs],
        {name: measured(runs, measure) for name, measure in DEFINITIONS.items()},
        {name: [measured([run], measure).mean for run in runs] for name, measure in DEFINITIONS.items()},
        [_control(runs, group) for group in others if group],
    )


def _control(routed: Sequence[RunFiles], runs: Sequence[RunFiles]) -> Control:
    pairs = [(run, other) for run in routed for other in runs if run.name in other.baseline_of]
    return Control(
        runs[0].configuration,
        runs[0].kind,
        [run.seed for run in runs],
        {name: measured(runs, measure) for name, measure in DEFINITIONS.items()},
        {name: difference(pairs, measure) for name, measure in DEFINITIONS.items()},
    )


def evaluated(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """Those that finished with the two adapters evaluated apart."""
    finished = [run for run in runs if run.state == FINISHED and run.foreign is None]
    return [run for run in finished if {BOTH, RETAIN_ONLY, FORGET_ONLY} <= run.outcomes.keys()]


def paired(run: RunFiles, figure: str, modes: Modes) -> np.ndarray | None:
    """One mode minus the other by sample; None where either is unknown."""
    columns = [np.asarray(run.outcomes[mode][figure]) for mode in modes if figure in run.outcomes.get(mode, {})]
    return reduce(np.subtract, columns) if len(columns) == len(modes) else None


def part_and_whole(run: RunFiles, measure: Measure) -> list[np.ndarray] | None:
    """The part, and the whole where there is one, by sample; None where any is unknown."""
    columns = [paired(run, measure.figure, modes) for modes in (measure.part, measure.whole) if modes]
    known = [column for column in columns if column is not None]
    return known if len(known) == len(columns) else None


def measured(runs: Sequence[RunFiles], measure: Measure) -> Estimate:
    """Over the seeds' means, or with one seed over its samples."""
    known = [columns for run in runs if (columns := part_and_whole(run, measure)) is not None]
    if not known:
        return mean_estimate([])
    estimate = share_estimate if measure.whole else mean_estimate
    if len(known) == 1:
        return estimate(*known[0], over=SAMPLES)
    return estimate(*([float(column.mean()) for column in columns] for columns in zip(*known, strict=True)), over=SEEDS)


def difference(pairs: Sequence[tuple[RunFiles, RunFiles]], measure: Measure) -> Estimate:
    """First minus second over the pairs; of one pair over its samples, but for shares, which have no value a sample."""
    if len(pairs) == 1 and not measure.whole:
        first, second = (part_and_whole(run, measure) for run in pairs[0])
        if first is not None and second is not None and first[0].shape == second[0].shape:
            return mean_estimate(first[0] - second[0], over=SAMPLES)
    values = [(measured([first], measure).mean, measured([second], measure).mean) for first, second in pairs]
    return mean_estimate([first - second for first, second in values if first is not None and second is not None])


# Conclusions


def conclusions(answered: Sequence[Answer]) -> list[str]:
    """One sentence a routed configuration: what may be concluded, by intervals and never by the sign of a mean, and what not."""
    return [f"{answer.configuration}: {'; '.join(_clauses(answer))}." for answer in answered]


def _clauses(answer: Answer) -> Iterator[str]:
    if not answer.seeds:
        yield f"none of {answer.planned} seeds has finished, so nothing may be concluded"
        return
    missing = f", of {answer.planned}" if len(answer.seeds) < answer.planned else ""
    alone = " (intervals over its samples, which say nothing about other seeds)" if len(answer.seeds) == 1 else ""
    yield f"{len(answer.seeds)} seed{'s' if answer.seeds[1:] else ''}{missing}{alone}"
    for name in (HACK_REMOVED, CONTAINED, GAIN_KEPT, HACK_LEFT):
        yield _claim(DEFINITIONS[name], answer.measures[name])
    for control in answer.controls:
        removed = control.differences[HACK_REMOVED]
        words = {"above": "more than", "below": "less than", "within": "not demonstrably more or less than"}
        if (side := _side(removed)) is not None:
            yield f"this lowers the hack rate {words[side]} in {control.configuration} ({estimate_cell(removed)})"


def _claim(measure: Measure, estimate: Estimate) -> str:
    side = _side(estimate)
    if side is not None:
        return f"{getattr(measure, side)} ({estimate_cell(estimate)}{', holds 0' if side == 'within' else ''})"
    if measure.whole and estimate.n:
        return "no task gain of both over the base is shown beyond its noise, so none that could be kept"
    return f"{measure.title} could not be estimated"


def _side(estimate: Estimate) -> str | None:
    """Where the interval lies beside 0; None where there is none."""
    if estimate.low is None or estimate.high is None:
        return None
    return "above" if estimate.low > 0 else "below" if estimate.high < 0 else "within"


def estimate_cell(estimate: Estimate) -> str:
    return cell_with_interval(estimate.mean, estimate.interval)
