"""What the folders of runs and sweeps tell a report, also while runs are still writing. Nothing is written here.

Every number of a file is a number or null when it leaves this module; everything else in its place is a damaged file.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from configs.errors import UserError

Row = dict[str, Any]
Kinds = Mapping[str, tuple[type, ...]]

NUMBER, TEXT, FLAG = (int, float, NoneType), (str,), (bool, NoneType)
SAMPLE: Kinds = {"prompt": TEXT, "completion": TEXT, "reward": NUMBER, "hacked": FLAG}
# Of each file, what a report reads of it and of what kind that has to be.
FILES: dict[str, Kinds] = {
    "metrics.jsonl": {"step": (int,)},
    "timing.jsonl": {"step": (int,), "step_time": NUMBER},
    "routing_eval.jsonl": {"step": (int,), "mode": TEXT, "reward": NUMBER, "hacked": NUMBER},
    "samples.jsonl": {"step": (int,), **SAMPLE},
    "evaluation_samples.jsonl": {"mode": TEXT, **SAMPLE},
    "failures.jsonl": {"run": TEXT, "attempt": NUMBER, "exit_code": NUMBER, "last_lines": (list,)},
}
PLANNED: Kinds = {"name": TEXT, "kind": TEXT, "configuration": TEXT, "values": (dict,)}


@dataclass(frozen=True)
class RunFiles:
    """One run as its folder tells it. A run that has not started has no folder, the state "waiting" and no rows."""

    name: str
    kind: str  # "routed", "unrouted", "lora", "full", "filter", "reward_penalty"
    configuration: str  # equal for runs that differ in nothing but the seed
    values: dict[str, Any]  # of the sweep's axes, by dotted name
    state: str = "waiting"
    step: int = 0  # training steps done
    error: str | None = None
    config: Row = field(default_factory=dict)
    made_of: Row = field(default_factory=dict)  # run.json
    metrics: dict[str, list] = field(default_factory=dict)  # "step" and columns of numbers or None, one entry a step
    step_times: list[float] = field(default_factory=list)  # seconds
    tokens: int | None = None
    evaluations: list[Row] = field(default_factory=list)  # routing_eval.jsonl
    final: dict[str, Row] = field(default_factory=dict)  # evaluation.json, by mode
    samples: list[Row] = field(default_factory=list)  # of the final evaluation, or else of the last logged step

    @property
    def seed(self) -> Any:
        return self.config.get("seed", self.values.get("seed"))


@dataclass(frozen=True)
class SweepFiles:
    name: str
    axes: tuple[str, ...]
    runs: tuple[RunFiles, ...]
    failures: tuple[Row, ...]


def is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def is_sweep(folder: Path) -> bool:
    return (folder / "sweep.json").is_file()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def read_whole_rows(file: Path, running: bool) -> list[Row]:
    """All rows, none when there is no file. Of a run that is still running, an unfinished last line is left out.

    Raises UserError, naming file and line, for a row that is no JSON object or has something else where a report reads
    what `FILES` tells.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    if running or not lines[-1]:
        lines.pop()
    return [_row(file, number, line) for number, line in enumerate(lines, 1)]


def _row(file: Path, number: int, line: str) -> Row:
    try:
        row = _decode(line)
    except ValueError as error:
        raise UserError(f"{file}:{number}: not a JSON row: {error}") from error
    check(f"{file}:{number}", row, FILES[file.name])
    return row


def check(place: str, row: Any, kinds: Kinds) -> None:
    """Raises UserError, in one line that begins with `place`, where an entry is of another kind; one that is missing is None."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: not a JSON object")
    for name, accepted in kinds.items():
        if type(row.get(name)) not in accepted:
            raise UserError(f"{place}: {name} is {json.dumps(row.get(name))[:80]}, not {_spoken(accepted)}")


def _spoken(kinds: tuple[type, ...]) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list", dict: "an object"}
    return names[float] if float in kinds else names[kinds[0]]


def read_object(file: Path) -> Row:
    """A JSON or YAML file that holds one object; {} when there is none. Raises UserError for a damaged one."""
    try:
        value = yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else _decode(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise UserError(f"{file}: not a mapping")
    return value


def columns(file: Path, rows: list[Row], names: Collection[str]) -> dict[str, list]:
    """`names` of the rows that have any of them, as columns of one entry a row; what a row lacks is None."""
    found = ["step", *(name for name in names if any(name in row for row in rows))]
    for number, row in enumerate(rows, 1):
        check(f"{file}:{number}", row, dict.fromkeys(found, NUMBER))
    return {name: [row.get(name) for row in rows] for name in found}


def kind_of(config: Row) -> str:
    """What sort of run these settings make, in the words of a sweep's plan."""
    if config.get("baseline", "none") != "none":
        return str(config["baseline"])
    routing, adapter = config.get("routing") or {}, config.get("adapter") or {}
    if routing.get("enabled") and routing.get("mode") != "none":
        return "routed"
    return {"dual_lora": "unrouted", "lora": "lora"}.get(str(adapter.get("kind")), "full")


def read_status(folder: Path) -> Row:
    """status.json, with the state "unknown" where it says nothing."""
    status = read_object(folder / "status.json")
    check(str(folder / "status.json"), status, {"state": (str, NoneType), "step": (int, NoneType), "error": (str, NoneType)})
    return status | {"state": status.get("state") or "unknown"}


def read_run(folder: Path, names: Callable[[Row], Collection[str]], planned: Row | None = None) -> RunFiles:
    """A run's folder. `names` tells, from a row of metrics.jsonl, which of its numbers are wanted.

    Raises UserError for damaged files.
    """
    if planned is None:
        planned = {"name": folder.name, "kind": "", "configuration": folder.name, "values": {}}
    identity: dict[str, Any] = {name: planned[name] for name in ("name", "kind", "configuration", "values")}
    if not is_run(folder):
        return RunFiles(**identity)
    status = read_status(folder)
    config = read_object(folder / "config.yaml")
    state, identity["kind"] = status["state"], identity["kind"] or kind_of(config)

    def rows(name: str) -> list[Row]:
        return read_whole_rows(folder / name, state == "running")

    metrics = rows("metrics.jsonl")
    wanted = [*names(metrics[-1]), "num_tokens"] if metrics else []
    numbers = columns(folder / "metrics.jsonl", metrics, wanted)
    return RunFiles(
        **identity,
        state=state,
        step=max([status.get("step") or 0, *(step + 1 for step in numbers["step"][-1:])]),
        error=status.get("error"),
        config=config,
        made_of=_made_of(folder / "run.json"),
        tokens=(numbers.pop("num_tokens", None) or [None])[-1],
        metrics=numbers,
        step_times=[row["step_time"] for row in rows("timing.jsonl") if row["step_time"] is not None],
        evaluations=rows("routing_eval.jsonl"),
        final=_final(folder / "evaluation.json"),
        samples=rows("evaluation_samples.jsonl") or _last_logged(rows("samples.jsonl")),
    )


def _made_of(file: Path) -> Row:
    record = read_object(file)
    check(str(file), record, {"components": (dict,)})
    check(f"{file}: components", record["components"], dict.fromkeys(record["components"], TEXT))
    return record


def _final(file: Path) -> dict[str, Row]:
    record = read_object(file)
    if not record:
        return {}
    check(str(file), record, {"step": (int,), "modes": (dict,)})
    for mode, figures in record["modes"].items():
        numbers = [name for name in figures if name.startswith("rewards/")] if isinstance(figures, dict) else []
        kinds = dict.fromkeys(("reward", "hacked", "unique", "samples", *numbers), NUMBER)
        check(f"{file}: {mode}", figures, kinds | {"degenerate": FLAG, "template_collapse": FLAG})
    return {mode: figures | {"step": record["step"]} for mode, figures in record["modes"].items()}


def _last_logged(samples: list[Row]) -> list[Row]:
    return [row for row in samples if row["step"] == samples[-1]["step"]]


def read_sweep(folder: Path, names: Collection[str], track: Callable[[tuple], Iterable]) -> SweepFiles:
    """A sweep's folder: its plan and as much of its runs as there is. `track` shows progress over the runs.

    Raises UserError for a plan that is none and for damaged files of runs.
    """
    file = folder / "sweep.json"
    plan = read_object(file)
    check(str(file), plan, {"name": TEXT, "axes": (list,), "runs": (list,)})
    for i, planned in enumerate(plan["runs"]):
        check(f"{file}: runs[{i}]", planned, PLANNED)
    runs = tuple(_shown(read_run(folder / each["name"], lambda _: names, each)) for each in track(tuple(plan["runs"])))
    failures = tuple(read_whole_rows(folder / "failures.jsonl", running=True))
    return SweepFiles(plan["name"], tuple(plan["axes"]), runs, failures)


def _shown(run: RunFiles) -> RunFiles:
    """Without the samples that no page of a sweep shows: hundreds of runs have millions."""
    run.samples[:] = first_of_each_mode(run.samples, 5)
    return run


def first_of_each_mode(samples: list[Row], count: int) -> list[Row]:
    """The first `count` samples of each mode; samples of training have no mode and count as one."""
    seen: dict[str | None, int] = {}
    kept = []
    for row in samples:
        mode = row.get("mode")
        seen[mode] = seen.get(mode, 0) + 1
        if seen[mode] <= count:
            kept.append(row)
    return kept
