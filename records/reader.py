"""What the folders of runs and sweeps tell, also while runs are still writing. Nothing is written here.

The one reader, of resuming, evaluation, sweeps and reports alike.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from configs.errors import UserError
from records import files
from records.figures import task_reward
from records.logged import OF_A_RUN, OF_A_SWEEP_S_RUN, few_logged
from records.measures import HACKED, TASK
from records.names import ENDED, FAILED, LOADING, REHEARSING, RUNNING, WAITING, kind_of
from records.relearning import FIGURES as OF_RELEARNING
from records.rows import FLAG, NUMBER, TEXT, Kinds, Row, check_kinds, read_object, read_rows

PLANNED: Kinds = {"name": TEXT, "kind": TEXT, "configuration": TEXT, "values": (dict,), "baseline_of": (list, NoneType)}
SAMPLES_OF_A_MODE = 5  # that are kept of each run of a sweep: hundreds of runs have millions
Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True)
class RunFiles:
    """One run as its folder tells it. A run that has not started has no folder, the state "waiting" and no rows."""

    name: str
    kind: str  # one of KINDS
    configuration: str  # equal for runs that differ in nothing but the seed
    values: dict[str, Any]  # of the sweep's axes, by dotted name
    state: str = WAITING
    phase: str | None = None  # of one that is running: loading, rehearsing, training, evaluating, relearning
    step: int = 0  # training steps done
    error: str | None = None
    config: Row = field(default_factory=dict)
    made_of: Row = field(default_factory=dict)  # run.json; {} as long as it has not been loaded
    metrics: dict[str, list] = field(default_factory=dict)  # "step" and columns of numbers or None, one entry a step
    step_times: list[float] = field(default_factory=list)  # seconds
    tokens: int | None = None
    evaluations: list[Row] = field(default_factory=list)  # routing_eval.jsonl
    final: dict[str, Row] = field(default_factory=dict)  # evaluation.json, by mode
    relearning: list[Row] = field(default_factory=list)  # relearning.jsonl
    samples: list[Row] = field(default_factory=list)  # of the final evaluation, or else of the last logged step
    logged: list[Row] = field(default_factory=list)  # of samples.jsonl, at a few of its steps a few completions of each prompt
    # Of the final evaluation, by mode, one figure a sample: "hacked" 0 or 1 and "task", the task reward. What any sample lacks
    # is left out. Sample i has the same prompt and draw in every mode.
    outcomes: dict[str, dict[str, Sequence[float]]] = field(default_factory=dict)
    training_reward: float | None = None  # at the end, from summary.json
    warnings: tuple[str, ...] = ()  # from summary.json
    baseline_of: tuple[str, ...] = ()  # names of the routed runs that it is a control of
    foreign: str | None = None  # why it is not the run that was planned

    @property
    def doing(self) -> str:
        """Its phase while it runs, else its state."""
        return self.phase if self.state == RUNNING and self.phase else self.state

    @property
    def seed(self) -> Any:
        return self.config.get("seed", self.values.get("seed"))


@dataclass(frozen=True)
class SweepFiles:
    name: str
    axes: tuple[str, ...]
    runs: tuple[RunFiles, ...]
    failures: tuple[Row, ...]
    sample: Row | None = None  # of the grid: so many `points` `of` so many, drawn with a `seed`; None: the whole grid


def is_run(folder: Path) -> bool:
    return (folder / files.CONFIG).is_file()


def is_sweep(folder: Path) -> bool:
    return (folder / files.PLAN).is_file()


def is_finished(folder: Path) -> bool:
    """Also where a stop rule made the end. Raises UserError for a damaged status."""
    return read_status(folder)["state"] in ENDED


def read_status(folder: Path) -> Row:
    """status.json, with the state "unknown" where it says nothing."""
    status = read_object(folder / files.STATUS)
    texts = dict.fromkeys(("state", "phase", "error"), (str, NoneType))
    kinds = texts | {"step": (int, NoneType)} | dict.fromkeys(("seconds", "peak_memory"), (dict, NoneType))
    check_kinds(str(folder / files.STATUS), status, kinds)
    return status | {"state": status.get("state") or "unknown"}


def is_not_loaded(folder: Path) -> bool:
    """Whether the run is being loaded for the first time, or was when its process came to its end: it has no run.json yet."""
    return not (folder / files.MADE_OF).exists() and read_status(folder).get("phase") in (LOADING, REHEARSING)


def read_made_of(folder: Path) -> Row:
    """run.json."""
    record = read_object(folder / files.MADE_OF)
    check_kinds(str(folder / files.MADE_OF), record, {"components": (dict,)})
    check_kinds(f"{folder / files.MADE_OF}: components", record["components"], dict.fromkeys(record["components"], TEXT))
    return record


def read_evaluation(folder: Path) -> dict[str, Row]:
    """evaluation.json by mode, each with its step; {} when there is none."""
    file = folder / files.EVALUATION
    record = read_object(file)
    if not record:
        return {}
    check_kinds(str(file), record, {"step": (int,), "modes": (dict,)})
    for mode, figures in record["modes"].items():
        numbers = [name for name in figures if name.startswith("rewards/")] if isinstance(figures, dict) else []
        kinds = dict.fromkeys(("reward", "hacked", "unique", "samples", *OF_RELEARNING, *numbers), NUMBER)
        check_kinds(f"{file}: {mode}", figures, kinds | {"degenerate": FLAG, "template_collapse": FLAG})
    return {mode: figures | {"step": record["step"]} for mode, figures in record["modes"].items()}


def read_summary(folder: Path) -> tuple[float | None, tuple[str, ...]]:
    """Of summary.json the mean training reward at the end and the warnings; None and none when there is no summary yet."""
    file = folder / files.SUMMARY
    if not (summary := read_object(file)):
        return None, ()
    check_kinds(str(file), summary, {"training": (dict,), "warnings": (list, NoneType)})
    check_kinds(str(file), summary["training"], {"reward": (dict,)})
    check_kinds(str(file), summary["training"]["reward"], {"last": NUMBER})
    return summary["training"]["reward"].get("last"), tuple(map(str, summary.get("warnings") or ()))


# Runs


def read_run(folder: Path, names: Callable[[Row], Collection[str]] | None = None, planned: Row | None = None) -> RunFiles:
    """A run's folder. `names` tells, from a row of metrics.jsonl, which of its numbers are wanted.

    Without `names`, only how it ended and its final evaluation are read. Raises UserError for damaged files.
    """
    planned = planned or {"name": folder.name, "kind": "", "configuration": folder.name, "values": {}}
    identity = _identity(planned)
    if not is_run(folder):
        return RunFiles(**identity)
    status, config = read_status(folder), read_object(folder / files.CONFIG)
    made_of = {} if is_not_loaded(folder) else read_made_of(folder)
    identity["kind"] = identity["kind"] or kind_of(config)
    running = status["state"] == RUNNING
    finals = read_rows(folder, files.EVALUATION_SAMPLES, running)
    training = {} if names is None else _training(folder, names, running)
    logged = [] if names is None else read_rows(folder, files.SAMPLES, running)
    recorded, expected = made_of.get("config_hash"), planned.get("config_hash")
    foreign = f"its folder holds a run with other settings ({recorded}, not {expected})"
    training_reward, warnings = read_summary(folder)
    step = max([status.get("step") or 0, *(step + 1 for step in training.get("metrics", {"step": []})["step"][-1:])])
    return RunFiles(
        **identity,
        **training,
        state=status["state"],
        step=step,
        phase=status.get("phase") if running else None,
        error=status.get("error"),
        config=config,
        made_of=made_of,
        final=read_evaluation(folder),
        samples=finals or [row for row in logged if row["step"] == logged[-1]["step"]],
        logged=few_logged(logged, OF_A_RUN),
        outcomes=outcomes_of(folder / files.EVALUATION_SAMPLES, finals, made_of),
        training_reward=training_reward,
        warnings=warnings,
        foreign=None if not made_of or expected in (None, recorded) else foreign,
    )


def _identity(planned: Row) -> dict[str, Any]:
    same = {name: planned[name] for name in ("name", "kind", "configuration", "values")}
    return same | {"baseline_of": tuple(planned.get("baseline_of") or ())}


def _training(folder: Path, names: Callable[[Row], Collection[str]], running: bool) -> dict[str, Any]:
    metrics = read_rows(folder, files.METRICS, running)
    columns = _columns(folder / files.METRICS, metrics, [*names(metrics[-1]), "num_tokens"] if metrics else [])
    times = (row["step_time"] for row in read_rows(folder, files.TIMING, running))
    return {
        "tokens": (columns.pop("num_tokens", None) or [None])[-1],
        "metrics": columns,
        "step_times": [seconds for seconds in times if seconds is not None],
        "evaluations": read_rows(folder, files.ROUTING_EVAL, running),
        "relearning": read_rows(folder, files.RELEARNING, running),
    }


def _columns(file: Path, rows: list[Row], names: Collection[str]) -> dict[str, list]:
    """`names` of the rows that have any of them, as columns of one entry a row; what a row lacks is None."""
    present = ["step", *(name for name in names if any(name in row for row in rows))]
    for number, row in enumerate(rows, 1):
        check_kinds(f"{file}:{number}", row, dict.fromkeys(present, NUMBER))
    return {name: [row.get(name) for row in rows] for name in present}


def outcomes_of(file: Path, samples: list[Row], made_of: Row) -> dict[str, dict[str, Sequence[float]]]:
    """As `RunFiles` has it, of rows of evaluation_samples.jsonl.

    Raises UserError where modes have other prompts, which nothing can be paired by.
    """
    by_mode = grouped(samples, lambda row: row["mode"])
    prompts = {mode: [(row.get("prompt_index"), row["prompt"]) for row in rows] for mode, rows in by_mode.items()}
    for mode in prompts:
        if prompts[mode] != next(iter(prompts.values())):
            raise UserError(f"{file}: {mode} has other prompts than {next(iter(prompts))}")
    outcomes: dict[str, dict[str, Sequence[float]]] = {}
    for mode, rows in by_mode.items():
        figures = {HACKED: [row["hacked"] for row in rows], TASK: [_task_of(file, row, made_of) for row in rows]}
        outcomes[mode] = {name: array("d", values) for name, values in figures.items() if None not in values}
    return outcomes


def _task_of(file: Path, row: Row, made_of: Row) -> float | None:
    components = row.get("components") or {}
    check_kinds(f"{file}: components", components, dict.fromkeys(components, NUMBER))
    return task_reward(made_of, {f"rewards/{name}": value for name, value in components.items()})


# Sweeps


def read_sweep(
    folder: Path, names: Collection[str] | None = None, track: Callable[[tuple], Iterable] = iter, damaged_fail: bool = False
) -> SweepFiles:
    """A sweep's folder: its plan and as much of its runs as there is. `names` as in `read_run`; `track` shows progress.

    Raises UserError for a plan that is none, and for damaged files of runs unless those count as failed.
    """
    file = folder / files.PLAN
    if not is_sweep(folder):
        raise UserError(f"{folder}: no sweep's folder: {file} cannot be read")
    plan = read_object(file)
    check_kinds(str(file), plan, {"name": TEXT, "axes": (list,), "runs": (list,), "sample": (dict, NoneType)})
    for i, planned in enumerate(plan["runs"]):
        check_kinds(f"{file}: runs[{i}]", planned, PLANNED)

    wanted = None if names is None else lambda _, fixed=names: fixed

    def read(planned: Row) -> RunFiles:
        try:
            run = read_run(folder / planned["name"], wanted, planned)
        except UserError as error:
            if not damaged_fail:
                raise
            return RunFiles(**_identity(planned), state=FAILED, error=f"its files can not be read: {error}")
        return with_few_samples(run)

    runs = tuple(read(planned) for planned in track(tuple(plan["runs"])))
    failures, sample = tuple(read_rows(folder, files.FAILURES, running=True)), plan.get("sample")
    check_kinds(f"{file}: sample", sample or {}, {} if sample is None else dict.fromkeys(("points", "of", "seed"), (int,)))
    return SweepFiles(plan["name"], tuple(plan["axes"]), runs, failures, sample)


def with_few_samples(run: RunFiles) -> RunFiles:
    """A run among many, whose pages show only so much of each."""
    run.samples[:] = first_of_each_mode(run.samples, SAMPLES_OF_A_MODE)
    run.logged[:] = few_logged(run.logged, OF_A_SWEEP_S_RUN)
    return run


def by_configuration(runs: Iterable[RunFiles]) -> dict[str, list[RunFiles]]:
    """Runs that differ in nothing but the seed, by their label, in the plan's order."""
    return grouped(runs, lambda run: run.configuration)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Groups, and the items in each, in the order in which they come."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def first_of_each_mode(samples: list[Row], count: int) -> list[Row]:
    """The first `count` samples of each mode; samples of training have no mode and count as one."""
    kept = {id(row) for rows in grouped(samples, lambda row: row.get("mode")).values() for row in rows[:count]}
    return [row for row in samples if id(row) in kept]
