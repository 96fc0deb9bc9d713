"""What a plan would do: its runs in a table, where they would run, and how long it takes by runs that were measured.

Where no run of the plan's kinds lies in the output folder, its first run is measured: its start, three steps and a small
evaluation, in a temporary folder, as often at once as runs would go on. Nothing is written into the output folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from rich.table import Table

from configs.naming import to_dict
from records import files
from records.figures import duration
from records.folder import write_yaml
from records.text import plain_table
from sweeps.backends.local import cores, needs_gpu, thread_limits
from sweeps.costs import Costs, costs_of, median_costs, recorded_costs, run_seconds, seconds_on_slots, signature_of
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import read_progress

MEASURED_STEPS, MEASURED_SAMPLES, SECONDS = 3, 128, 900
# Of a measurement: one evaluation, and nothing for wandb.
MEASURING = {
    "max_steps": MEASURED_STEPS, "eval_every": MEASURED_STEPS, "save_steps": MEASURED_STEPS, "eval.num_prompts": 1,
    "grpo.warmup_steps": 0, "wandb.mode": "disabled",
}  # fmt: skip


@dataclass(frozen=True)
class Slots:
    """How many runs go on at once."""

    cpu: int
    gpus: tuple[str, ...]
    per_gpu: int
    most: int | None = None  # over all devices

    def of(self, run: PlannedRun) -> int:
        room = len(self.gpus) * self.per_gpu if needs_gpu(run) else self.cpu
        return min(room, self.most or room)

    def threads_of(self, run: PlannedRun) -> int:
        room = len(self.gpus) * self.per_gpu if needs_gpu(run) else self.cpu
        return max(1, cores() // room)


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
    most = f"; at most {slots.most} in all" if slots.most else ""
    return f"{len(plan.runs)} runs: {'; '.join(places)}{most}"


def estimate(
    plan: Plan, states: Mapping[str, str], slots: Slots | None, measure: Callable[[PlannedRun], Costs | str]
) -> list[str]:
    """Lines that tell how long the runs that are left take, and what that rests on. Without slots, as one after another."""
    left = [run for run in plan.runs if states[run.name] != "finished"]
    if not left:
        return ["nothing is left to run"]
    kinds = {run.name: signature_of(run.experiment) for run in left}
    known = recorded_costs(plan.folder.parent, plan.folder, {*kinds.values()})
    if not known:
        measured = measure(left[0])
        if isinstance(measured, str):
            return [f"no estimate: {left[0].name} could not be measured: {measured}"]
        known[kinds[left[0].name]] = measured
    usual = next(iter(known.values()))
    seconds = {
        run.name: run_seconds(known.get(kinds[run.name], usual), run.experiment, read_progress(plan.folder / run.name).steps or 0)
        for run in left
    }
    sources = [f"  {costs_text(costs)}" for costs in known.values()]
    if unknown := [run.kind for run in left if kinds[run.name] not in known]:
        sources.append(f"  {len(unknown)} runs of another kind ({', '.join(sorted({*unknown}))}): taken as the first")
    return [f"about {whole_text(left, seconds, slots)}, starts and evaluations counted:", *sources]


def costs_text(costs: Costs) -> str:
    each = f"{costs.completion * 1000:.3g} ms a completion of an evaluation"
    return f"{costs.start:.3g} s to start, {costs.step:.3g} s a step, {each}: {costs.source}"


def whole_text(left: Sequence[PlannedRun], seconds: Mapping[str, float], slots: Slots | None) -> str:
    if slots is None:
        return f"{duration(sum(seconds.values()))} of runs"
    places = [group for gpu in (False, True) if (group := [run for run in left if needs_gpu(run) == gpu])]
    whole = max(seconds_on_slots([seconds[run.name] for run in runs], slots.of(runs[0])) for runs in places)
    return f"{duration(whole)} for {len(left)} runs"


# Measuring


def measured_costs(run: PlannedRun, launch: Path, threads: int, at_once: int = 1) -> Costs | str:
    """The median of `at_once` processes that measure the same run beside one another; why not, where that fails."""
    with ExitStack() as stack:
        places = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(at_once)]
        children = [stack.enter_context(measuring_process(run, launch, threads, place)) for place in places]
        end, known = monotonic() + SECONDS, []
        for child, place in zip(children, places, strict=True):
            try:
                _, said = child.communicate(timeout=max(0.0, end - monotonic()))
            except subprocess.TimeoutExpired:
                for each in children:
                    each.kill()
                return f"it took more than {SECONDS} s"
            if child.returncode:
                return (said.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
            (timing,) = (place / "output").glob(f"*/{files.TIMING}")
            known.append(costs_of(timing.parent, shares_base=False))
    if None in known:
        return "no step was timed"
    return replace(median_costs(known), source=f"{MEASURED_STEPS} steps and an evaluation of {run.name}, measured now")


def measuring_process(run: PlannedRun, launch: Path, threads: int, place: Path) -> subprocess.Popen[str]:
    experiment = replace(run.experiment, output_dir=place / "output", stop_rule="none")
    write_yaml(place / "run.yaml", to_dict(experiment))
    samples = min(MEASURED_SAMPLES, experiment.eval.final_samples or experiment.eval.num_prompts)
    words = [f"--{name}={value}" for name, value in (MEASURING | {"eval.final_samples": samples}).items()]
    command = [sys.executable, str(launch), "--config", str(place / "run.yaml"), *words]
    environment = os.environ | thread_limits(threads)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
