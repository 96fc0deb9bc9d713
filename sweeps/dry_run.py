"""What a plan would do: its runs in a table, where they would run, and how long it takes by steps that were measured.

Step times come from runs that lie in the output folder and have the same model, batch, lengths and kind; where there is
none, three steps of the plan's first run are measured in a temporary folder. Nothing is written into the output folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.experiment import Experiment
from configs.naming import to_dict
from records.folder import read_rows
from sweeps.backends.local import needs_gpu
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import duration

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


def show_runs(plan: Plan, states: Mapping[str, str], console: Console) -> None:
    """A table on a terminal, aligned lines elsewhere."""
    heads = ("run", "kind", "configuration", "device", "state")
    rows = [(run.name, run.kind, run.configuration, run.experiment.device, states[run.name]) for run in plan.runs]
    if console.is_terminal:
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for line in aligned([heads, *rows]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def slots_line(plan: Plan, slots: Slots) -> str:
    on_gpus = sum(map(needs_gpu, plan.runs))
    told = [f"{len(plan.runs) - on_gpus} on the CPU, {slots.cpu} at once"] if on_gpus < len(plan.runs) else []
    if on_gpus:
        told.append(f"{on_gpus} on GPU {', '.join(slots.gpus)}, {slots.per_gpu} at once on each")
    return f"{len(plan.runs)} runs: {'; '.join(told)}"


def estimate(
    plan: Plan, states: Mapping[str, str], slots: Slots | None, measure: Callable[[PlannedRun], StepTime | str]
) -> list[str]:
    """Lines that tell how long the runs that are left take, and what that rests on. Without slots, as one after another."""
    left = [run for run in plan.runs if states[run.name] != "finished"]
    if not left:
        return ["nothing is left to run"]
    times = recorded_step_times(plan, {signature(run.experiment) for run in left})
    if not times:
        measured = measure(left[0])
        if isinstance(measured, str):
            return [f"no estimate: three steps of {left[0].name} could not be measured: {measured}"]
        times[signature(left[0].experiment)] = measured
    fallback = next(iter(times.values()))
    seconds = {run.name: times.get(signature(run.experiment), fallback).seconds * run.experiment.max_steps for run in left}
    sources = dict.fromkeys(f"{time.seconds:.3g} s a step, the median of {time.source}" for time in times.values())
    unknown = [run for run in left if signature(run.experiment) not in times]
    if unknown:
        sources[
            f"{len(unknown)} runs of another kind ({', '.join(sorted({run.kind for run in unknown}))}): taken as the first"
        ] = None
    if slots is None:
        return [f"about {duration(sum(seconds.values()))} of runs, evaluations not counted:", *(f"  {line}" for line in sources)]
    whole = max(together(seconds, [run for run in left if needs_gpu(run) == gpu], slots) for gpu in (False, True))
    return [f"about {duration(whole)} for {len(left)} runs, evaluations not counted:", *(f"  {line}" for line in sources)]


def together(seconds: Mapping[str, float], runs: Sequence[PlannedRun], slots: Slots) -> float:
    """Of runs that share slots; no shorter than the longest of them."""
    own = [seconds[run.name] for run in runs]
    return max(sum(own) / slots.of(runs[0]), *own) if runs else 0.0


def signature(settings: Experiment | Mapping[str, Any]) -> Signature:
    """What step times depend on, of an experiment or of what its config.yaml holds."""
    if isinstance(settings, Experiment):
        settings = to_dict(settings)
    return (*(setting(settings, name) for name in SAME), str(settings.get("device")).partition(":")[0])


def setting(settings: Mapping[str, Any], name: str) -> Any:
    group, _, rest = name.partition(".")
    value = settings.get(group)
    return setting(value, rest) if rest and isinstance(value, Mapping) else value


def recorded_step_times(plan: Plan, wanted: set[Signature]) -> dict[Signature, StepTime]:
    """Of runs under the output folder, those of the sweep first, then the newest."""
    files = [*plan.folder.parent.glob("*/timing.jsonl"), *plan.folder.parent.glob("*/*/timing.jsonl")]
    newest = sorted(files, key=lambda file: (file.parent.parent != plan.folder, -file.stat().st_mtime))
    found: dict[Signature, StepTime] = {}
    for file in newest[:MOST_FOLDERS]:
        if wanted <= found.keys():
            break
        try:
            settings = yaml.load((file.parent / "config.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            seconds = median_step(file.parent)
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # no figure for an estimate
            continue
        if seconds is not None and (key := signature(settings)) in wanted:
            found.setdefault(key, StepTime(seconds, str(file.parent)))
    return found


def median_step(folder: Path) -> float | None:
    times = [float(row["step_time"]) for row in read_rows(folder, "timing.jsonl")]
    return median(times[WARM_UP:] or times) if times else None


def measured_step_time(run: PlannedRun, launch: Path, threads: int) -> StepTime | str:
    """Of three steps in a temporary folder; why not, where that fails."""
    with tempfile.TemporaryDirectory() as place:
        config, output = Path(place) / "run.yaml", Path(place) / "output"
        settings = replace(run.experiment, output_dir=output)
        config.write_text(yaml.safe_dump(to_dict(settings), sort_keys=False))
        words = [f"--{name}={value}" for name, value in MEASURING.items()]
        shares = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        command = [sys.executable, str(launch), "--config", str(config), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ | shares, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"they took more than {SECONDS} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        (folder,) = output.iterdir()
        seconds = median_step(folder)
        return (
            "no step was timed" if seconds is None else StepTime(seconds, f"{MEASURED_STEPS} steps of {run.name}, measured now")
        )
