"""One training step of ours and of TRL's GRPOTrainer with PEFT, side by side in one process, turn by turn.

    uv run --with trl==1.16.0 --with peft python -m bench.against_trl

Both get the same model, prompts (8 tokens), completions (up to 128), float32, threads, `loss_type="grpo"`, beta 0.02, k3 KL,
rewards and optimizer, and log nothing; TRL runs in its fastest setting (`bench/trl_side.py`). With adapters TRL trains a
LoRA of rank 8, ours the routed main job with retain and forget adapters of rank 4 each. Before any timing both
compute loss and gradient norm of one batch: they must agree to 1e-5, or the command ends with exit code 1.

At *full length* no row ends before 128 tokens, for both sides read a model whose `eos_token_id` is that of [UNK], which nursery
never writes; every step is checked for it. At *natural* length rows stop at EOS; what each side sampled is counted.

Ratios say how many times as fast ours is: TRL's median seconds over ours, our tokens/s over TRL's. `ratio_memory` is the
other way round, our peak over TRL's (below 1 is less), each in a process of its own; `above_start` is what a process takes
on top of what it held before its first step, `one_batch` TRL with all completions in one device batch, which is slower.
"""

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, median
from typing import Any, Literal

import torch

from bench.machine import describe
from bench.memory import memory_of
from bench.workloads import COMPLETION_LENGTH, DEVICE_BATCH, Unequal, Workload, model_folders, our_run, prompts_of
from configs.cli import parse, run_main
from configs.errors import UserError
from grpo.randomness import group_keys
from grpo.run import Run
from grpo.sampler import sample
from grpo.step import train_step

HOW = "uv run --with trl==1.16.0 --with peft python -m bench.against_trl"
SAMPLED = {"sample_32": 32, "sample_512": 512}  # completions
Case = Literal["adapter", "natural", "full", "sample_32", "sample_512", "memory", "real"]
CASES: tuple[Case, ...] = ("adapter", "natural", "full", "sample_32", "sample_512", "memory", "real")
# What each case's ratio is called in the JSON.
RATIOS: dict[str, str] = {"adapter": "ratio_step_adapter", "natural": "ratio_step_adapter_natural", "full": "ratio_step_full",
                          "sample_32": "ratio_sample_32", "sample_512": "ratio_sample_512", "memory": "ratio_memory",
                          "real": "ratio_step_real"}  # fmt: skip
WARMUP = 1  # steps of each side that are not counted
WEIGHTS = {"natural": 2, "full": 2, "sample_512": 0.5, "real": 0.5}  # repetitions where lengths vary, and where one takes long


@dataclass(frozen=True)
class Options:
    cases: tuple[Case, ...] = CASES  # What is compared.
    repetitions: int = 7  # Steps of each side that are counted, after one that is not; see WEIGHTS.
    threads: int = 2  # Of torch, for both sides.
    device_batch: int = DEVICE_BATCH  # Completions that TRL computes at a time in its update; it adds up their gradients.
    json: bool = False  # Print one line of JSON, and nothing else, on stdout.


@dataclass(frozen=True)
class SideBySide:
    """Seconds and sampled tokens, a step or a call at a time."""

    our_seconds: list[float]
    their_seconds: list[float]
    our_tokens: list[int]
    their_tokens: list[int]

    def counted(self) -> "SideBySide":
        """Without the repetitions that warmed up."""
        return SideBySide(*(getattr(self, entry.name)[WARMUP:] for entry in fields(self)))

    @property
    def ratio(self) -> float:
        """How many times as fast ours is, by the median."""
        return median(self.their_seconds) / median(self.our_seconds)

    @property
    def ratio_per_token(self) -> float:
        """The same of the seconds a sampled token, for lengths that chance makes differ."""
        return median_per_token(self.their_seconds, self.their_tokens) / median_per_token(self.our_seconds, self.our_tokens)

    def to_dict(self) -> dict[str, Any]:
        return {
            "ours_seconds": median(self.our_seconds),
            "trl_seconds": median(self.their_seconds),
            "ours_tokens": mean(self.our_tokens),
            "trl_tokens": mean(self.their_tokens),
            "ratio": self.ratio,
            "ratio_per_token": self.ratio_per_token,
            "repetitions": len(self.our_seconds),
            "every_time": asdict(self),
        }


def median_per_token(seconds: list[float], tokens: list[int]) -> float:
    return median(each / count for each, count in zip(seconds, tokens, strict=True))


def workload_of(case: str, folders: dict[str, Path], device_batch: int) -> Workload:
    match case:
        case "natural":
            return Workload(folders["natural"], adapters=True, full_length=False, device_batch=device_batch)
        case "full":
            return Workload(folders["natural"], adapters=False, full_length=False, device_batch=device_batch)
        case "real":
            return Workload(folders["real"], adapters=True, full_length=True, device_batch=8, prompts=2, generations=4)
    return Workload(folders["full_length"], adapters=True, full_length=True, device_batch=device_batch)


def compare_steps(workload: Workload, repetitions: int) -> SideBySide:
    """Ours, theirs, ours, theirs: ours runs before each step of TRL's own loop. Raises Unequal for unequal work."""
    from bench.loss_equality import check_equal_losses
    from bench.trl_side import build_trainer, train

    steps = WARMUP + repetitions
    run = our_run(workload, steps)
    trainer = build_trainer(workload, [prompt.text for prompt in prompts_of(run, steps)], steps)
    say(f"  {check_equal_losses(run, trainer)}")
    seconds, tokens = list[float](), list[int]()
    their_seconds, their_tokens = train(trainer, lambda: timed(lambda: our_step(run), seconds, tokens))
    measured = SideBySide(seconds, their_seconds, tokens, their_tokens)
    if workload.full_length:
        check_full_length(measured, workload.batch_size)
    return measured.counted()


def our_step(run: Run) -> int:
    return int(train_step(run).rollout.mask.sum())


def compare_sampling(workload: Workload, completions: int, repetitions: int) -> SideBySide:
    """`completions` of 128 tokens each, with the adapters on, as the trainers draw them."""
    from bench.trl_side import build_trainer, generate

    prompt_count = completions // workload.generations
    run = our_run(workload, steps=max(prompt_count // workload.prompts, 1))
    prompts = prompts_of(run, steps=prompt_count // workload.prompts)
    trainer = build_trainer(workload, [prompt.text for prompt in prompts], steps=1)
    repeated = torch.tensor([prompt.token_ids for prompt in prompts]).repeat_interleave(workload.generations, 0)
    measured = SideBySide([], [], [], [])
    for repetition in range(WARMUP + repetitions):
        timed(
            lambda step=repetition: our_sampling(run, prompts, workload.generations, step),
            measured.our_seconds,
            measured.our_tokens,
        )
        timed(lambda: generate(trainer, repeated).numel(), measured.their_seconds, measured.their_tokens)
    check_full_length(measured, completions)
    return measured.counted()


def our_sampling(run: Run, prompts: Sequence[Any], group_size: int, step: int) -> int:
    keys = group_keys(run.config.seed, step, [prompt.index for prompt in prompts], group_size)
    uniforms = keys.uniforms("training sample", COMPLETION_LENGTH)
    rollout = sample(run.policy, [prompt.token_ids for prompt in prompts], group_size, uniforms, run.config.sampling)
    return int(rollout.mask.sum())


def timed(sampling: Callable[[], int], seconds: list[float], tokens: list[int]) -> None:
    """Appends to both lists; `sampling` returns how many tokens it sampled."""
    start = time.perf_counter()
    tokens.append(sampling())
    seconds.append(time.perf_counter() - start)


def check_full_length(measured: SideBySide, rows: int) -> None:
    """Raises Unequal where a row ended early."""
    sampled, wanted = {*measured.our_tokens, *measured.their_tokens}, rows * COMPLETION_LENGTH
    if sampled != {wanted}:
        raise Unequal(f"{rows} rows x {COMPLETION_LENGTH} tokens are {wanted}; sampled were {sorted(sampled)}")


def run_case(case: str, folders: dict[str, Path], options: Options) -> dict[str, Any]:
    workload = workload_of(case, folders, options.device_batch)
    repetitions = max(round(options.repetitions * WEIGHTS.get(case, 1)), 1)
    say(f"{case}: {SAMPLED.get(case, workload.batch_size)} completions")
    if case == "memory":
        return memory_of(workload, options.threads)
    result = compare_sampling(workload, SAMPLED[case], repetitions) if case in SAMPLED else compare_steps(workload, repetitions)
    say(f"  ours {median(result.our_seconds):.3f} s, TRL {median(result.their_seconds):.3f} s: {result.ratio:.2f}")
    return result.to_dict()


def report(results: dict[str, dict[str, Any]], machine: str) -> dict[str, Any]:
    """What `--json` prints. The ratio of a case that did not run is null."""
    ratios = {name: results[case]["ratio"] if case in results else None for case, name in RATIOS.items()}
    memory = results.get("memory", {})
    more = {f"ratio_memory_{key}": memory.get(f"ratio_{key}") for key in ("above_start", "one_batch", "one_batch_above_start")}
    return {**ratios, **more, "machine": machine, "cases": results}


def table(results: dict[str, dict[str, Any]]) -> str:
    """In Markdown."""
    lines = ["| | TRL | ours | ratio | a token | tokens: TRL, ours |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for case, result in results.items():
        if case == "memory":
            lines += memory_lines(result)
            continue
        seconds = f"{result['trl_seconds']:.3f} s | {result['ours_seconds']:.3f} s"
        tokens = f"{result['trl_tokens']:.0f}, {result['ours_tokens']:.0f}"
        lines.append(f"| {case} | {seconds} | {result['ratio']:.2f} | {result['ratio_per_token']:.2f} | {tokens} |")
    return "\n".join(lines)


def memory_lines(memory: dict[str, float]) -> list[str]:
    lines = []
    for batches in ("", "_one_batch"):
        for above in ("", "_above_start"):
            sizes = f"{memory[f'trl{batches}_gib{above}']:.2f} GiB | {memory[f'ours_gib{above}']:.2f} GiB"
            name = f"memory{batches}{above}".replace("_", " ")
            lines.append(f"| {name} | {sizes} | {memory[f'ratio{batches}{above}']:.2f} | | |")
    return lines


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(options: Options) -> int:
    torch.set_num_threads(options.threads)
    with model_folders(real="real" in options.cases) as folders:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                results = {case: run_case(case, folders, options) for case in options.cases}
        except Unequal as error:
            print(f"THE TWO SIDES DO NOT DO THE SAME, so nothing is compared: {error}", file=sys.stderr)
            return 1
    machine = describe(torch.device("cpu"))
    print(json.dumps(report(results, machine)) if options.json else f"{machine}\n\n{table(results)}")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    def parsed() -> int:
        options = parse(Options, sys.argv[1:] if words is None else words, __doc__ or "", "bench.against_trl")
        if missing := [name for name in ("trl", "peft") if importlib.util.find_spec(name) is None]:
            raise UserError(f"{' and '.join(missing)} not installed; run it as {HOW}")
        return compare(options)

    return run_main(parsed)


if __name__ == "__main__":
    sys.exit(main())
