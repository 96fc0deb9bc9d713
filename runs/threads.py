"""How many threads compute on the CPU: of 1, 2, 4, ..., the number with which small products are fastest now.

PyTorch's threads spin while they wait for one another. Where another program keeps a core busy, the thread that has none is
waited for by spinning ones, and a step takes many times as long as with one thread. Having them sleep instead would be
independent of neighbours, but takes twice as long where there are none (bench/README.md). Another number of threads rounds
differently, so the number is said and recorded, a resumed run goes on with it, and whoever sets it has it as it is set.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from configs.resolved import ResolvedExperiment

SET_OUTSIDE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # by the user, or by a sweep for its runs
ROUNDS = 3
SHORTER = 0.8  # than with all threads: what is less is noise


def threads_for(config: ResolvedExperiment, environment: Mapping[str, str] = os.environ) -> int | None:
    """The number for a new run; None leaves PyTorch's as it is."""
    if not is_measured(config, environment) or torch.get_num_threads() == 1:
        return config.threads
    return fastest(torch.get_num_threads(), seconds_with)


def is_measured(config: ResolvedExperiment, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether nobody has set the number."""
    return config.device == "cpu" and config.threads is None and not any(name in environment for name in SET_OUTSIDE)


def note_on_threads(config: ResolvedExperiment, environment: Mapping[str, str] = os.environ) -> list[str]:
    """What a run on the CPU says of the number that it has."""
    count = torch.get_num_threads()
    why = ", with which small products are fastest now; --threads N sets them" if is_measured(config, environment) else ""
    return [f"{count} thread{'' if count == 1 else 's'}{why}"] if config.device == "cpu" else []


def fastest(most: int, seconds: Callable[[int], float]) -> int:
    """Of 1, 2, 4, ... and `most`, the number of threads with which work takes least time: the median of several rounds, in
    which the numbers take turns. All of them, unless fewer are clearly faster."""
    counts = [*(2**i for i in range(most.bit_length()) if 2**i < most), most]
    rounds = [{count: seconds(count) for count in counts} for _ in range(ROUNDS)]
    taken = {count: sorted(each[count] for each in rounds)[ROUNDS // 2] for count in counts}
    best = min(counts, key=lambda count: (taken[count], -count))
    return best if taken[best] < SHORTER * taken[most] else most


def seconds_with(count: int) -> float:
    """Of products such as a step has: many small ones, as decoding, and a few larger ones."""
    row, matrix = torch.ones(32, 128), torch.ones(128, 512)
    rows, head = torch.ones(640, 128), torch.ones(128, 4096)
    with threads_of(count):
        _ = rows @ head  # so that the threads are there
        start = time.perf_counter()
        for _ in range(10):
            for _ in range(30):
                _ = row @ matrix
            _ = rows @ head
        return time.perf_counter() - start


@contextmanager
def threads_of(count: int | None) -> Iterator[None]:
    """So many threads within; None leaves them as they are."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
