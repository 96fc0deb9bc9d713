"""Where the time of a training step goes, and how far it is from what the machine can do.

    uv run python -m bench.step --reward happy_count --routing.enabled

takes the settings of `launch.py` and runs the steps of that run, its logging included, in a folder that is thrown away. It prints
the phases of a step (`bench/timers.py` names their functions), sampled tokens a second, the operations that the step asks
for (counted in `bench/flops.py`) a second, against the best product of two 1024 x 1024 matrices measured just before, and
peak memory. Figures are means over the half of the steps between the fastest and the slowest quarter.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console

from bench.flops import ModelSize, Row, model_size, reference_flops, sampling_flops, update_flops
from bench.machine import GIB, describe, peak_resident_bytes, product_peak
from bench.timers import MissedPhase, now, phases_of, timed_phases
from configs.cli import ExperimentOptions, parse_with_config, run_main
from configs.errors import UserError
from configs.naming import to_dict
from configs.resolve import refuse_inert
from envs.prepare import folder_of
from grpo.run import Run, build_run, prepare
from grpo.step import StepRecord, train_step
from records.folder import create
from runs.progress import Display
from runs.reporting import Reporter
from runs.restore import made_of
from runs.tracking import tracking

OTHER = "other"  # what no phase covers: draws, labels, routes, advantages


@dataclass(frozen=True)
class StepOptions(ExperimentOptions):
    steps: int = 10
    """Steps measured."""
    warmup: int = 2
    """Steps before them."""
    json: bool = False
    """Print one line of JSON."""


@dataclass(frozen=True)
class Step:
    seconds: float
    phases: dict[str, float]  # seconds
    tokens: int  # sampled
    flops: int


def measure(run: Run, reporter: Reporter, steps: int, warmup: int) -> list[Step]:
    """Raises MissedPhase where a phase's function is not the one that the step calls."""
    for _ in range(warmup):
        reporter.step(train_step(run))
    with timed_phases(phases_of(run.config), run.device) as seconds:
        return [measured_step(run, reporter, seconds) for _ in range(steps)]


def measured_step(run: Run, reporter: Reporter, seconds: dict[str, float]) -> Step:
    """`seconds` by phase are counted up by the timers."""
    seconds.clear()
    start = now(run.device)
    record = train_step(run)
    reporter.step(record)
    total = now(run.device) - start
    phases = seconds | {OTHER: total - sum(seconds.values())}
    return Step(total, phases, int(record.rollout.mask.sum()), record_flops(model_size(run.policy), run, record))


def middle(steps: Sequence[Step]) -> list[Step]:
    """The half of the steps between the fastest and the slowest quarter, which a machine's hiccups do not reach."""
    quarter = len(steps) // 4
    return sorted(steps, key=lambda step: step.seconds)[quarter : len(steps) - quarter]


def record_flops(size: ModelSize, run: Run, record: StepRecord) -> int:
    """Of the whole step; samples that were dropped are in no update."""
    lengths = (record.rollout.prompt_lengths.tolist(), record.rollout.mask.sum(1).tolist())
    rows: list[Row] = [*zip(*lengths, strict=True)]
    trained = [rows[i] for micro_batch in record.routes.micro_batches for i in micro_batch.rows.tolist()]
    reference = reference_flops(size, rows) if run.config.beta else 0
    update = update_flops(size, trained) * len(record.update.iterations)
    return sampling_flops(size, rows, run.group_size) + reference + update


def peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_resident_bytes()


def report(steps: Sequence[Step], peak: float, memory: int, machine: str) -> dict[str, Any]:
    """What `--json` prints: means over the middle half of the steps. `peak` is FLOP/s, `memory` bytes."""
    kept = middle(steps)
    seconds, tokens, flops = (sum(getattr(step, name) for step in kept) for name in ("seconds", "tokens", "flops"))
    names = dict.fromkeys(name for step in kept for name in step.phases)
    phases = {name: sum(step.phases.get(name, 0.0) for step in kept) for name in names}
    return {
        "machine": machine,
        "steps": len(steps),
        "steps_averaged": len(kept),
        "phases": {name: {"ms": 1000 * part / len(kept), "percent": 100 * part / seconds} for name, part in phases.items()},
        "step_ms": 1000 * seconds / len(kept),
        "tokens_a_step": tokens / len(kept),
        "tokens_per_second": tokens / seconds,
        "sampled_tokens_per_second": tokens / (phases["prefill"] + phases["decode"]),
        "gflop_a_step": flops / len(kept) / 1e9,
        "gflop_per_second": flops / seconds / 1e9,
        "peak_gflop_per_second": peak / 1e9,
        "percent_of_peak": 100 * flops / seconds / peak,
        "peak_memory_gib": memory / GIB,
    }


def text_of(figures: dict[str, Any]) -> str:
    """In Markdown."""
    over = f"mean of the middle {figures['steps_averaged']} of {figures['steps']} steps"
    lines = [f"{figures['machine']}; {over}", "", "| phase | ms | % |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {phase['ms']:.1f} | {phase['percent']:.1f} |" for name, phase in figures["phases"].items()]
    lines.append(f"| step | {figures['step_ms']:.1f} | 100.0 |")
    speed = (
        f"{figures['gflop_per_second']:.1f} GFLOP/s, {figures['percent_of_peak']:.1f} % of {figures['peak_gflop_per_second']:.1f}"
    )
    return "\n".join([
        *lines, "",
        f"{figures['tokens_a_step']:.0f} tokens a step, sampled at {figures['sampled_tokens_per_second']:.0f} a second",
        f"{figures['gflop_a_step']:.1f} GFLOP a step: {speed}",
        f"peak memory {figures['peak_memory_gib']:.2f} GiB",
    ])  # fmt: skip


def run_steps(options: StepOptions) -> dict[str, Any]:
    """Raises UserError, and MissedPhase."""
    needed = options.steps + options.warmup
    if options.steps < 1 or options.warmup < 0 or needed > options.experiment.max_steps:
        raise UserError(f"--steps {options.steps} --warmup {options.warmup}: at least one step is measured, and all of them are "
                        f"within --max_steps {options.experiment.max_steps}")  # fmt: skip
    with TemporaryDirectory() as temporary:
        config = prepare(replace(options.experiment, output_dir=Path(temporary)))
        peak = product_peak(torch.device(config.device))
        run = build_run(config)
        folder = create(folder_of(config), to_dict(config), made_of(run), config.overwrite)
        try:
            with tracking(config, folder) as tracker:
                reporter = Reporter(folder, config, tracker, Display(Console(stderr=True, quiet=True)))
                measured = measure(run, reporter, options.steps, options.warmup)
        finally:
            folder.close()
    return report(measured, peak, peak_memory(run.device), describe(run.device))


def parse_options(words: Sequence[str]) -> StepOptions:
    options, named = parse_with_config(StepOptions, words, __doc__ or "", "bench.step")
    refuse_inert(options.experiment, named)
    return options


def print_steps(words: Sequence[str]) -> int:
    options = parse_options(words)
    try:
        figures = run_steps(options)
    except MissedPhase as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures) if options.json else text_of(figures))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    return run_main(lambda: print_steps(sys.argv[1:] if words is None else words))


if __name__ == "__main__":
    sys.exit(main())
