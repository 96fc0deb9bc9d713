"""How many threads compute on the CPU, and how they wait for one another.

PyTorch's threads spin while they wait. Where another program keeps a core busy, the thread that has none is waited for by
spinning ones, which keep it from the cores that there are: a step took twenty times as long. So they are to sleep, after
some 50 microseconds, which are longer than the gaps between products and much shorter than a time slice. How many threads
there are is left alone: another number rounds differently, and a run's figures should not depend on its neighbours.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# Read once, when PyTorch is loaded. GNU's library heeds the second alone, others the first.
POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # by which somebody has chosen already


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ, is_too_late: bool = "torch" in sys.modules) -> None:
    """From when PyTorch is loaded; where it has been, or somebody has chosen, all stays as it is."""
    if not is_too_late and not any(name in environment for name in CHOICES):
        environment.update(POLICY)


def note_on_threads(count: int, environment: MutableMapping[str, str] = os.environ) -> str:
    """What a run's log says of them."""
    if count == 1:
        return "1 thread"
    if chosen := ", ".join(f"{name} {environment[name]}" for name in CHOICES if name in environment):
        return f"{count} threads ({chosen})"
    return f"{count} threads, which spin while they wait: PyTorch was loaded first; beside busy programs fewer may be faster"


@contextmanager
def threads_of(count: int | None) -> Iterator[None]:
    """So many threads within; None leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
