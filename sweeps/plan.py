"""A sweep's plan: its runs, each a validated experiment, and `sweep.json`, which tells the report what belongs together.

OUTPUT/SWEEP/
sweep.json          name, axes, one entry a run (below)      RUN/          the runs' own folders
configs/RUN.yaml    a run's resolved settings                logs/RUN.log  what a run's process printed, all attempts
failures.jsonl      one row a failed attempt                 summary.csv, summary.json, report.html
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import NOT_IDENTITY, config_hash, reward_name, short, to_dict, word
from configs.resolve import flatten
from configs.sweep import BASELINES, Sweep, with_setting
from records.folder import write_json, write_whole

KINDS = {"none": "full", "lora": "lora", "dual_lora": "unrouted"}  # by adapter, of runs that nothing is done to
TOLD_BY_KIND = {"routing.enabled", "baseline", "adapter.kind"}
LONGEST_NAME = 100


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. Its folder is `plan.folder / name`."""

    name: str
    config_hash: str
    experiment: Experiment  # resolved; output_dir is the sweep's folder
    kind: str  # "routed", "unrouted" (dual adapters), "lora", "full", "filter", "reward_penalty"
    configuration: str  # short label; equal for runs that differ in nothing but the seed
    values: dict[str, Any]  # of the sweep's axes, by dotted name; a control has those that it takes from its routed runs
    baseline_of: tuple[str, ...] = ()  # names of the routed runs that it is a control of


@dataclass(frozen=True)
class Plan:
    name: str
    folder: Path
    axes: tuple[str, ...]  # dotted names of what varies
    runs: tuple[PlannedRun, ...]


@dataclass
class Draft:
    """A run on its way into the plan."""

    asked: Experiment
    resolved: Experiment
    values: dict[str, Any]
    baseline: str | None = None  # which of the BASELINES it was added as
    twins: list[str] = field(default_factory=list)  # hashes of the routed runs that it is a control of

    @property
    def hash(self) -> str:
        return config_hash(self.resolved)


Prepare = Callable[[Experiment], Experiment]


def make_plan(sweep: Sweep, prepare: Prepare, folder_of: Callable[[Experiment], Path], name: str | None = None) -> Plan:
    """The runs of a checked sweep. `prepare` resolves and validates an experiment, `folder_of` says where a resolved one goes.

    Raises UserError, in one line, for a combination that can not run and for two that are the same.
    """
    drafts = [drafted(asked, values, prepare) for asked, values in combinations(sweep)]
    refuse_equals(drafts)
    drafts += controls(sweep, drafts, prepare)
    name = default_name(sweep, drafts) if name is None else name
    folder = sweep.base.output_dir / name
    check_folder(folder, name)
    placed = [replace(d.resolved, output_dir=folder, wandb=replace(d.resolved.wandb, group=name)) for d in drafts]
    names = [folder_of(experiment).name for experiment in placed]
    refuse_equal_names(names, drafts)
    named = {draft.hash: run for draft, run in zip(drafts, names, strict=True)}
    labels = configurations(drafts, tuple(sweep.grid))
    twins = [tuple(named[twin] for twin in draft.twins) for draft in drafts]
    runs = [
        PlannedRun(run, config_hash(experiment), experiment, kind_of(experiment), label, draft.values, controlled)
        for run, experiment, label, draft, controlled in zip(names, placed, labels, drafts, twins, strict=True)
    ]
    return Plan(name, folder, tuple(sweep.grid), tuple(runs))


# Grid and controls


def combinations(sweep: Sweep) -> list[tuple[Experiment, dict[str, Any]]]:
    """Every combination that the sweep keeps, as asked for, with its values of the axes."""
    found = []
    for chosen in itertools.product(*sweep.grid.values()):
        values = dict(zip(sweep.grid, chosen, strict=True))
        asked = sweep.base
        for name, value in values.items():
            asked = with_setting(asked, name, value)
        if sweep.keep is None or kept(sweep.keep, asked, values):
            found.append((asked, values))
    if not found:
        raise UserError("keep: leaves none of the combinations")
    return found


def kept(keep: Callable[[Experiment], bool], asked: Experiment, values: dict[str, Any]) -> bool:
    try:
        return keep(asked)
    except Exception as error:
        raise UserError(f"keep: {type(error).__name__}: {error} ({told(values) or 'the only run'})") from error


def told(values: dict[str, Any]) -> str:
    """A combination, as messages and labels have it."""
    return " ".join(f"{name}={reward_name(value) if isinstance(value, dict) else shown(value)}" for name, value in values.items())


def shown(value: Any) -> str:
    """As a command line may have it."""
    if isinstance(value, float):
        return short(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def drafted(asked: Experiment, values: dict[str, Any], prepare: Prepare, baseline: str | None = None) -> Draft:
    try:
        return Draft(asked, prepare(asked), values, baseline)
    except UserError as error:
        combination = " ".join(filter(None, [f"the {baseline} control of" if baseline else "", told(values)]))
        raise UserError(f"{combination}: {error}" if values or baseline else str(error)) from error


def refuse_equals(drafts: list[Draft]) -> None:
    first: dict[str, Draft] = {}
    for draft in drafts:
        other = first.setdefault(draft.hash, draft)
        if other is not draft:
            raise UserError(f"{told(other.values)} and {told(draft.values)} are the same run")


def refuse_equal_names(names: list[str], drafts: list[Draft]) -> None:
    first: dict[str, Draft] = {}
    for name, draft in zip(names, drafts, strict=True):
        other = first.setdefault(name, draft)
        if other is not draft:
            raise UserError(f"{told(other.values)} and {told(draft.values)} would have the same folder, {name}")


def controls(sweep: Sweep, grid: list[Draft], prepare: Prepare) -> list[Draft]:
    """Those that the grid does not hold, each once; all of them, those in the grid too, learn whose controls they are."""
    routed = [draft for draft in grid if draft.resolved.routing.enabled]
    if sweep.baselines and not routed:
        raise UserError("--baselines: has no effect, for no run is routed")
    known = {draft.hash: draft for draft in grid}
    added = []
    for baseline in sweep.baselines:
        asked = [BASELINES[baseline](twin.asked) for twin in routed]
        passed = axes_passed_on(tuple(sweep.grid), [twin.asked for twin in routed], asked)
        for twin, control in zip(routed, asked, strict=True):
            draft = drafted(control, twin.values, prepare, baseline)
            if draft.hash not in known:
                draft.values = {name: twin.values[name] for name in passed}
                known[draft.hash] = draft
                added.append(draft)
            known[draft.hash].twins.append(twin.hash)
    return added


def axes_passed_on(axes: Sequence[str], routed: list[Experiment], control: list[Experiment]) -> list[str]:
    """Axes whose values a kind of control takes from its routed runs, all of them: not the rank of an adapter it lacks."""
    pairs = [(flatten(twin), flatten(own)) for twin, own in zip(routed, control, strict=True)]
    return [name for name in axes if all(twin[name] == own[name] for twin, own in pairs)]


def kind_of(resolved: Experiment) -> str:
    if resolved.routing.enabled:
        return "routed"
    return resolved.baseline if resolved.baseline != "none" else KINDS[str(resolved.adapter.kind)]


# Names


def check_folder(folder: Path, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) or len(name) > 2 * LONGEST_NAME:
        raise UserError(f"--name {name}: must be a folder's name of letters, digits and . _ + -")
    if folder.exists() and (not folder.is_dir() or (folder / "config.yaml").exists()):
        raise UserError(f"--name {name}: {folder} is {'a run' if folder.is_dir() else 'a file'}, not a sweep's folder")


def default_name(sweep: Sweep, drafts: list[Draft]) -> str:
    """The same for the same runs, whatever order they were asked for in."""
    digest = hashlib.sha256(" ".join(sorted(draft.hash for draft in drafts)).encode()).hexdigest()[:8]
    reward = [] if "reward" in sweep.grid else [reward_name(sweep.base.reward)]
    readable = "_".join(["sweep", *reward, *(word(name.rpartition(".")[2]) for name in sweep.grid)])
    return f"{readable[:LONGEST_NAME]}_{digest}"


def configurations(drafts: list[Draft], axes: Sequence[str]) -> list[str]:
    """A label for each: its kind and what varies but the seed, the axes first and then what else tells it from others."""
    kinds = [kind_of(draft.resolved) for draft in drafts]
    identities = [seedless(draft.resolved) for draft in drafts]
    labels: dict[str, str] = {}
    for kind in dict.fromkeys(kinds):
        same = [(draft, identity) for draft, k, identity in zip(drafts, kinds, identities, strict=True) if k == kind]
        groups = {identity: draft for draft, identity in reversed(same)}
        values = {identity: label_values(draft, [*groups.values()], drafts, axes) for identity, draft in groups.items()}
        if not distinct(values):
            values = {identity: values[identity] | own for identity, own in differences(groups).items()}
        if not distinct(values):  # rewards of the same name
            values = {identity: value | {"config": identity} for identity, value in values.items()}
        labels |= {identity: " ".join(filter(None, [kind, told(value)])) for identity, value in values.items()}
    return [labels[identity] for identity in identities]


def distinct(values: dict[str, dict[str, Any]]) -> bool:
    return len({told(value) for value in values.values()}) == len(values)


def seedless(resolved: Experiment) -> str:
    return config_hash(replace(resolved, seed=0))


def label_values(draft: Draft, same_kind: list[Draft], drafts: list[Draft], axes: Sequence[str]) -> dict[str, Any]:
    """The axes that vary; of those that the kind tells, the ones that vary among runs of this kind."""

    def varies(name: str, among: list[Draft]) -> bool:
        return len({told({name: other.values[name]}) for other in among if name in other.values}) > 1

    chosen = [name for name in axes if name != "seed" and name in draft.values]
    return {name: draft.values[name] for name in chosen if varies(name, same_kind if name in TOLD_BY_KIND else drafts)}


def differences(groups: dict[str, Draft]) -> dict[str, dict[str, Any]]:
    """Every resolved setting that differs between configurations of one kind."""
    flat = {identity: flatten(draft.resolved) for identity, draft in groups.items()}
    names = [name for name in flatten(Experiment()) if name not in NOT_IDENTITY | {"seed"}]
    differing = [name for name in names if len({repr(values[name]) for values in flat.values()}) > 1]
    return {identity: {name: values[name] for name in differing} for identity, values in flat.items()}


# On disk


def plan_record(plan: Plan) -> dict[str, Any]:
    """sweep.json."""
    runs = [
        {
            "name": run.name,
            "config_hash": run.config_hash,
            "kind": run.kind,
            "configuration": run.configuration,
            "values": {name: str(value) if isinstance(value, Path) else value for name, value in run.values.items()},
            "baseline_of": list(run.baseline_of),
        }
        for run in plan.runs
    ]
    return {"name": plan.name, "axes": list(plan.axes), "runs": runs}


def make_folder(plan: Plan) -> None:
    """Raises UserError where it can not be written."""
    try:
        (plan.folder / "configs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {plan.folder.parent}: cannot be written: {error.strerror}") from error


def write_plan(plan: Plan) -> None:
    """sweep.json and configs/, the same bytes for the same plan."""
    make_folder(plan)
    for run in plan.runs:
        settings = yaml.safe_dump(to_dict(run.experiment), sort_keys=False)
        write_whole(plan.folder / "configs" / f"{run.name}.yaml", lambda file, text=settings: file.write_text(text))
    write_json(plan.folder / "sweep.json", plan_record(plan))


def strangers(plan: Plan) -> list[str]:
    """Runs that lie in the sweep's folder and are none of the plan's."""
    planned = {run.name for run in plan.runs}
    return sorted(path.parent.name for path in plan.folder.glob("*/config.yaml") if path.parent.name not in planned)
