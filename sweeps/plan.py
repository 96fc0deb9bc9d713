"""A sweep's plan: its runs, each a validated experiment, with the controls of routed ones."""

import hashlib
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from configs.baselines import BASELINES
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import reward_name, word
from configs.resolve import flatten, refuse_inert, with_setting
from configs.resolved import ResolvedExperiment
from configs.sweep import ARM, Sweep
from records.reader import is_run
from sweeps.labels import Draft, configuration_labels, spelled

LONGEST_NAME = 100


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. Its folder is `plan.folder / name`."""

    name: str
    config_hash: str
    experiment: ResolvedExperiment  # output_dir is the sweep's folder
    kind: str  # "routed", "unrouted" (dual adapters), "lora", "full", "filter", "reward_penalty", "unhackable"
    configuration: str  # short label; equal for runs that differ in nothing but the seed
    values: dict[str, Any]  # of the sweep's axes, by dotted name or "arm"; a control has those that it takes from its routed runs
    baseline_of: tuple[str, ...] = ()  # names of the routed runs that it is a control of


@dataclass(frozen=True)
class Sample:
    """Points of the grid that were drawn at random."""

    points: int
    of: int  # what arms and grid have, without those that `keep` leaves out
    seed: int


@dataclass(frozen=True)
class Plan:
    name: str
    folder: Path
    axes: tuple[str, ...]  # dotted names of what varies, "arm" for the arms
    runs: tuple[PlannedRun, ...]
    sample: Sample | None = None  # None: the whole grid


Prepare = Callable[[Experiment], ResolvedExperiment]


def make_plan(sweep: Sweep, prepare: Prepare, folder_of: Callable[[ResolvedExperiment], Path]) -> Plan:
    """The runs of a checked sweep, in the folder that the base's name names. `prepare` resolves and validates an experiment,
    `folder_of` says where a resolved one goes.

    Raises UserError, in one line, for a combination that can not run and for two that are the same.
    """

    asked, sample = combinations(sweep)
    drafts = [make_draft(unresolved, values, prepare, named_at(sweep, values)) for unresolved, values in asked]
    refuse_twins(drafts, [draft.hash for draft in drafts], "are the same run")
    firsts = one_of_each(drafts)
    refuse_twins(firsts, [draft.seedless for draft in firsts], "are the same but for the seed")
    drafts += controls(sweep, drafts, prepare)
    name = sweep.base.name or default_name(sweep, drafts)
    folder = sweep.base.output_dir / name
    check_sweep_folder(folder, name)
    for draft in drafts:
        wandb = replace(draft.resolved.wandb, group=name)
        draft.resolved = replace(draft.resolved, name="", output_dir=folder, wandb=wandb)
    names = {draft.hash: folder_of(draft.resolved).name for draft in drafts}
    refuse_twins(drafts, [*names.values()], "would have the same folder, {}")
    labels = configuration_labels(drafts, tuple(sweep.axes))
    runs = [
        PlannedRun(names[d.hash], d.hash, d.resolved, d.kind, label, d.values, tuple(names[routed] for routed in d.routed))
        for d, label in zip(drafts, labels, strict=True)
    ]
    return Plan(name, folder, tuple(sweep.axes), tuple(runs), sample)


# Grid and controls


def combinations(sweep: Sweep) -> tuple[list[tuple[Experiment, dict[str, Any]]], Sample | None]:
    """Every combination that the sweep keeps, or those of its sample, as asked for, with its values of the axes."""
    points = points_of(sweep)
    sample = None
    if sweep.sample is not None:
        if sweep.sample >= len(points):
            raise UserError(f"--sample {sweep.sample}: has no effect: the grid has {len(points)} points")
        sample = Sample(sweep.sample, len(points), sweep.sample_seed or 0)
        points = [points[i] for i in sorted(drawn(sample))]
    refuse_fixed(sweep, {values[ARM] for values in points if ARM in values})
    return [(at_point(sweep, values), values) for values in points], sample


def points_of(sweep: Sweep) -> Sequence[dict[str, Any]]:
    """All that the sweep keeps. Raises UserError where there are none."""
    points, keep = Points(sweep.axes), sweep.keep
    kept = points if keep is None else [values for values in points if is_kept(keep, at_point(sweep, values), values)]
    if not kept:
        raise UserError("keep: leaves none of the combinations")
    return kept


def whole_if_small(sweep: Sweep) -> Sweep:
    """Without its sample, where that is no less than the whole."""
    is_small = sweep.sample is not None and sweep.sample >= len(points_of(sweep))
    return replace(sweep, sample=None, sample_seed=None) if is_small else sweep


def refuse_fixed(sweep: Sweep, arms: Collection[str]) -> None:
    """Raises UserError where the command line fixes what one of these arms sets. Arms that are not run may stay."""
    for arm in (arm for arm in sweep.arms if arm in arms):
        for name in (name for name in sweep.arms[arm] if name in sweep.fixed):
            raise UserError(f"--{name} {flatten(sweep.base)[name]}: the arm {arm} sets it")


class Points(Sequence[dict[str, Any]]):
    """Combinations of the axes' values in order, the last axis fastest; none is made before it is asked for."""

    def __init__(self, axes: Mapping[str, Sequence[Any]]):
        self.axes = axes

    def __len__(self) -> int:
        return math.prod(map(len, self.axes.values()))

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]  # no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        values = {}
        for name in reversed([*self.axes]):
            index, place = divmod(index, len(self.axes[name]))
            values[name] = self.axes[name][place]
        return {name: values[name] for name in self.axes}


def at_point(sweep: Sweep, values: Mapping[str, Any]) -> Experiment:
    settings = {**arm_at(sweep, values)} | {name: value for name, value in values.items() if name != ARM}
    return reduce(lambda experiment, setting: with_setting(experiment, *setting), settings.items(), sweep.base)


def arm_at(sweep: Sweep, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a point's arm; none where the sweep has no arms."""
    return sweep.arms[values[ARM]] if ARM in values else {}


def named_at(sweep: Sweep, values: Mapping[str, Any]) -> frozenset[str]:
    """Settings that somebody wrote for this point."""
    return sweep.named | arm_at(sweep, values).keys()


def drawn(sample: Sample) -> list[int]:
    """Distinct numbers of points, the start of a shuffle: a larger sample of the same seed holds a smaller one.

    Made of `random()` alone, whose numbers Python promises to be the same in every version.
    """
    uniform, moved, chosen = random.Random(sample.seed).random, dict[int, int](), []
    for i in range(sample.points):
        j = i + int(uniform() * (sample.of - i))
        chosen.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return chosen


def is_kept(keep: Callable[[Experiment], bool], unresolved: Experiment, values: dict[str, Any]) -> bool:
    try:
        return keep(unresolved)
    except Exception as error:
        raise UserError(f"keep: {type(error).__name__}: {error} ({spelled(values) or 'the only run'})") from error


def make_draft(
    unresolved: Experiment, values: dict[str, Any], prepare: Prepare, named: Collection[str] = (), baseline: str = ""
) -> Draft:
    """Raises UserError that names the combination, also for one of the settings `named` that has no effect."""
    try:
        refuse_inert(unresolved, named)
        return Draft(unresolved, prepare(unresolved), values)
    except UserError as error:
        combination = " ".join(filter(None, [f"the {baseline} control of" if baseline else "", spelled(values)]))
        raise UserError(f"{combination}: {error}" if combination else str(error)) from error


def refuse_twins(drafts: list[Draft], keys: list[str], complaint: str) -> None:
    first: dict[str, Draft] = {}
    for key, draft in zip(keys, drafts, strict=True):
        if (other := first.setdefault(key, draft)) is not draft:
            raise UserError(f"{spelled(other.values)} and {spelled(draft.values)} {complaint.format(key)}")


def one_of_each(drafts: list[Draft]) -> list[Draft]:
    """The first of those whose values differ in nothing but the seed."""
    firsts: dict[str, Draft] = {}
    for draft in drafts:
        firsts.setdefault(repr({name: value for name, value in draft.values.items() if name != "seed"}), draft)
    return [*firsts.values()]


def controls(sweep: Sweep, grid: list[Draft], prepare: Prepare) -> list[Draft]:
    """Those that the grid does not hold, each once; all of them, those in the grid too, learn whose controls they are."""
    routed = [draft for draft in grid if draft.resolved.treatment.name == "routed"]
    if sweep.baselines and not routed:
        raise UserError("--baselines: has no effect, for no run is routed")
    known = {draft.hash: draft for draft in grid}
    added = []
    for baseline in sweep.baselines:
        unresolved = [BASELINES[baseline](twin.unresolved) for twin in routed]
        passed = axes_passed_on(tuple(sweep.axes), [twin.unresolved for twin in routed], unresolved)
        for twin, control in zip(routed, unresolved, strict=True):
            draft = make_draft(control, twin.values, prepare, baseline=baseline)
            if draft.hash not in known:
                draft.values = {name: twin.values[name] for name in passed}
                known[draft.hash] = draft
                added.append(draft)
            known[draft.hash].routed.append(twin.hash)
    return added


def axes_passed_on(axes: Sequence[str], routed: list[Experiment], control: list[Experiment]) -> list[str]:
    """Axes whose values a kind of control takes from its routed runs, all of them: not the arm, nor the rank of an adapter
    that it lacks.
    """
    pairs = [(flatten(twin), flatten(other)) for twin, other in zip(routed, control, strict=True)]
    return [name for name in axes if name != ARM and all(twin[name] == other[name] for twin, other in pairs)]


# Names


def check_sweep_folder(folder: Path, name: str) -> None:
    if folder.exists() and (not folder.is_dir() or is_run(folder)):
        raise UserError(f"--name {name}: {folder} is {'a run' if folder.is_dir() else 'a file'}, not a sweep's folder")


def default_name(sweep: Sweep, drafts: list[Draft]) -> str:
    """The same for the same runs, whatever order they were asked for in."""
    digest = hashlib.sha256(" ".join(sorted(draft.hash for draft in drafts)).encode()).hexdigest()[:8]
    varies = "reward" in sweep.grid or any("reward" in settings for settings in sweep.arms.values())
    reward = [] if varies else [reward_name(drafts[0].resolved.reward)]
    readable = "_".join(["sweep", *reward, *(word(name.rpartition(".")[2]) for name in sweep.axes)])
    return f"{readable[:LONGEST_NAME]}_{digest}"
