"""What a sweep says to the question: does cutting the forget adapter out take the hack away and leave what was learnt?

An arm is a configuration with its seeds: a routed one, or one of its controls that have the two adapters. Each of its MEASURES
and each difference between two arms, paired by seed, is the mean over seeds with Student's t, the seeds' own values being its
sample; with one seed it is over the samples of that run. A measure that one of the seeds does not have, a share of what it has
not learnt, is no measure of the arm either: leaving that seed out would choose among the seeds by their outcome.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from records.estimates import Estimate, mean_over_samples, over_seeds
from records.figures import minus
from records.measures import FIGURES, MEASURES, has_measures, is_learnt, learnt, measures_of, measures_over_samples
from records.names import ENDED, MODES, ROUTED, STOPPED, UNHACKABLE, UNROUTED
from records.reader import RunFiles, SweepFiles, by_configuration


@dataclass(frozen=True)
class Arm:
    configuration: str
    kind: str
    rule: str | None  # of advantages; None where the runs' settings do not tell
    planned: int  # seeds
    seeds: list[int]  # that finished
    by_seed: dict[str, list[float | None]]  # each measure's value of each of `seeds`
    measures: dict[str, Estimate]
    learnt: dict[str, Estimate]  # both − base of each of FIGURES
    not_learnt: dict[str, list[int]]  # seeds of which that is within the noise of their samples
    collapsed: dict[str, list[int]]  # by mode, seeds of which template_collapse is true
    stopped: dict[int, int]  # by seed that a stop rule ended, the step
    warnings: list[str]


@dataclass(frozen=True)
class Difference:
    """One arm's measures minus another's."""

    first: str
    second: str
    of_what: str  # in what the arms differ: "masks, both good_only"
    seeds: list[int]  # that both have
    measures: dict[str, Estimate]


def difference_name(difference: Difference) -> str:
    return f"{difference.first} − {difference.second}"


@dataclass(frozen=True)
class Answer:
    """Of one routed configuration."""

    routed: Arm
    controls: list[Arm]
    differences: list[Difference]  # that of the masks under the same rule first


def answers(sweep: SweepFiles) -> list[Answer]:
    """One for each configuration that is routed and not a control alone, in the plan's order."""
    groups = [*by_configuration(sweep.runs).values()]
    return [_answer(runs, groups) for runs in groups if runs[0].kind == ROUTED and stands_alone(runs, sweep.runs)]


def stands_alone(runs: Sequence[RunFiles], all_runs: Sequence[RunFiles]) -> bool:
    """Whether a configuration was planned for itself: it is no control, or it is one and has controls of its own."""
    names = {run.name for run in runs}
    return not runs[0].baseline_of or any(names & {*run.baseline_of} for run in all_runs)


def _answer(planned: Sequence[RunFiles], groups: Iterable[Sequence[RunFiles]]) -> Answer:
    names = {run.name for run in planned}
    comparable = (group for group in groups if group[0].kind != UNHACKABLE)  # which is what sweeps.frontier measures against
    belonging = [[run for run in group if names & {*run.baseline_of}] for group in comparable]
    routed, controls = arm_of(planned), [(arm_of(runs), runs) for runs in belonging if evaluated(runs)]
    pairs = [((routed, planned), control) for control in controls]
    pairs += [(one, other) for one in controls for other in controls if is_masks_alone(one[0], other[0])]
    differences = [difference(*one, *other) for one, other in pairs]
    return Answer(routed, [arm for arm, _ in controls], sorted(differences, key=lambda d: not d.of_what.startswith(MASKS)))


def evaluated(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """Those that came to an end, a stop rule's too, with the two adapters evaluated apart."""
    return [run for run in runs if run.state in ENDED and run.foreign is None and has_measures(run.outcomes)]


def arm_of(planned: Sequence[RunFiles]) -> Arm:
    runs = evaluated(planned)
    values = [measures_of(run.outcomes) for run in runs]
    by_seed = {name: [value[name] for value in values] for name in MEASURES}
    gains = {figure: [gain for run in runs if (gain := learnt(run.outcomes, figure)) is not None] for figure in FIGURES}
    return Arm(
        planned[0].configuration,
        planned[0].kind,
        next((run.config["advantages"] for run in runs if isinstance(run.config.get("advantages"), str)), None),
        len(planned),
        [run.seed for run in runs],
        by_seed,
        measures_over_samples(runs[0].outcomes) if len(runs) == 1 else over_whole_seeds(by_seed),
        {
            figure: mean_over_samples(gains[0]) if len(gains) == 1 else over_seeds([gain.mean() for gain in gains])
            for figure, gains in gains.items()
        },
        {figure: [run.seed for run in runs if not is_learnt(run.outcomes, figure)] for figure in FIGURES},
        {mode: seeds for mode in MODES if (seeds := [r.seed for r in runs if r.final.get(mode, {}).get("template_collapse")])},
        {run.seed: run.step for run in runs if run.state == STOPPED},
        [*dict.fromkeys(text for run in runs for text in run.warnings if text != run.error)],
    )


def over_whole_seeds(by_seed: Mapping[str, Sequence[float | None]]) -> dict[str, Estimate]:
    return {name: Estimate(None, None, len(row)) if None in row else over_seeds(row) for name, row in by_seed.items()}


# Differences

MASKS = "masks"


def difference(first: Arm, first_runs: Sequence[RunFiles], second: Arm, second_runs: Sequence[RunFiles]) -> Difference:
    """The first minus the second over the seeds that both have; of one such seed over its samples."""
    runs, others = ({run.seed: run for run in evaluated(group)} for group in (first_runs, second_runs))
    seeds = [seed for seed in runs if seed in others]
    if len(seeds) == 1:
        measures = measures_over_samples(runs[seeds[0]].outcomes, others[seeds[0]].outcomes)
    else:
        pairs = [(measures_of(runs[seed].outcomes), measures_of(others[seed].outcomes)) for seed in seeds]
        measures = over_whole_seeds({name: [minus(one[name], other[name]) for one, other in pairs] for name in MEASURES})
    return Difference(first.configuration, second.configuration, of_what(first, second), seeds, measures)


def is_masks_alone(first: Arm, second: Arm) -> bool:
    """Whether the first has masks, the second has none, and nothing else is known to tell them apart."""
    return (first.kind, second.kind) == (ROUTED, UNROUTED) and first.rule is not None and first.rule == second.rule


def of_what(first: Arm, second: Arm) -> str:
    """Masks, rule of advantages, or both; "" where that is not known or not all."""
    if second.kind not in (ROUTED, UNROUTED) or first.rule is None or second.rule is None:
        return ""
    if first.kind == second.kind:
        return f"rule, {first.rule} − {second.rule}, both with masks"
    alone = is_masks_alone(first, second)
    return f"{MASKS}, both {first.rule}" if alone else f"{first.rule} with masks − {second.rule} without"
