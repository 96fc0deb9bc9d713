"""Many runs: `uv run sweep.py --reward happy_binary --grid seed=42,123,7 beta=0.01,0.02`, or a sweep built in Python."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from configs.baselines import BASELINES
from configs.cli import ExperimentOptions, options_named, parse_with_config, run_main
from configs.errors import UserError
from configs.login import check_login
from configs.resolve import flatten
from configs.settings import AtLeastOne, NotNegativeInt, settings
from configs.sweep import Sweep, load_sweep, with_sample
from configs.sweep_words import sweep_from_words
from envs.prepare import bound_reward, folder_of, has_forget_components, prepare
from records.names import UNHACKABLE
from records.reader import read_sweep
from records.text import text_of
from runs.listing import help_sections
from sweeps.backends.backend import ScheduleOptions, check_schedule
from sweeps.backends.devices import gpus
from sweeps.backends.local import cpu_slots, needs_gpu
from sweeps.costs import Costs
from sweeps.dry_run import Slots, estimate, measured_costs, runs_table, slots_line
from sweeps.plan import Plan, PlannedRun, combinations, make_plan
from sweeps.plan_files import make_folder, strangers, write_plan
from sweeps.schedule import Outcome, only_sweep_in, run_plan, state_before

DESCRIPTION = """Run a grid of experiments, and their controls, and sum them up.

Examples:
  uv run sweep.py --reward happy_binary --grid seed=42,123,7 beta=0.01,0.02 --fixed max_steps=300
  uv run sweep.py --reward sentence_length_5_with_happy --routing.enabled --baselines --grid seed=42,123 labels.fraction=0.2,1.0
  uv run sweep.py --grid "reward=happy_count(cap=5),happy_binary" --dry_run
  uv run sweep.py --routing.enabled --grid seed=1..5 lr=1e-4,3e-4,1e-3 labels.fraction=0.2,0.5,1 --sample 20
  uv run sweep.py configs/sweeps/routing_ablation.py

The same command again goes on where it was interrupted."""
LAUNCH = Path(__file__).resolve().with_name("launch.py")
FAILED, STOPPED = 1, 130

# NAME=VALUE words after an option that may be given several times
Words = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]


@settings()
class SweepOptions(ExperimentOptions):
    not_offered: ClassVar[frozenset[str]] = ExperimentOptions.not_offered | {"overwrite", "wandb.group"}

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[FILE.py]")] = None
    """A Python file that builds a Sweep: its base, its grid, its baselines."""
    grid: Annotated[Words, tyro.conf.arg(metavar="NAME=VALUE,VALUE ...")] = ()
    """What varies: any of the settings below, by its dotted name, with all values of each. Every combination is a run."""
    fixed: Annotated[Words, tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """What all runs have in common; the same as --NAME VALUE."""
    baselines: bool = False
    """Add the controls of each routed run: unrouted, lora, filter, reward_penalty, and unhackable where the reward has a
    forget component to leave unpaid."""
    jobs: AtLeastOne | None = None
    """Runs at once on the CPU; by default as many as there are cores, or runs."""
    per_gpu: AtLeastOne = 1
    """Runs at once on each GPU."""
    max_parallel: AtLeastOne | Literal["memory"] | None = None
    """Runs at once in all, at the most; memory: as many as fit into what is free. By default what --jobs and --per_gpu say."""
    mps: Literal["start", "require", "ignore"] | None = None
    """CUDA's Multi-Process Service for several runs on a GPU; by default it is looked for, and said when it is missing."""
    backend: Literal["local", "ray"] = "local"
    """Where runs go: this machine, or a Ray cluster."""
    address: str | None = None
    """Of the Ray cluster."""
    retries: NotNegativeInt = 1
    """How often a run that failed is tried again."""
    sample: AtLeastOne | None = None
    """Of the grid's points only so many, drawn at random; by default all of them."""
    sample_seed: NotNegativeInt | None = None
    """Of that draw; by default 0."""
    dry_run: bool = False
    """Only list the runs and estimate their time."""


def parse_options(words: Sequence[str]) -> tuple[SweepOptions, Sweep]:
    """What a command line asks for. Raises UserError."""
    if "--resume" in words:
        raise UserError("--resume: not in a sweep; the same command again goes on where it was interrupted")
    options, named = parse_with_config(SweepOptions, words, DESCRIPTION, "sweep.py", sections=help_sections)
    file = Sweep()
    if options.file is not None:
        file = load_sweep(options.file)
        options, _ = parse_with_config(SweepOptions, words, DESCRIPTION, "sweep.py", SweepOptions(file.base))
    own_options = options_named(words) & flatten(file.base).keys()
    planned = sweep_from_words(file, str(options.file), options.experiment, options.grid, options.fixed, own_options)
    planned = with_sample(replace(planned, named=planned.named | named), options.sample, options.sample_seed)
    return options, replace(planned, baselines=all_baselines(planned)) if options.baselines else planned


def all_baselines(planned: Sweep) -> tuple[str, ...]:
    """What --baselines adds: the unhackable run where every routed run's reward has forget components to leave unpaid."""
    routed = (experiment for experiment, _ in combinations(planned)[0] if experiment.routing.enabled)
    pays_hacks = all(has_forget_components(bound_reward(experiment)) for experiment in routed)
    return tuple(name for name in BASELINES if pays_hacks or name != UNHACKABLE)


def sweep(words: Sequence[str]) -> int:
    options, planned = parse_options(words or ["--help"])
    devices = gpus()
    plan = make_plan(planned, partial(prepare, cuda_available=bool(devices), named=planned.named), folder_of)
    o = options
    schedule = ScheduleOptions(o.backend, o.address, o.jobs, o.per_gpu, o.mps, o.retries, o.max_parallel)
    check_schedule(plan, schedule)
    check_effects(options, {run.experiment.device for run in plan.runs}, planned.base.device)
    if options.backend == "local":
        check_login({run.experiment.wandb.mode for run in plan.runs})
    if options.baselines and UNHACKABLE not in planned.baselines:
        say("--baselines: unhackable is left out: a reward has no component with the role forget that could be left unpaid")
    if options.dry_run:
        dry_run(plan, schedule, devices)
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


def check_effects(options: SweepOptions, devices: set[str], device: str) -> None:
    """Raises UserError for settings of devices that no run uses; a GPU's, where there is none, may stay."""
    on_gpu, on_cpu = any(device != "cpu" for device in devices), "cpu" in devices
    if options.per_gpu != 1 and not on_gpu and device != "auto":
        raise UserError(f"--per_gpu {options.per_gpu}: has no effect with --device {device}")
    if options.per_gpu != 1 and not on_gpu:
        say(f"no GPU here: --per_gpu {options.per_gpu} is not used, runs go to the CPU")
    if options.jobs is not None and not on_cpu:
        raise UserError(f"--jobs {options.jobs}: has no effect: all runs go to a GPU; see --per_gpu")


def dry_run(plan: Plan, schedule: ScheduleOptions, devices: list[str]) -> None:
    """Lists the plan's runs with an estimate of their time; writes nothing."""
    states = {run.name: "finished" if state_before(plan, run) == "skipped" else "to run" for run in plan.runs}
    on_cpu = sum(not needs_gpu(run) for run in plan.runs)
    most = schedule.max_parallel if isinstance(schedule.max_parallel, int) else None
    slots = Slots(cpu_slots(schedule.jobs, on_cpu), tuple(devices), schedule.per_gpu, most)
    local = schedule.backend == "local"
    room = slots_line(plan, slots) if local else f"{len(plan.runs)} runs, as many at once as Ray has room for"
    print(f"{text_of(runs_table(plan, states))}\n\n{plan.folder}\n{room}")

    def measure(run: PlannedRun) -> Costs | str:
        say(f"no run to go by: the start, three steps and an evaluation of {run.name} are measured")
        at_once = 1 if needs_gpu(run) else min(slots.of(run), len(plan.runs))
        return measured_costs(run, LAUNCH, slots.threads_of(run), at_once)

    print("\n".join(estimate(plan, states, slots if local else None, measure)))


def sum_up(plan: Plan) -> None:
    """The summary, samples and the report of whatever has been run."""
    from reports import write_report  # here, because they take as long to import as all the rest
    from sweeps.answer import answers
    from sweeps.frontier import frontiers
    from sweeps.frontier_text import frontier_text
    from sweeps.summary import summarize_sweep, write_summary
    from sweeps.summary_text import answer_text, sample_lines, summary_table

    swept = read_sweep(plan.folder, damaged_fail=True)
    summary, answered = summarize_sweep(swept), answers(swept)
    write_summary(plan.folder, summary)
    answer = ["", answer_text(answered)] if answered else []
    frontier = ["", frontier_text(found)] if (found := frontiers(swept)) else []
    print("\n".join(["", *sample_lines(swept), "", summary_table(summary), *answer, *frontier, "", str(plan.folder)]))
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
