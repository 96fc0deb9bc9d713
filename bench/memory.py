"""Peak memory of a few steps of either side of `bench.against_trl`, each in a process of its own.

    python -m bench.memory SIDE WORKLOAD THREADS

prints `{"start": BYTES, "peak": BYTES}`: what was resident just before the first step, and the most that ever was.
"""

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.machine import GIB, peak_resident_bytes, resident_bytes
from bench.workloads import Workload, our_run, prompts_of
from grpo.step import train_step

STEPS = 4
PROMPTS = "prompts.json"  # in the model's folder, so that TRL's process loads nothing of ours


def memory_of(workload: Workload, threads: int) -> dict[str, Any]:
    """GiB of both sides and their ratio, of the whole process and of what it takes above its start."""
    prompts = [prompt.text for prompt in prompts_of(our_run(workload, STEPS), STEPS)]
    (workload.folder / PROMPTS).write_text(json.dumps(prompts))
    ours, theirs = (in_its_own_process(side, workload, threads) for side in ("ours", "trl"))
    whole = [memory["peak"] / GIB for memory in (ours, theirs)]
    above = [(memory["peak"] - memory["start"]) / GIB for memory in (ours, theirs)]
    return {
        "ours_gib": whole[0], "trl_gib": whole[1], "ratio": whole[0] / whole[1],
        "ours_gib_above_start": above[0], "trl_gib_above_start": above[1], "ratio_above_start": above[0] / above[1],
    }  # fmt: skip


def in_its_own_process(side: str, workload: Workload, threads: int) -> dict[str, int]:
    described = json.dumps(asdict(workload) | {"folder": str(workload.folder)})
    command = [sys.executable, "-m", "bench.memory", side, described, str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def our_memory(workload: Workload) -> dict[str, int]:
    run = our_run(workload, STEPS)
    start = resident_bytes()
    for _ in range(STEPS):
        train_step(run)
    return {"start": start, "peak": peak_resident_bytes()}


def trl_memory(workload: Workload) -> dict[str, int]:
    from bench.trl_side import build_trainer, train

    trainer = build_trainer(workload, json.loads((workload.folder / PROMPTS).read_text()), STEPS)
    starts: list[int] = []
    train(trainer, lambda: starts.append(resident_bytes()))
    return {"start": starts[0], "peak": peak_resident_bytes()}


def main() -> None:
    side, described, threads = sys.argv[1:]
    settings = json.loads(described)
    workload = Workload(**settings | {"folder": Path(settings["folder"])})
    torch.set_num_threads(int(threads))
    with contextlib.redirect_stdout(sys.stderr):
        memory = {"ours": our_memory, "trl": trl_memory}[side](workload)
    print(json.dumps(memory))


if __name__ == "__main__":
    main()
