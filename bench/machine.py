"""The machine beneath a measurement: what it is, and what its memory and its matrix products give."""

import platform
import time
from pathlib import Path

import torch

from configs.errors import UserError

GIB = 2**30
SIZE = 1024  # of the square matrices whose product is timed
SECONDS = 0.5  # spent on it


def describe(device: torch.device) -> str:
    """As `AMD EPYC, 2 threads, torch 2.15.0`."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def product_peak(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of the best of many products of two square matrices, each 2 n^3 FLOP."""
    a, b = (torch.randn(SIZE, SIZE, device=device, dtype=dtype) for _ in range(2))
    out, best, end = torch.empty_like(a), float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best


def synchronize(device: torch.device) -> None:
    """Waits for what the device still has to do; a CPU has nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def resident_bytes() -> int:
    """What of this process is in memory now. Raises UserError where there is no /proc."""
    return status_bytes("VmRSS")


def peak_resident_bytes() -> int:
    """The most there has been of this process in memory. Not `ru_maxrss`, which a process inherits from its parent."""
    return status_bytes("VmHWM")


def status_bytes(name: str) -> int:
    path = Path("/proc/self/status")
    if not path.exists():
        raise UserError("memory is measured on Linux only: there is no /proc/self/status")
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
