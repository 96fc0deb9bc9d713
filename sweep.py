"""Many runs: `uv run sweep.py --reward happy_binary --grid seed=42,123,7 beta=0.01,0.02`, or a sweep built in Python."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from configs.cli import run_main
from configs.errors import UserError
from configs.sweep import SweepOptions, read_sweep
from envs.binding import folder_of, prepare
from sweeps.backends.devices import gpus
from sweeps.backends.local import cores, needs_gpu
from sweeps.dry_run import Slots, StepTime, estimate, measured_step_time, show_runs, slots_line
from sweeps.plan import Plan, PlannedRun, make_folder, make_plan, strangers, write_plan
from sweeps.schedule import Outcome, ScheduleOptions, check, only_sweep_in, run_plan, state_before
from sweeps.summary import sample_lines, summarize_sweep, summary_table, write_summary

DESCRIPTION = """Run a grid of experiments, and their controls, and sum them up.

Examples:
  uv run sweep.py --reward happy_binary --grid seed=42,123,7 beta=0.01,0.02 --fixed max_steps=300
  uv run sweep.py --reward sentence_length_5_with_happy --routing.enabled --baselines --grid seed=42,123 labels.fraction=0.2,1.0
  uv run sweep.py --grid "reward=happy_count(cap=5),happy_binary" --dry_run
  uv run sweep.py configs/sweeps/happy_routing.py

The same command again goes on where it was interrupted."""
LAUNCH = Path(__file__).resolve().with_name("launch.py")
FAILED, STOPPED = 1, 130


def sweep(words: Sequence[str]) -> int:
    options, asked = read_sweep(words or ["--help"], DESCRIPTION)
    found = gpus()
    plan = make_plan(asked, partial(prepare, cuda_available=bool(found)), folder_of, options.name)
    o = options
    schedule = ScheduleOptions(o.backend, o.address, o.jobs, o.per_gpu, o.mps, o.retries)
    check(plan, schedule)
    check_effects(options, {run.experiment.device for run in plan.runs}, asked.base.device)
    if options.dry_run:
        dry_run(plan, schedule, found)
        return 0
    make_folder(plan)
    with only_sweep_in(plan.folder):  # whose plan stays as it is
        write_plan(plan)
    for name in strangers(plan):
        say(f"{plan.folder / name}: no run of this sweep; it stays")
    try:
        outcome = run_plan(plan, schedule)
    except KeyboardInterrupt:  # before or after the schedule heeds it
        outcome = Outcome(0, 0, 0, len(plan.runs))
    sum_up(plan)
    if outcome.interrupted:
        say("interrupted; the same command goes on")
    return STOPPED if outcome.interrupted else FAILED if outcome.failed else 0


def check_effects(options: SweepOptions, devices: set[str], asked: str) -> None:
    """Raises UserError for settings of devices that no run uses; a GPU's, where there is none, may stay."""
    on_gpu, on_cpu = any(device != "cpu" for device in devices), "cpu" in devices
    if options.per_gpu != 1 and not on_gpu and asked != "auto":
        raise UserError(f"--per_gpu {options.per_gpu}: has no effect with --device {asked}")
    if options.per_gpu != 1 and not on_gpu:
        say(f"no GPU here: --per_gpu {options.per_gpu} is not used, runs go to the CPU")
    if options.jobs is not None and not on_cpu:
        raise UserError(f"--jobs {options.jobs}: has no effect: all runs go to a GPU; see --per_gpu")


def dry_run(plan: Plan, schedule: ScheduleOptions, found: list[str]) -> None:
    """Lists the plan's runs with an estimate of their time; writes nothing."""
    states = {run.name: "finished" if state_before(plan, run) == "skipped" else "to run" for run in plan.runs}
    on_cpu = sum(not needs_gpu(run) for run in plan.runs)
    slots = Slots(schedule.jobs or max(1, min(cores(), on_cpu)), tuple(found), schedule.per_gpu)
    console = Console()
    show_runs(plan, states, console)
    print(f"\n{plan.folder}")
    print(
        slots_line(plan, slots) if schedule.backend == "local" else f"{len(plan.runs)} runs, as many at once as Ray has room for"
    )

    def measure(run: PlannedRun) -> StepTime | str:
        say(f"no run to go by: three steps of {run.name} are measured")
        return measured_step_time(run, launch=LAUNCH, threads=max(1, cores() // slots.of(run)))

    print("\n".join(estimate(plan, states, slots if schedule.backend == "local" else None, measure)))


def sum_up(plan: Plan) -> None:
    """The summary, samples and the report of whatever has been run."""
    from reports import write_report  # here, because it takes as long to import as all the rest

    summary = summarize_sweep(plan)
    write_summary(plan.folder, summary)
    print("\n".join(["", *sample_lines(plan), "", summary_table(summary), "", str(plan.folder)]))
    try:
        print(write_report(plan.folder))
    except UserError as error:  # the runs' own files are at fault; what the sweep did is told by its exit code
        say(f"no report: {error}")


def say(text: str) -> None:
    print(text, file=sys.stderr)


def main(words: Sequence[str] | None = None) -> int:
    return run_main(lambda: sweep(sys.argv[1:] if words is None else words))


if __name__ == "__main__":
    sys.exit(main())
