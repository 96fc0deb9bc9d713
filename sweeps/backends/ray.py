"""Runs on the machines of a Ray cluster that is already there. Ray decides where and when, and tries again after a node's death.

Every machine has the repository, the sweep's folder and this directory under the same paths, and a Python with the
project's packages. A run that Ray moves to another node goes on from its last checkpoint.
"""

import logging
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from types import ModuleType
from typing import Any

from configs.errors import UserError
from sweeps.backends.child import Attempt, run_attempt
from sweeps.backends.local import needs_gpu, thread_limits
from sweeps.plan import PlannedRun

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = thread_limits(1)  # of a run, which has one CPU
LOST_NODES = 100  # so many of them a run survives
# Ray would ship the working directory to every node when it finds itself under `uv run`, and hide GPUs from tasks without.
QUIET = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass
class Handle:
    """One attempt."""

    reference: Any  # Ray's, to its exit code
    log: Path
    length: int  # of the log, before
    killed: bool = False


class RayCluster:
    """Room for as many runs as Ray finds room for: a CPU each, or a CPU and 1/`per_gpu` of a GPU."""

    def __init__(self, address: str | None, per_gpu: int):
        self.ray = connect(address or "auto")
        self.per_gpu = per_gpu
        self.task = self.ray.remote(run_attempt)

    def start(self, run: PlannedRun, attempt: Attempt) -> Handle:
        gpus = 1 / self.per_gpu if needs_gpu(run) else 0
        task = self.task.options(name=run.name, num_cpus=1, num_gpus=gpus, max_retries=LOST_NODES, retry_exceptions=False)
        length = length_of(attempt.log)
        return Handle(task.remote(attempt, ENVIRONMENT), attempt.log, length)

    def is_running(self, handle: Handle) -> bool:
        """Its process has written the log's header."""
        return length_of(handle.log) > handle.length

    def look(self, stepped: Collection[Handle]) -> None:
        """Memory is that of other machines, which Ray knows of."""

    def exit_code(self, handle: Handle) -> int | None:
        if handle.killed:
            return -SIGKILL
        if not self.ray.wait([handle.reference], timeout=0)[0]:
            return None
        try:
            return self.ray.get(handle.reference)
        except self.ray.exceptions.TaskCancelledError:
            return -SIGKILL
        except self.ray.exceptions.RayError as error:
            with handle.log.open("a") as log:
                log.write(f"{error}\n")
            return 1

    def interrupt(self, handle: Handle) -> None:
        """A KeyboardInterrupt in the task, which passes it on; what is still in Ray's queue is taken out."""
        self.ray.cancel(handle.reference, force=False)

    def kill(self, handle: Handle) -> None:
        """With its worker's process gone, the child's pipe closes."""
        self.ray.cancel(handle.reference, force=True)
        handle.killed = True

    def close(self) -> None:
        self.ray.shutdown()


def connect(address: str) -> ModuleType:
    """Raises UserError where Ray is not installed or no cluster can be reached."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # before the import, which reads them
    try:
        import ray
        from ray.job_config import JobConfig
    except ImportError as error:
        raise UserError("--backend ray: Ray is not installed; install the extra: uv sync --extra ray") from error
    try:
        check_reachable(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        job = JobConfig(code_search_path=[str(ROOT)])
        ray.init(address=address, job_config=job, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:  # among them ConnectionError
        reason = " ".join(str(error).split())
        raise UserError(f"--address {address}: no Ray cluster was reached; `ray start --head` starts one ({reason})") from error
    return ray


def check_reachable(address: str) -> None:
    """Raises OSError when nothing listens at HOST:PORT; Ray itself would try for minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def length_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
