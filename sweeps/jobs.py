"""Runs on their way through a sweep: started while there is room, judged when they end; the same for every backend.

Ctrl-C, or SIGTERM, asks the running ones to write a checkpoint and stop; a second one kills them.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.errors import UserError
from records import files
from records.names import BROKEN
from records.reader import is_finished, is_not_loaded, is_run, read_status
from records.rows import read_object
from records.signals import stop_request
from sweeps.backends.backend import Backend
from sweeps.backends.child import HEADER, Attempt
from sweeps.board import Board
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import ACTIVE

FAILURE, USER_ERROR, STOPPED = 1, 2, 130  # exit codes of launch.py
BUSY = "is being trained by another process"  # said with USER_ERROR: of the process of a sweep, or node, that is gone
BUSY_SECONDS, BUSY_PAUSE = 90.0, 2.0  # how long to wait for its end; longer than `child.GRACE_SECONDS`
POLL_SECONDS = 0.2
LAST_LINES = 20


@dataclass
class Job:
    """A run on its way through a sweep."""

    run: PlannedRun
    attempt: Attempt
    state: str = "waiting"  # progress.STATES
    handle: Any = None  # the backend's; None while it does not run
    not_before: float = 0.0
    busy_until: float | None = None


def state_before(plan: Plan, run: PlannedRun) -> str:
    """skipped when it is finished, else waiting. Raises UserError when its folder holds a run with other settings."""
    folder = plan.folder / run.name
    if not folder.exists():
        return "waiting"
    recorded = read_object(folder / files.MADE_OF).get("config_hash")
    if is_run(folder) and is_not_loaded(folder):  # launch.py compares its settings
        return "waiting"
    if recorded != run.config_hash:
        raise UserError(
            f"{folder}: holds a run with other settings (hash {recorded}, not {run.config_hash}); nothing was started"
        )
    return "skipped" if is_finished(folder) else "waiting"


def work_off(jobs: list[Job], backend: Backend, plan: Plan, retries: int, board: Board, most: int) -> bool:
    """Until all have ended or were stopped, at most so many at once. Tells whether somebody asked to stop."""
    stops = 0
    with stop_request() as request, request.deferred(2):
        while any(job.state == "waiting" or job.handle is not None for job in jobs):
            if request.count > stops:
                stops = request.count
                stop_running(jobs, backend, board, at_once=stops > 1)
            for job in jobs:
                if not stops and may_start(job) and sum(each.handle is not None for each in jobs) < most:
                    job.handle = backend.start(job.run, job.attempt)
                if job.handle is not None:
                    follow_job(job, backend, plan, retries, stops > 0, board)
                if job.state == "waiting" and job.handle is None and stops:
                    job.state = "interrupted"
            board.update({job.run.name: job.state for job in jobs})
            backend.look([job.handle for job in jobs if job.handle is not None and board.runs[job.run.name].progress.steps])
            time.sleep(POLL_SECONDS)
        return request.requested


def may_start(job: Job) -> bool:
    return job.state == "waiting" and job.handle is None and time.monotonic() >= job.not_before


def stop_running(jobs: list[Job], backend: Backend, board: Board, at_once: bool) -> None:
    running = [job for job in jobs if job.handle is not None]
    board.say(f"{'killing' if at_once else 'stopping'} runs ({len(running)}){'' if at_once else '; once more kills them'}")
    for job in running:
        (backend.kill if at_once else backend.interrupt)(job.handle)


def follow_job(job: Job, backend: Backend, plan: Plan, retries: int, stopping: bool, board: Board) -> None:
    """Takes note of where a started job has got to."""
    code = backend.exit_code(job.handle)
    if code is None:
        if job.state not in ACTIVE and backend.is_running(job.handle):
            job.state = "resumed" if last_attempt(job.attempt.log)[0].endswith("--resume") else "running"
        return
    job.handle = None
    printed = last_attempt(job.attempt.log)[1:][-LAST_LINES:]
    if code == 0 and is_complete(plan, job.run):
        job.state = read_status(plan.folder / job.run.name)["state"]  # finished or stopped
    elif code == STOPPED or (stopping and code < 0):
        job.state = "interrupted"
    elif code == USER_ERROR and any(BUSY in line for line in printed) and may_wait(job):
        job.state = "waiting"
    else:
        may_differ = code != USER_ERROR and not (code == FAILURE and is_broken(plan.folder / job.run.name))
        again = may_differ and not stopping and job.attempt.number <= retries
        record_failure(job, code, printed, plan, again, board)


def is_complete(plan: Plan, run: PlannedRun) -> bool:
    with suppress(UserError):  # damaged files
        return state_before(plan, run) == "skipped"
    return False


def is_broken(folder: Path) -> bool:
    """Whether its figures broke, as they would again: a run is the same from the same seed."""
    with suppress(UserError):
        return str(read_status(folder).get("error") or "").startswith(BROKEN)
    return False


def may_wait(job: Job) -> bool:
    """For the end of another process in the run's folder; sets when to try again."""
    now = time.monotonic()
    job.busy_until = now + BUSY_SECONDS if job.busy_until is None else job.busy_until
    job.not_before = now + BUSY_PAUSE
    return now < job.busy_until


def record_failure(job: Job, code: int, printed: list[str], plan: Plan, again: bool, board: Board) -> None:
    attempt = job.attempt
    row = {"run": job.run.name, "attempt": attempt.number, "exit_code": code, "command": attempt.shell_command()}
    with (plan.folder / files.FAILURES).open("a") as file:
        file.write(json.dumps(row | {"last_lines": printed}) + "\n")
    last = printed[-1] if printed else ""
    board.say(f"{job.run.name}: exit code {code}{', tried again' if again else ''}: {last} ({attempt.log})")
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
