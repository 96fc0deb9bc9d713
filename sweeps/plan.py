"""A sweep's plan: its runs, each a validated experiment, and `sweep.json`, which tells the report what belongs together.

OUTPUT/SWEEP/
sweep.json          name, axes, one entry a run (below)      RUN/          the runs' own folders
configs/RUN.yaml    a run's resolved settings                logs/RUN.log  what a run's process printed, all attempts
failures.jsonl      one row a failed attempt                 summary.csv, summary.json, report.html
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.experiment import Experiment


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. Its folder is `plan.folder / name`."""

    name: str
    config_hash: str
    experiment: Experiment  # resolved; output_dir is the sweep's folder
    kind: str  # "routed", "unrouted" (dual adapters), "lora", "full", "filter", "reward_penalty"
    configuration: str  # short label; equal for runs that differ in nothing but the seed
    values: dict[str, Any]  # of the sweep's axes, by dotted name
    baseline_of: tuple[str, ...] = ()  # names of the routed runs that it is a control of


@dataclass(frozen=True)
class Plan:
    name: str
    folder: Path
    axes: tuple[str, ...]  # dotted names of what varies
    runs: tuple[PlannedRun, ...]
