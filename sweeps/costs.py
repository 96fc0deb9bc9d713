"""What a run takes, in seconds, by what finished runs of its kind took: the start, its steps and its evaluations.

A run that was never interrupted tells in status.json what it spent in each of its phases, beginning with the command; steps are
timed in timing.jsonl. Evaluations are counted in completions, one of each mode; the base's, which runs share, are left out.
"""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from configs.errors import UserError
from configs.naming import to_dict
from configs.resolved import ResolvedExperiment
from records import files
from records.names import BASE, EVALUATING, RELEARNING, TRAINING
from records.reader import read_status
from records.relearning import EVERY, MOST_SAMPLES
from records.rows import check_kinds, read_object, read_rows

# Runs that agree in these take about as long for a step and for a completion.
SAME = (
    "model", "batch_size", "num_generations", "env.name", "env.prompt_length", "sampling.max_completion_length",
    "grpo.num_iterations", "adapter.kind", "routing.enabled", "baseline",
)  # fmt: skip
MODES = {"dual_lora": 3, "lora": 1, "none": 1}  # of evaluation by kind of adapter, without the base
WARM_UP, FEW = 2, 10  # first steps, which are left out of a few
MOST_FOLDERS = 100  # that are looked into, the newest first
Signature = tuple[Any, ...]


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    start: float  # from the command to the first step, without evaluations
    step: float
    completion: float  # of an evaluation
    source: str  # where they were measured
    memory: Mapping[str, int] = field(default_factory=dict)  # the most that one had: bytes by "host" and "gpu"


def run_seconds(costs: Costs, experiment: ResolvedExperiment, steps_done: int = 0) -> float:
    """Of a run from its start, or taken up after `steps_done`."""
    evaluated = costs.completion * evaluated_completions(experiment, steps_done)
    return costs.start + costs.step * (experiment.max_steps - steps_done) + evaluated + relearning_seconds(costs, experiment)


def relearning_seconds(costs: Costs, experiment: ResolvedExperiment) -> float:
    """The most that it takes: all steps from either start, the measurements between them with both."""
    steps, count = experiment.eval.relearn_steps, min(MOST_SAMPLES, final_completions(experiment))
    measurements = 1 + math.ceil(steps / EVERY) if steps else 0
    return 2 * (costs.step * steps + costs.completion * count * measurements)


def final_completions(experiment: ResolvedExperiment) -> int:
    """Of a mode's evaluation at the end."""
    return experiment.eval.final_samples or min(experiment.eval.num_prompts, experiment.env.num_eval_prompts)


def evaluated_completions(experiment: ResolvedExperiment, steps_done: int = 0) -> int:
    """Of all evaluations after `steps_done`, in every mode but the base."""
    count = min(experiment.eval.num_prompts, experiment.env.num_eval_prompts)
    evaluations = max(0, (experiment.max_steps - 1) // experiment.eval_every - steps_done // experiment.eval_every)
    evaluations += steps_done == 0 and experiment.adapter is None and experiment.beta == 0  # in place of the base
    return MODES[experiment.adapter_kind] * (evaluations * count + final_completions(experiment))


def seconds_on_slots(seconds: Sequence[float], slots: int, running: Sequence[float] = ()) -> float:
    """Until all is done: runs started in this order as slots become free, which `running` ones hold for so long."""
    free = [*running][:slots] + [0.0] * (slots - len(running))
    heapq.heapify(free)
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free, default=0.0)


# Kinds of runs


def signature(settings: Mapping[str, Any]) -> Signature:
    """What costs depend on, of what a config.yaml holds."""
    return (*(nested_setting(settings, name) for name in SAME), str(settings.get("device")).partition(":")[0])


def signature_of(experiment: ResolvedExperiment) -> Signature:
    return signature(to_dict(experiment))


def nested_setting(settings: Mapping[str, Any], name: str) -> Any:
    group, _, rest = name.partition(".")
    value = settings.get(group)
    return nested_setting(value, rest) if rest and isinstance(value, Mapping) else value


# What folders tell


def recorded_costs(output_dir: Path, sweep: Path, wanted: Collection[Signature]) -> dict[Signature, Costs]:
    """Of finished runs under the output folder, those of the sweep first, then the newest."""
    timed = [file for depth in ("*", "*/*") for file in output_dir.glob(f"{depth}/{files.TIMING}")]
    newest = sorted(timed, key=lambda file: (file.parent.parent != sweep, -file.stat().st_mtime))
    known: dict[Signature, Costs] = {}
    for folder in (file.parent for file in newest[:MOST_FOLDERS]):
        if {*wanted} <= known.keys():
            break
        with suppress(UserError):  # no figure for an estimate
            key = signature(read_object(folder / files.CONFIG))
            if key in wanted and key not in known and (costs := costs_of(folder)) is not None:
                known[key] = costs
    return known


def costs_of(folder: Path, shares_base: bool = True) -> Costs | None:
    """None where the run has not finished or was interrupted. Raises UserError for damaged files.

    A run that does not share the base's completions with others has sampled them itself.
    """
    status = read_status(folder)
    spent, memory = status.get("seconds"), status.get("peak_memory") or {}
    times = step_times(folder)
    if not spent or not times:
        return None
    check_kinds(f"{folder / files.STATUS}: seconds", spent, dict.fromkeys(spent, (int, float)))
    check_kinds(f"{folder / files.STATUS}: peak_memory", memory, dict.fromkeys(memory, (int,)))
    rows = read_rows(folder, files.ROUTING_EVAL, running=True)
    samples = sum(row.get("samples") or 0 for row in rows if row["mode"] != BASE or not shares_base)
    start = sum(seconds for phase, seconds in spent.items() if phase not in (TRAINING, EVALUATING, RELEARNING))
    # With what stands between steps; of a few, the first ones would weigh too much.
    step = median(times[WARM_UP:] or times) if len(times) < FEW else spent[TRAINING] / len(times)
    return Costs(start, step, spent.get(EVALUATING, 0.0) / max(1, samples), str(folder), memory)


def step_times(folder: Path) -> list[float]:
    return [row["step_time"] for row in read_rows(folder, files.TIMING, running=True) if row["step_time"] is not None]


def median_costs(known: Sequence[Costs]) -> Costs:
    """Of several runs, each figure by itself; of memory the most."""
    figures = (median(getattr(costs, name) for costs in known) for name in ("start", "step", "completion"))
    return Costs(*figures, source=f"{len(known)} runs", memory=most_memory(known))


def most_memory(known: Sequence[Costs]) -> dict[str, int]:
    """That any of them had, by place."""
    places = {place for costs in known for place in costs.memory}
    return {place: max(costs.memory.get(place, 0) for costs in known) for place in places}
