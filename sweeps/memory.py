"""How many runs fit into memory at once: what is free when the sweep starts, and the most that any of its runs has had.

A run has had its most early, for its preflight is a step at the longest length; until one has made a step, only one goes on.
On a GPU what runs have is what has become less free since the start, whoever shows it.
"""

import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from subprocess import Popen

import psutil

from sweeps.backends.devices import SECONDS

CPU, GPU = "cpu", "gpu"
SHARE = 0.9  # of what is free that runs may take
CONTEXT = 2**29  # bytes of a GPU that a process takes beside PyTorch's
GIB, MIB = 2**30, 2**20
QUERY = ("nvidia-smi", "--query-gpu=index,memory.free", "--format=csv,noheader,nounits")


@dataclass
class Memory:
    """Bytes. A device is CPU or a GPU's index; the memory of runs on GPUs is the machine's, too."""

    free: Mapping[str, int]  # by device, before the sweep's first run
    say: Callable[[str], None]
    limits: bool = True  # or only warns where runs do not fit
    peak: dict[str, int] = field(default_factory=dict)  # of one run, by CPU and GPU

    def allows(self, device: str, load: Counter[str]) -> bool:
        """Whether another run fits beside so many on each device."""
        places = {CPU: load.total()} | ({} if device == CPU else {device: load[device]})
        return not self.limits or all(running == 0 or running < self.most(place) for place, running in places.items())

    def most(self, device: str) -> int:
        """Runs at once; one as long as nothing is known, and at the least."""
        peak = self.peak.get(CPU if device == CPU else GPU)
        return 1 if not peak or device not in self.free else max(1, int(SHARE * self.free[device] / peak))

    def learn(self, peaks: Mapping[str, int], room: Mapping[str, int]) -> None:
        """Of runs that have had so much. Says once what that allows, where it is less than there is room for."""
        known = {*self.peak}
        self.peak |= {place: max(bytes_, self.peak.get(place, 0)) for place, bytes_ in peaks.items()}
        for place in self.peak.keys() - known:
            devices = [device for device in room if (device == CPU) == (place == CPU) and device in self.free]
            for device in [device for device in devices if self.most(device) < room[device]]:
                self.say(self.text(device, room[device]))

    def text(self, device: str, room: int) -> str:
        where = "" if device == CPU else f" of GPU {device}"
        peak = self.peak[CPU if device == CPU else GPU]
        figures = f"a run takes {peak / GIB:.2g} GiB{where}, {self.free[device] / GIB:.2g} GiB were free"
        if self.limits:
            return f"{figures}: up to {self.most(device)} at once"
        return f"{figures}: {room} at once may not fit; --max_parallel memory starts as many as do"


def peaks_of(recorded: Mapping[str, int]) -> dict[str, int]:
    """By CPU and GPU, of what a run writes down."""
    peaks = {CPU: recorded["host"]} if "host" in recorded else {}
    return peaks | ({GPU: recorded["gpu"] + CONTEXT} if "gpu" in recorded else {})


def observed(handles: Mapping[Popen[bytes], str], stepped: Collection[Popen[bytes]], free: Mapping[str, int]) -> dict[str, int]:
    """The most that one of the runs that have made a step has now, by CPU and GPU. `handles` have the device of each run."""
    peaks: dict[str, int] = {}
    if sizes := [size for handle in stepped if (size := resident(handle.pid))]:
        peaks[CPU] = max(sizes)
    on = {device: [handle for handle in handles if handles[handle] == device] for device in {*handles.values()} - {CPU}}
    now = free_memory_of_gpus(on) if on else {}
    shares = [(free[d] - now[d]) // len(runs) for d, runs in on.items() if d in now and d in free and {*runs} <= {*stepped}]
    return peaks | ({GPU: max(shares)} if shares and max(shares) > 0 else {})


def resident(pid: int) -> int:
    """Of a process and those that it started; 0 for one that has ended."""
    size = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                size += each.memory_info().rss
    return size


def free_memory(gpus: Iterable[str]) -> dict[str, int]:
    """By device."""
    named = [*gpus]
    return {CPU: psutil.virtual_memory().available} | (free_memory_of_gpus(named) if named else {})


def free_memory_of_gpus(gpus: Iterable[str]) -> dict[str, int]:
    """Of those that the driver tells of by these names."""
    try:
        listing = subprocess.run(QUERY, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
        rows = dict(line.replace(" ", "").split(",") for line in listing.splitlines() if line.strip())
        return {gpu: int(rows[gpu]) * MIB for gpu in gpus if gpu in rows}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
