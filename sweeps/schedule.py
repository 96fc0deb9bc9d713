"""A plan carried out: what is left to run, with which command, and how its end is judged; the same for every backend.

The same call again continues: finished runs are skipped, interrupted and failed ones resume from their last checkpoint.
Ctrl-C, or SIGTERM, asks the running ones to write a checkpoint and stop; a second one kills them.
"""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from rich.console import Console

from configs.errors import UserError
from records.folder import read_json_file
from sweeps.backends import mps
from sweeps.backends.child import HEADER, Attempt
from sweeps.backends.devices import gpus
from sweeps.backends.local import Local, cores, needs_gpu
from sweeps.backends.ray import RayCluster
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import ACTIVE, Board

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch.py"
USER_ERROR, STOPPED = 2, 130  # exit codes of launch.py
BUSY = "is being trained by another process"  # said with USER_ERROR: of the process of a sweep, or node, that is gone
BUSY_SECONDS, BUSY_PAUSE = 90.0, 2.0  # how long to wait for its end; longer than `child.GRACE_SECONDS`
POLL_SECONDS = 0.2
SAME = 0.5  # seconds within which two signals are one Ctrl-C, passed on by the terminal and by `uv run`
LAST_LINES = 20


@dataclass(frozen=True)
class ScheduleOptions:
    """How a plan is carried out; no result depends on it."""

    backend: str = "local"  # or "ray"
    address: str | None = None  # of the Ray cluster
    jobs: int | None = None  # at once on the CPU; None: as many as there are cores
    per_gpu: int = 1  # at once on a GPU
    mps: str | None = None  # "start", "require", "ignore"; None: check and say
    retries: int = 0  # of a failed run


@dataclass(frozen=True)
class Outcome:
    """Together, all runs of the plan. `interrupted` counts those that a stop kept from starting, too."""

    finished: int
    skipped: int
    failed: int
    interrupted: int


class Backend(Protocol):
    """Where attempts run. A handle stands for one of them."""

    def start(self, run: PlannedRun, attempt: Attempt) -> Any | None:
        """A handle; None while there is no room."""

    def is_running(self, handle: Any) -> bool:
        """False while the backend itself has it wait."""
        ...

    def exit_code(self, handle: Any) -> int | None:
        """None until it has come to its end; negative for a signal."""

    def interrupt(self, handle: Any) -> None: ...

    def kill(self, handle: Any) -> None: ...

    def close(self) -> None:
        """Nothing goes on running."""


@dataclass
class Job:
    """A run on its way through a sweep."""

    run: PlannedRun
    attempt: Attempt
    state: str = "waiting"  # progress.STATES
    handle: Any | None = None
    not_before: float = 0.0
    busy_until: float | None = None


def run_plan(plan: Plan, options: ScheduleOptions, script: Path = LAUNCH, console: Console | None = None) -> Outcome:
    """Runs what is not finished yet. Raises UserError before anything is started.

    A run's failure is counted and recorded in failures.jsonl; it does not touch the others.
    """
    check(plan, options)
    with only_sweep_in(plan.folder):
        jobs = [Job(run, attempt_at(plan, run, script), state_before(plan, run)) for run in plan.runs]
        with Board(plan, console) as board:
            if any(job.state == "waiting" for job in jobs):
                backend = open_backend(plan, options, board.say)
                try:
                    work_off(jobs, backend, plan, options.retries, board)
                finally:
                    backend.close()
            board.update({job.run.name: job.state for job in jobs})
    count = Counter(job.state for job in jobs)
    return Outcome(count["finished"], count["skipped"], count["failed"], count["interrupted"])


def check(plan: Plan, options: ScheduleOptions) -> None:
    for name, least in (("jobs", 1), ("per_gpu", 1), ("retries", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: must be at least {least}")
    if options.backend not in ("local", "ray"):
        raise UserError(f"--backend {options.backend}: accepted are local, ray")
    if options.address is not None and options.backend != "ray":
        raise UserError(f"--address {options.address}: has no effect without --backend ray")
    if options.jobs is not None and options.backend == "ray":
        raise UserError(f"--jobs {options.jobs}: has no effect with --backend ray, which fills the cluster")
    if options.mps in ("start", "require") and not shares_gpus(plan, options):
        raise UserError(f"--mps {options.mps}: has no effect without several runs on a GPU of this machine (--per_gpu)")
    for run in plan.runs:
        if needs_gpu(run) and run.experiment.device != "cuda":
            raise UserError(f"--device {run.experiment.device}: a sweep hands out the GPUs itself; use cuda")


def shares_gpus(plan: Plan, options: ScheduleOptions) -> bool:
    """Whether several runs go onto one GPU of this machine."""
    return options.backend == "local" and options.per_gpu > 1 and any(map(needs_gpu, plan.runs))


@contextmanager
def only_sweep_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout:
        raise UserError(f"{folder}: another sweep is running there") from None


def attempt_at(plan: Plan, run: PlannedRun, script: Path) -> Attempt:
    folder = plan.folder.resolve()
    config, log = folder / "configs" / f"{run.name}.yaml", folder / "logs" / f"{run.name}.log"
    return Attempt(script.resolve(), config, folder / run.name, log, Path.cwd())


def state_before(plan: Plan, run: PlannedRun) -> str:
    """skipped when it is finished, else waiting. Raises UserError when its folder holds a run with other settings."""
    folder = plan.folder / run.name
    if not folder.exists():
        return "waiting"
    found = recorded(folder / "run.json").get("config_hash")
    if found != run.config_hash:
        raise UserError(f"{folder}: holds a run with other settings (hash {found}, not {run.config_hash}); nothing was started")
    return "skipped" if is_complete(plan, run) else "waiting"


def is_complete(plan: Plan, run: PlannedRun) -> bool:
    folder = plan.folder / run.name
    finished = recorded(folder / "status.json").get("state") == "finished"
    return finished and recorded(folder / "run.json").get("config_hash") == run.config_hash


def recorded(path: Path) -> dict[str, Any]:
    """Nothing where there is no such file, or a damaged one."""
    try:
        return read_json_file(path)
    except (OSError, ValueError):
        return {}


def open_backend(plan: Plan, options: ScheduleOptions, say: Callable[[str], None]) -> Backend:
    if options.backend == "ray":
        return RayCluster(options.address, options.per_gpu)
    on_gpu = sum(map(needs_gpu, plan.runs))
    found = gpus() if on_gpu else []
    if on_gpu and not found:
        raise UserError("--device cuda: no GPU was found here")
    if shares_gpus(plan, options):
        mps.ensure(options.mps, say)
    on_cpu = len(plan.runs) - on_gpu  # finished ones, too: a run's threads must not depend on how many are left
    return Local(found, options.per_gpu, options.jobs or max(1, min(cores(), on_cpu)))


def work_off(jobs: list[Job], backend: Backend, plan: Plan, retries: int, board: Board) -> None:
    """Starts jobs while there is room, judges them when they end, until all have ended or were stopped."""
    asked = 0
    with stop_signals() as stops:
        while any(job.state == "waiting" or job.handle is not None for job in jobs):
            if len(stops) > asked:
                asked = len(stops)
                stop(jobs, backend, board, at_once=asked > 1)
            for job in jobs:
                if job.state == "waiting" and job.handle is None and not asked and time.monotonic() >= job.not_before:
                    job.handle = backend.start(job.run, job.attempt)
                if job.handle is not None:
                    follow(job, backend, plan, retries, asked, board)
                if job.state == "waiting" and job.handle is None and asked:
                    job.state = "interrupted"
            board.update({job.run.name: job.state for job in jobs})
            time.sleep(POLL_SECONDS)


@contextmanager
def stop_signals() -> Iterator[list[float]]:
    """The times of SIGINT and SIGTERM within; outside the main thread, where Python cannot, signals stay as they are."""
    received: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(*_: object) -> None:
        if not received or time.monotonic() >= received[-1] + SAME:
            received.append(time.monotonic())

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop(jobs: list[Job], backend: Backend, board: Board, at_once: bool) -> None:
    going = [job for job in jobs if job.handle is not None]
    board.say(f"{'killing' if at_once else 'stopping'} runs ({len(going)}){'' if at_once else '; once more kills them'}")
    for job in going:
        (backend.kill if at_once else backend.interrupt)(job.handle)


def follow(job: Job, backend: Backend, plan: Plan, retries: int, asked: int, board: Board) -> None:
    """Takes note of where a started job has got to."""
    code = backend.exit_code(job.handle)
    if code is None:
        if job.state not in ACTIVE and backend.is_running(job.handle):
            job.state = "resumed" if last_attempt(job.attempt.log)[0].endswith("--resume") else "running"
        return
    job.handle = None
    said = last_attempt(job.attempt.log)[1:][-LAST_LINES:]
    if code == 0 and is_complete(plan, job.run):
        job.state = "finished"
    elif code == STOPPED or (asked and code < 0):
        job.state = "interrupted"
    elif code == USER_ERROR and any(BUSY in line for line in said) and may_wait(job):
        job.state = "waiting"
    else:
        fail(job, code, said, plan, again=code != USER_ERROR and not asked and job.attempt.number <= retries, board=board)


def may_wait(job: Job) -> bool:
    """For the end of another process in the run's folder; sets when to try again."""
    now = time.monotonic()
    job.busy_until = now + BUSY_SECONDS if job.busy_until is None else job.busy_until
    job.not_before = now + BUSY_PAUSE
    return now < job.busy_until


def fail(job: Job, code: int, said: list[str], plan: Plan, again: bool, board: Board) -> None:
    attempt = job.attempt
    row = {
        "run": job.run.name,
        "attempt": attempt.number,
        "exit_code": code,
        "command": attempt.shell_command(),
        "last_lines": said,
    }
    with (plan.folder / "failures.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    board.say(f"{job.run.name}: exit code {code}{', tried again' if again else ''}: {said[-1] if said else ''} ({attempt.log})")
    job.state = "waiting" if again else "failed"
    if again:
        job.attempt = replace(attempt, number=attempt.number + 1)


def last_attempt(log: Path) -> list[str]:
    """The log's lines from the last header on."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:  # it never started
        return [HEADER]
    return lines[max((i for i, line in enumerate(lines) if line.startswith(HEADER)), default=0) :] or [HEADER]
