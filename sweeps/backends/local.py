"""Runs on this machine: a process each, on the least loaded device that has room."""

import os
from collections import Counter
from subprocess import Popen

from sweeps.backends import child
from sweeps.backends.child import Attempt
from sweeps.plan import PlannedRun

CPU = "cpu"


class Local:
    """Room for `per_gpu` runs on each GPU, and for `jobs` on the CPU. Handles are processes."""

    def __init__(self, gpus: list[str], per_gpu: int, jobs: int):
        self.room = {CPU: jobs} | dict.fromkeys(gpus, per_gpu)
        self.device: dict[Popen[bytes], str] = {}  # of what runs

    def start(self, run: PlannedRun, attempt: Attempt) -> Popen[bytes] | None:
        """None when there is no room."""
        device = self.least_loaded(run)
        if device is None:
            return None
        started = child.start(attempt, self.environment(device))
        self.device[started] = device
        return started

    def least_loaded(self, run: PlannedRun) -> str | None:
        load = Counter(self.device.values())
        fitting = [device for device in self.room if (device == CPU) != needs_gpu(run) and load[device] < self.room[device]]
        return min(fitting, key=lambda device: load[device], default=None)

    def environment(self, device: str) -> dict[str, str]:
        """The cores are shared out evenly among as many runs as there is room for."""
        at_once = self.room[CPU] if device == CPU else sum(room for name, room in self.room.items() if name != CPU)
        threads = str(max(1, cores() // at_once))
        shares = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        return shares if device == CPU else shares | {"CUDA_VISIBLE_DEVICES": device}

    def is_running(self, handle: Popen[bytes]) -> bool:
        return handle in self.device

    def exit_code(self, handle: Popen[bytes]) -> int | None:
        code = child.exit_code(handle)
        if code is not None:
            self.device.pop(handle, None)
        return code

    def interrupt(self, handle: Popen[bytes]) -> None:
        child.interrupt(handle)

    def kill(self, handle: Popen[bytes]) -> None:
        child.kill(handle)

    def close(self) -> None:
        """Nothing goes on running."""
        for handle in [*self.device]:
            child.kill(handle)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def needs_gpu(run: PlannedRun) -> bool:
    return run.experiment.device.startswith("cuda")
