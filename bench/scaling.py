"""How a step's time grows with the batch, the completions, the layers and the vocabulary, beside how its work grows.

    uv run python -m bench.scaling                     # some minutes

One of the four grows at a time, the others stay those of nursery and its default routed run. Weights are random, so that hardly
a completion ends before the limit; what is sampled is counted. Work is the floating-point operations of a forward pass over the
batch: sampling and the reference are one each, an update is a fixed number of them. A growth of 1 is linear in the work: twice
the work takes twice the time. Below 1 the larger step is the more efficient one.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.workloads import widened
from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import EnvironmentSettings, Experiment, RoutingSettings, SamplingSettings, WandbSettings
from grpo.rollout import Rollout
from grpo.run import Run, build_run, prepare
from grpo.step import StepRecord, train_step
from models.decoder_config import DecoderConfig
from models.families import model_of
from models.llama import initialize
from models.loading import load_pretrained
from models.saving import save_pretrained
from records.folder import write_whole
from reports.charts import finished_spec

AXES: dict[str, tuple[int, ...]] = {
    "batch": (32, 128, 512),
    "completion length": (128, 256, 500),
    "layers": (4, 8, 16),
    "vocabulary": (4_096, 16_384, 49_152),
}
PHASES = ("sampling", "reference", "update")
STEP = "step"
STEPS, AT_LEAST, LONG = 4, 2, 20.0  # so many steps at a point; fewer where they take longer than these seconds together


@dataclass(frozen=True)
class Options:
    output: Path = Path("bench/scaling.png")
    """Where the plot goes."""
    axes: tuple[str, ...] = ()
    """batch, completion length, layers, vocabulary; by default all."""
    device: str = "cpu"
    """cpu, cuda."""
    json: bool = False
    """One line."""


@dataclass(frozen=True)
class Point:
    """A step on an axis. `work` is forward FLOPs, `tokens` those sampled, `seconds` by phase and of the step."""

    axis: str
    value: int
    work: float
    tokens: int
    seconds: dict[str, float]


def forward_flops(config: DecoderConfig, weights: int, prompts: Sequence[int], completions: Sequence[int]) -> float:
    """Of sequences with so many tokens of prompt and of completion each: two for every weight and token, and attention.

    `weights` are those of matrices in the layers, adapters included. The head is for completions alone; a position attends to
    itself and all before it, once for the scores and once for the values.
    """
    lengths = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    pairs = sum(length * (length + 1) // 2 for length in lengths)
    attention = 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * pairs
    return 2 * weights * sum(lengths) + 2 * config.hidden_size * config.vocab_size * sum(completions) + attention


def growth(first: Point, point: Point) -> dict[str, float]:
    """By phase: how many times the seconds over how many times the work; 1 is linear."""
    work = point.work / first.work
    return {name: point.seconds[name] / first.seconds[name] / work for name in point.seconds}


def fastest(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    """Least seconds of each phase: what else the machine does, and warming up, only adds."""
    return {name: min(step[name] for step in steps) for name in steps[0]}


def build(axis: str, value: int, device: str) -> Run:
    """The default routed run, but for one thing; random weights of nursery's shape."""
    nursery = load_pretrained("nursery")
    changes = {"layers": "num_hidden_layers", "vocabulary": "vocab_size"}
    config = replace(nursery.model.config, **({changes[axis]: value} if axis in changes else {}))
    model = model_of(config)
    initialize(model, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, widened(nursery.tokenizer, config.vocab_size), Path(folder))
        batch = value if axis == "batch" else Experiment().batch_size
        experiment = Experiment(
            reward="happy_count",
            model=folder,
            device=device,
            batch_size=batch,
            routing=RoutingSettings(enabled=True),
            env=EnvironmentSettings(num_prompts=2 * batch, num_eval_prompts=1),
            sampling=SamplingSettings(max_completion_length=value) if axis == "completion length" else SamplingSettings(),
            wandb=WandbSettings(mode="disabled"),
        )
        return build_run(prepare(experiment))


def measure_point(axis: str, value: int, device: str) -> Point:
    run = build(axis, value, device)
    records: list[StepRecord] = []
    start = time.perf_counter()
    while len(records) < AT_LEAST or (len(records) < STEPS and time.perf_counter() - start < LONG):
        records.append(train_step(run))
    weights = sum(parameter.numel() for parameter in run.policy.layers.parameters() if parameter.dim() == 2)
    rollout = records[-1].rollout
    work = forward_flops(run.policy.config, weights, rollout.prompt_lengths.tolist(), completion_lengths(rollout))
    seconds = fastest([{**record.seconds, STEP: sum(record.seconds.values())} for record in records])
    return Point(axis, value, work, sum(completion_lengths(rollout)), {name: seconds[name] for name in (*PHASES, STEP)})


def completion_lengths(rollout: Rollout) -> list[int]:
    return rollout.mask.sum(1).tolist()


def rows_of(points: Iterable[Point]) -> list[dict[str, Any]]:
    """One row a point: its figures, and its growth from the first of its axis."""
    first: dict[str, Point] = {}
    rows = []
    for point in points:
        start = first.setdefault(point.axis, point)
        rows.append({"axis": point.axis, "value": point.value, "tokens": point.tokens, "gflop": point.work / 1e9,
                     "work": point.work / start.work, "seconds": point.seconds, "growth": growth(start, point)})  # fmt: skip
    return rows


def spec(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A panel an axis: times as much time over times as much work; the grey line is linear."""
    axes = list(dict.fromkeys(row["axis"] for row in rows))
    curves = [
        {"axis": row["axis"], "phase": name, "work": row["work"], "time": row["growth"][name] * row["work"]}
        for row in rows
        for name in row["growth"]
    ]
    colour = alt.Color("phase:N", title=None, scale=alt.Scale(domain=[*PHASES, STEP]))
    log = alt.Scale(type="log", nice=False)
    x, y = alt.X("work:Q", title="times the work", scale=log), alt.Y("time:Q", title="times the time", scale=log)
    panels = []
    for axis in axes:
        data = alt.Chart(alt.NamedData(name="curves")).transform_filter(alt.datum.axis == axis)
        linear = data.mark_line(color="#999999", strokeDash=[4, 3]).encode(x=x, y=alt.Y("work:Q", scale=log))
        lines = data.mark_line(strokeWidth=1.8, point=True).encode(x=x, y=y, color=colour)
        panels.append(alt.layer(linear, lines, title=axis).properties(width=260, height=260))
    return finished_spec(alt.concat(*panels, columns=2), {"curves": curves})


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table("", "", "tokens", "work", *(*PHASES, STEP), title="times the work, seconds (growth; 1 is linear)")
    for row in rows:
        cells = [f"{row['seconds'][name]:.2f} ({row['growth'][name]:.2f})" for name in (*PHASES, STEP)]
        table.add_row(row["axis"], str(row["value"]), str(row["tokens"]), f"{row['work']:.2f}", *cells)
    console.print(table)


def run_benchmark(words: Sequence[str]) -> None:
    options = parse(Options, words, "Measures how a step's time grows with its work.", "bench.scaling")
    if unknown := set(options.axes) - set(AXES):
        raise UserError(f"--axes {', '.join(sorted(unknown))}: accepted are {', '.join(AXES)}")
    places = [(axis, value) for axis in options.axes or AXES for value in AXES[axis]]
    tracked = track(places, "points", console=Console(stderr=True))
    rows = rows_of([measure_point(axis, value, options.device) for axis, value in tracked])
    picture = vl_convert.vegalite_to_png(spec(rows) | {"padding": 10}, scale=2)
    write_whole(options.output, lambda temporary: temporary.write_bytes(picture))
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows, Console())
        print(options.output)


def main() -> int:
    return run_main(lambda: run_benchmark(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
