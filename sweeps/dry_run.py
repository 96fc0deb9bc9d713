"""What a plan would do: its runs in a table, where they would run, and how long it takes by runs that were measured.

Where no run of the plan's kinds lies in the output folder, its first run is measured: its start, three steps and a small
evaluation, in a temporary folder, as often at once as runs would go on. Nothing is written into the output folder.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep

from rich.table import Table

from configs.naming import to_dict
from records import files
from records.figures import duration
from records.folder import write_yaml
from records.text import plain_table
from sweeps.backends import child
from sweeps.backends.child import Attempt
from sweeps.backends.local import cores, needs_gpu, thread_limits
from sweeps.costs import Costs, costs_of, median_costs, recorded_costs, run_seconds, seconds_on_slots, signature_of
from sweeps.jobs import last_attempt
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import read_progress

MEASURED_STEPS, MEASURED_SAMPLES, SECONDS = 3, 128, 900


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
) -> tuple[float | None, list[str]]:
    """The seconds that the runs that are left take, None where that can not be measured, and lines that tell it and what it
    rests on. Without slots, as one after another.
    """
    left = [run for run in plan.runs if states[run.name] != "finished"]
    if not left:
        return 0.0, ["nothing is left to run"]
    kinds = {run.name: signature_of(run.experiment) for run in left}
    known = recorded_costs(plan.folder.parent, plan.folder, {*kinds.values()})
    if not known:
        measured = measure(left[0])
        if isinstance(measured, str):
            return None, [f"no estimate: {left[0].name} could not be measured: {measured}"]
        known[kinds[left[0].name]] = measured
    usual = next(iter(known.values()))
    seconds = {
        run.name: run_seconds(known.get(kinds[run.name], usual), run.experiment, read_progress(plan.folder / run.name).steps or 0)
        for run in left
    }
    sources = [f"  {costs_text(costs)}" for costs in known.values()]
    if unknown := [run.kind for run in left if kinds[run.name] not in known]:
        sources.append(f"  {len(unknown)} runs of another kind ({', '.join(sorted({*unknown}))}): taken as the first")
    whole = whole_seconds(left, seconds, slots)
    place = "of runs" if slots is None else f"for {len(left)} runs"
    return whole, [f"about {duration(whole)} {place}, starts and evaluations counted:", *sources]


def costs_text(costs: Costs) -> str:
    each = f"{costs.completion * 1000:.3g} ms a completion of an evaluation"
    return f"{costs.start:.3g} s to start, {costs.step:.3g} s a step, {each}: {costs.source}"


def whole_seconds(left: Sequence[PlannedRun], seconds: Mapping[str, float], slots: Slots | None) -> float:
    if slots is None:
        return sum(seconds.values())
    places = [group for gpu in (False, True) if (group := [run for run in left if needs_gpu(run) == gpu])]
    return max(seconds_on_slots([seconds[run.name] for run in runs], slots.of(runs[0])) for runs in places)


def series_text(seconds: Mapping[str, float | None]) -> str:
    """Of sweeps one after another: the whole of their estimates, None being of those that have none."""
    known = [each for each in seconds.values() if each is not None]
    without = [name for name, each in seconds.items() if each is None]
    more = [f"there is no estimate of {', '.join(without)}"] if without else []
    whole = [f"{'at least' if without else 'about'} {duration(sum(known))}"] if known else []
    return f"all {len(seconds)} sweeps: {'; '.join(whole + more)}"


# Measuring


def measured_costs(run: PlannedRun, launch: Path, threads: int, at_once: int = 1) -> Costs | str:
    """The median of `at_once` processes, as the sweep starts them, that measure the same run; why not, where that fails."""
    end = monotonic() + SECONDS
    with ExitStack() as stack:
        places = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(at_once)]
        attempts = [measuring_attempt(run, launch, place) for place in places]
        started = [child.start(attempt, thread_limits(threads)) for attempt in attempts]
        for process in started:
            stack.callback(child.kill, process)
        for process, attempt in zip(started, attempts, strict=True):
            while (code := child.exit_code(process)) is None:
                if monotonic() > end:
                    return f"it took more than {SECONDS} s"
                sleep(0.1)
            if code:
                return (last_attempt(attempt.log)[1:] or [f"exit code {code}"])[-1]
        folders = [file.parent for place in places for file in place.glob(f"output/*/{files.TIMING}")]
        known = [costs for folder in folders if (costs := costs_of(folder, shares_base=False)) is not None]
    if not known:
        return "no step was timed"
    return replace(median_costs(known), source=f"{MEASURED_STEPS} steps and an evaluation of {run.name}, measured now")


def measuring_attempt(run: PlannedRun, launch: Path, place: Path) -> Attempt:
    """Of three steps and one evaluation, without wandb, in `place`."""
    asked = run.experiment
    samples = min(MEASURED_SAMPLES, asked.eval.final_samples or asked.eval.num_prompts)
    steps = {"max_steps": MEASURED_STEPS, "eval_every": MEASURED_STEPS, "save_steps": MEASURED_STEPS, "stop_rule": "none"}
    small = replace(
        asked, **steps, output_dir=place / "output",
        grpo=replace(asked.grpo, warmup_steps=0),
        eval=replace(asked.eval, num_prompts=1, final_samples=samples, relearn_steps=0, relearn_hack_rate=None),
        wandb=replace(asked.wandb, mode="disabled"),
    )  # fmt: skip
    write_yaml(place / "run.yaml", to_dict(small))
    return Attempt(launch, place / "run.yaml", place / "none", place / "log", Path.cwd())
