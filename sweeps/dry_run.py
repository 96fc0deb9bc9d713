"""What a plan would do: its runs in a table, where they would run, and how long it takes by steps that were measured.

Step times come from runs that lie in the output folder and have the same model, batch, lengths and kind; where there is
none, three steps of the plan's first run are measured in a temporary folder. Nothing is written into the output folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from configs.errors import UserError
from configs.naming import to_dict
from records import files
from records.figures import duration
from records.folder import write_yaml
from records.rows import read_object, read_rows
from records.text import plain_table
from sweeps.backends.local import needs_gpu, thread_limits
from sweeps.plan import Plan, PlannedRun

# Runs that agree in these take about as long for a step.
SAME = (
    "model", "batch_size", "num_generations", "env.name", "env.prompt_length", "sampling.max_completion_length",
    "grpo.num_iterations", "adapter.kind", "routing.enabled", "baseline",
)  # fmt: skip
WARM_UP = 2  # first steps that are left out where there are more
MOST_FOLDERS = 500  # that are looked into, the newest first
MEASURED_STEPS, SECONDS = 3, 900
# Of a measurement: no evaluation to speak of, and nothing for wandb.
MEASURING = {
    "max_steps": MEASURED_STEPS, "eval_every": MEASURED_STEPS, "save_steps": MEASURED_STEPS, "eval.num_prompts": 1,
    "eval.final_samples": 0, "grpo.warmup_steps": 0, "wandb.mode": "disabled",
}  # fmt: skip
Signature = tuple[Any, ...]


@dataclass(frozen=True)
class StepTime:
    seconds: float
    source: str  # the run that it was measured in


@dataclass(frozen=True)
class Slots:
    """How many runs go on at once."""

    cpu: int
    gpus: tuple[str, ...]
    per_gpu: int

    def of(self, run: PlannedRun) -> int:
        return len(self.gpus) * self.per_gpu if needs_gpu(run) else self.cpu


def runs_table(plan: Plan, states: Mapping[str, str]) -> Table:
    table = plain_table("run", "kind", "configuration", "device", "state")
    for run in plan.runs:
        table.add_row(run.name, run.kind, run.configuration, run.experiment.device, states[run.name])
    return table


def slots_line(plan: Plan, slots: Slots) -> str:
    on_gpus = sum(map(needs_gpu, plan.runs))
    places = [f"{len(plan.runs) - on_gpus} on the CPU, {slots.cpu} at once"] if on_gpus < len(plan.runs) else []
    if on_gpus:
        places.append(f"{on_gpus} on GPU {', '.join(slots.gpus)}, {slots.per_gpu} at once on each")
    return f"{len(plan.runs)} runs: {'; '.join(places)}"


def estimate(
    plan: Plan, states: Mapping[str, str], slots: Slots | None, measure: Callable[[PlannedRun], StepTime | str]
) -> list[str]:
    """Lines that tell how long the runs that are left take, and what that rests on. Without slots, as one after another."""
    left = [run for run in plan.runs if states[run.name] != "finished"]
    if not left:
        return ["nothing is left to run"]
    signatures = {run.name: signature(to_dict(run.experiment)) for run in left}
    times = recorded_step_times(plan, {*signatures.values()})
    if not times:
        measured = measure(left[0])
        if isinstance(measured, str):
            return [f"no estimate: three steps of {left[0].name} could not be measured: {measured}"]
        times[signatures[left[0].name]] = measured
    fallback = next(iter(times.values()))
    seconds = {run.name: times.get(signatures[run.name], fallback).seconds * run.experiment.max_steps for run in left}
    if slots is None:
        whole = f"{duration(sum(seconds.values()))} of runs"
    else:
        places = ([run for run in left if needs_gpu(run) == gpu] for gpu in (False, True))
        whole = f"{duration(max(seconds_on_slots(seconds, runs, slots) for runs in places))} for {len(left)} runs"
    sources = [*dict.fromkeys(f"  {time.seconds:.3g} s a step, the median of {time.source}" for time in times.values())]
    unknown = [run.kind for run in left if signatures[run.name] not in times]
    if unknown:
        sources.append(f"  {len(unknown)} runs of another kind ({', '.join(sorted({*unknown}))}): taken as the first")
    return [f"about {whole}, evaluations not counted:", *sources]


def seconds_on_slots(seconds: Mapping[str, float], runs: Sequence[PlannedRun], slots: Slots) -> float:
    """Of runs that share slots; no shorter than the longest of them."""
    each = [seconds[run.name] for run in runs]
    return max(sum(each) / slots.of(runs[0]), *each) if runs else 0.0


def signature(settings: Mapping[str, Any]) -> Signature:
    """What step times depend on, of what a config.yaml holds."""
    return (*(nested_setting(settings, name) for name in SAME), str(settings.get("device")).partition(":")[0])


def nested_setting(settings: Mapping[str, Any], name: str) -> Any:
    group, _, rest = name.partition(".")
    value = settings.get(group)
    return nested_setting(value, rest) if rest and isinstance(value, Mapping) else value


def recorded_step_times(plan: Plan, wanted: set[Signature]) -> dict[Signature, StepTime]:
    """Of runs under the output folder, those of the sweep first, then the newest."""
    timed = [file for depth in ("*", "*/*") for file in plan.folder.parent.glob(f"{depth}/{files.TIMING}")]
    newest = sorted(timed, key=lambda file: (file.parent.parent != plan.folder, -file.stat().st_mtime))
    times: dict[Signature, StepTime] = {}
    for folder in (file.parent for file in newest[:MOST_FOLDERS]):
        if wanted <= times.keys():
            break
        with suppress(UserError):  # no figure for an estimate
            seconds, key = median_step(folder), signature(read_object(folder / files.CONFIG))
            if seconds is not None and key in wanted:
                times.setdefault(key, StepTime(seconds, str(folder)))
    return times


def median_step(folder: Path) -> float | None:
    times = [row["step_time"] for row in read_rows(folder, files.TIMING, running=True) if row["step_time"] is not None]
    return median(times[WARM_UP:] or times) if times else None


def measured_step_time(run: PlannedRun, launch: Path, threads: int) -> StepTime | str:
    """Of three steps in a temporary folder; why not, where that fails."""
    with tempfile.TemporaryDirectory() as place:
        config, output = Path(place) / "run.yaml", Path(place) / "output"
        write_yaml(config, to_dict(replace(run.experiment, output_dir=output)))
        words = [f"--{name}={value}" for name, value in MEASURING.items()]
        environment = os.environ | thread_limits(threads)
        command = [sys.executable, str(launch), "--config", str(config), *words]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"they took more than {SECONDS} s"
        if ended.returncode:
            return (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        (timing,) = output.glob(f"*/{files.TIMING}")
        seconds = median_step(timing.parent)
    return "no step was timed" if seconds is None else StepTime(seconds, f"{MEASURED_STEPS} steps of {run.name}, measured now")
