"""Runs on this machine: a process each, on the least loaded device that has room."""

import os
import time
from collections import Counter
from collections.abc import Collection
from subprocess import Popen

from sweeps.backends import child
from sweeps.backends.child import Attempt
from sweeps.memory import CPU, Memory, observed
from sweeps.plan import PlannedRun

LOOK_SECONDS = 1.0  # between looks at the memory of runs


class Local:
    """Room for `per_gpu` runs on each GPU, and for `jobs` on the CPU. Handles are processes."""

    def __init__(self, gpus: list[str], per_gpu: int, jobs: int, memory: Memory | None = None):
        self.memory, self.next_look = memory, 0.0
        self.room = {CPU: jobs} | dict.fromkeys(gpus, per_gpu)
        self.device: dict[Popen[bytes], str] = {}  # of what runs

    def start(self, run: PlannedRun, attempt: Attempt) -> Popen[bytes] | None:
        """A handle; None while there is no room."""
        device = self.least_loaded(run)
        if device is None:
            return None
        started = child.start(attempt, self.environment(device))
        self.device[started] = device
        return started

    def least_loaded(self, run: PlannedRun) -> str | None:
        load = Counter(self.device.values())
        fitting = [device for device in self.room if (device == CPU) != needs_gpu(run) and load[device] < self.room[device]]
        if self.memory is not None:
            fitting = [device for device in fitting if self.memory.allows(device, load)]
        return min(fitting, key=lambda device: load[device], default=None)

    def environment(self, device: str) -> dict[str, str]:
        """The cores are shared out evenly among as many runs as there is room for."""
        at_once = self.room[CPU] if device == CPU else sum(room for name, room in self.room.items() if name != CPU)
        return thread_limits(max(1, cores() // at_once)) | ({} if device == CPU else {"CUDA_VISIBLE_DEVICES": device})

    def is_running(self, handle: Popen[bytes]) -> bool:
        """False while the backend itself has it wait."""
        return handle in self.device

    def look(self, stepped: Collection[Popen[bytes]]) -> None:
        """How much memory runs have, of those that have made a step."""
        now = time.monotonic()
        if self.memory is not None and stepped and now >= self.next_look:
            self.next_look = now + LOOK_SECONDS
            self.memory.learn(observed(self.device, stepped, self.memory.free), self.room)

    def exit_code(self, handle: Popen[bytes]) -> int | None:
        """None until it has come to its end; negative for a signal."""
        code = child.exit_code(handle)
        if code is not None:
            self.device.pop(handle, None)
        return code

    interrupt = staticmethod(child.interrupt)
    kill = staticmethod(child.kill)

    def close(self) -> None:
        """Nothing goes on running."""
        for handle in [*self.device]:
            child.kill(handle)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_limits(threads: int) -> dict[str, str]:
    """Of the environment of one run."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def needs_gpu(run: PlannedRun) -> bool:
    return run.experiment.device.startswith("cuda")


def cpu_slots(jobs: int | None, on_cpu: int) -> int:
    """Runs at once on the CPU: `jobs`, or as many as there are cores or such runs."""
    return jobs or max(1, min(cores(), on_cpu))
