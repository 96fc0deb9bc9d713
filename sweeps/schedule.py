"""A plan carried out: what is left to run, and with which command.

The same call again continues: finished runs are skipped, interrupted and failed ones resume from their last checkpoint.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from configs.errors import UserError
from records import files
from sweeps.backends.backend import ScheduleOptions, check_schedule, open_backend
from sweeps.backends.child import Attempt
from sweeps.board import Board
from sweeps.costs import most_memory
from sweeps.jobs import Job, state_before, work_off
from sweeps.plan import Plan, PlannedRun

LAUNCH = Path(__file__).resolve().parents[1] / "launch.py"


@dataclass(frozen=True)
class Outcome:
    """Together, all runs of the plan. `finished` counts those that a stop rule ended, `interrupted` those never started."""

    finished: int
    skipped: int
    failed: int
    interrupted: int
    is_stopped: bool = False  # somebody asked for it, perhaps too late for any run


def run_plan(plan: Plan, options: ScheduleOptions, script: Path = LAUNCH, console: Console | None = None) -> Outcome:
    """Runs what is not finished yet. Raises UserError before anything is started.

    A run's failure is counted and recorded in failures.jsonl; it does not touch the others.
    """
    check_schedule(plan, options)
    with only_sweep_in(plan.folder):
        jobs = [Job(run, attempt_at(plan, run, script), state_before(plan, run)) for run in plan.runs]
        is_stopped = False
        with Board(plan, console) as board:
            if any(job.state == "waiting" for job in jobs):
                known = most_memory([*board.expectations.before.values()])
                backend = open_backend(plan, options, board.say, known)
                most = options.max_parallel if isinstance(options.max_parallel, int) else len(jobs)
                try:
                    is_stopped = work_off(jobs, backend, plan, options.retries, board, most)
                finally:
                    backend.close()
            board.update({job.run.name: job.state for job in jobs})
    count = Counter(job.state for job in jobs)
    return Outcome(count["finished"] + count["stopped"], count["skipped"], count["failed"], count["interrupted"], is_stopped)


@contextmanager
def only_sweep_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / files.LOCK, blocking=False):
            yield
    except Timeout:
        raise UserError(f"{folder}: another sweep is running there") from None


def attempt_at(plan: Plan, run: PlannedRun, script: Path) -> Attempt:
    folder = plan.folder.resolve()
    config, log = folder / files.CONFIGS / f"{run.name}.yaml", folder / files.LOGS / f"{run.name}.log"
    return Attempt(script.resolve(), config, folder / run.name, log, Path.cwd())
