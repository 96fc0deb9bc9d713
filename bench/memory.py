"""Peak memory of a few steps of either side of `bench.against_trl`, each in a process of its own.

    python -m bench.memory SIDE WORKLOAD THREADS

prints `{"start": BYTES, "peak": BYTES}`: what was resident just before the first step, and the most that ever was.
"""

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from bench.machine import GIB, peak_resident_bytes, resident_bytes
from bench.workloads import Workload, our_run, prompts_of
from grpo.step import train_step

STEPS = 4
Bytes = dict[str, int]  # start and peak
PROMPTS = "prompts.json"  # in the model's folder, so that TRL's process loads nothing of ours


def memory_of(workload: Workload, threads: int) -> dict[str, float]:
    """GiB of both sides, of the whole process and of what it takes above its start; ratios are ours over theirs."""
    prompts = [prompt.text for prompt in prompts_of(our_run(workload, STEPS), STEPS)]
    (workload.folder / PROMPTS).write_text(json.dumps(prompts))
    one_batch = replace(workload, device_batch=workload.batch_size)
    return figures(
        ours=in_its_own_process("ours", workload, threads),
        trl=in_its_own_process("trl", workload, threads),
        trl_one_batch=in_its_own_process("trl", one_batch, threads),
    )


def figures(ours: Bytes, trl: Bytes, trl_one_batch: Bytes) -> dict[str, float]:
    gib: dict[str, float] = {}
    for side, memory in {"ours": ours, "trl": trl, "trl_one_batch": trl_one_batch}.items():
        gib[f"{side}_gib"] = memory["peak"] / GIB
        gib[f"{side}_gib_above_start"] = (memory["peak"] - memory["start"]) / GIB
    return gib | {
        f"ratio{batches}{above}": gib[f"ours_gib{above}"] / gib[f"trl{batches}_gib{above}"]
        for batches in ("", "_one_batch")
        for above in ("", "_above_start")
    }


def in_its_own_process(side: str, workload: Workload, threads: int) -> Bytes:
    described = json.dumps(asdict(workload) | {"folder": str(workload.folder)})
    command = [sys.executable, "-m", "bench.memory", side, described, str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def our_memory(workload: Workload) -> Bytes:
    run = our_run(workload, STEPS)
    start = resident_bytes()
    for _ in range(STEPS):
        train_step(run)
    return {"start": start, "peak": peak_resident_bytes()}


def trl_memory(workload: Workload) -> Bytes:
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
