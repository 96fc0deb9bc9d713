"""How many runs fit, by hand, on the CPU and on GPUs that a stand-in of the driver tells of."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sweeps import memory
from sweeps.memory import CPU, GIB, GPU, MIB, Memory, free_memory_of_gpus, observed, peaks_of, resident

FREE = {CPU: 10 * GIB, "0": 8 * GIB, "1": 4 * GIB}


def test_as_many_fit_as_nine_tenths_of_what_is_free_hold():
    said: list[str] = []
    some = Memory(FREE, said.append)
    assert (some.most(CPU), some.most("0"), some.most("unknown")) == (1, 1, 1)
    some.learn({CPU: 2 * GIB, GPU: 1 * GIB}, {CPU: 3, "0": 12, "1": 12})
    assert (some.most(CPU), some.most("0"), some.most("1"), some.most("unknown")) == (4, 7, 3, 1)
    assert said == [
        "a run takes 1 GiB of GPU 0, 8 GiB were free: up to 7 at once",
        "a run takes 1 GiB of GPU 1, 4 GiB were free: up to 3 at once",
    ]
    some.learn({CPU: 3 * GIB}, {CPU: 3})  # later evaluations may need more; said once
    some.learn({CPU: 1 * GIB}, {CPU: 3})
    assert some.most(CPU) == 3 and len(said) == 2


def test_a_run_starts_where_it_fits_in_every_memory_that_it_takes():
    some = Memory(FREE, print)
    assert some.allows(CPU, Counter()) and some.allows("0", Counter())
    assert not some.allows(CPU, Counter({CPU: 1}))
    assert not some.allows("0", Counter({"1": 1}))  # what a run takes of the machine's is not known
    some.peak = {CPU: 2 * GIB, GPU: 2 * GIB}  # four on the machine, three on GPU 0, one on GPU 1
    assert some.allows("0", Counter({"0": 2, "1": 1})) and not some.allows("0", Counter({"0": 3}))
    assert not some.allows("1", Counter({"1": 1})) and not some.allows("0", Counter({"0": 2, "1": 1, CPU: 1}))
    some.peak[CPU] = 100 * GIB
    assert some.allows(CPU, Counter())  # one always runs
    assert Memory(FREE, print, limits=False).allows(CPU, Counter({CPU: 99}))


def test_earlier_runs_tell_what_they_had():
    assert peaks_of({}) == {} and peaks_of({"host": 3}) == {CPU: 3}
    assert peaks_of({"host": 3, "gpu": 5}) == {CPU: 3, GPU: 5 + 2**29}


class Handle:
    """A process that a test makes up."""

    def __init__(self, pid: int):
        self.pid = pid


def test_runs_on_a_gpu_have_what_it_has_less_than_at_the_start(monkeypatch: pytest.MonkeyPatch):
    a, b, c = Handle(1), Handle(2), Handle(3)
    monkeypatch.setattr(memory, "resident", {1: 5, 2: 7, 3: 0}.get)
    monkeypatch.setattr(memory, "free_memory_of_gpus", lambda _: {"0": 6 * GIB, "1": 3 * GIB})
    on = {a: "0", b: "0", c: "1"}
    assert observed(on, [a, b], FREE) == {CPU: 7, GPU: 1 * GIB}  # type: ignore[arg-type]  # c may not have had its most yet
    assert observed(on, [a], FREE) == {CPU: 5}  # type: ignore[arg-type]
    assert observed({c: CPU}, [c], FREE) == {}  # type: ignore[arg-type]  # it has ended


def test_a_process_and_its_children_are_counted():
    assert resident(os.getpid()) > 20 * MIB
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        assert 0 < resident(child.pid) < resident(os.getpid())
    finally:
        child.communicate(b"\n")
    assert resident(child.pid) == 0


def test_the_driver_is_asked_for_free_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 81000'; echo '1, 200'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_memory_of_gpus(["1", "GPU-x"]) == {"1": 200 * MIB}
    program.write_text("#!/bin/sh\nexit 9\n")
    assert free_memory_of_gpus(["1"]) == {}
