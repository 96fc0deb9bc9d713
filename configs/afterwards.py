"""What can be asked of a finished run."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from configs.cli import split_at_commas
from configs.resolve import require


@dataclass(frozen=True)
class EvaluateOptions:
    model_path: Path
    """A run's checkpoint: output/RUN/checkpoint-STEP."""
    n_samples: int = 64
    """Completions in each mode, one for each evaluation prompt, then again from the first."""
    eval_rewards: str = ""
    """Further rewards of the same completions: NAME,NAME(PARAM=VALUE),..."""
    routing_eval: bool = True
    """All modes; without, the policy as it was trained and the base."""
    temperature: float | None = None
    """0 takes the likeliest token; by default as in training."""
    top_k: int = 0
    """Sample from the k likeliest tokens; 0 is off."""
    top_p: float = 1.0
    """Sample from the fewest tokens that hold this probability; 1 is off."""
    show: int = 3
    """Samples to print, modes side by side; at most n_samples."""
    prompt: str | None = None
    """Only print what each mode says to this; writes nothing."""
    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1."""


@dataclass(frozen=True)
class ExportOptions:
    model_path: Path
    """A run's checkpoint: output/RUN/checkpoint-STEP."""
    out: Path
    """The folder to write; it must not exist."""
    mode: Literal["both", "retain_only", "forget_only", "policy"] | None = None
    """Which adapters; by default as trained (both, or policy where there is no retain and forget)."""
    format: Literal["hf", "peft"] = "hf"
    """hf: one model, adapters merged. peft: base/ and one folder for each adapter."""


def check(options: EvaluateOptions) -> None:
    """Raises UserError for values out of range and settings without effect."""
    o = options
    require(o.n_samples >= 1, "n_samples", o.n_samples, "must be at least 1")
    require(o.temperature is None or 0 <= o.temperature < float("inf"), "temperature", o.temperature, "must be 0 or more")
    require(o.top_k >= 0, "top_k", o.top_k, "must be 0 or more")
    require(0 < o.top_p <= 1, "top_p", o.top_p, "must be above 0 and at most 1")
    require(o.show >= 0, "show", o.show, "must be 0 or more")
    usual = {entry.name: entry.default for entry in fields(o)}
    inert = {name: "--temperature 0" for name in ("top_k", "top_p") if o.temperature == 0}
    inert |= {name: "--prompt" for name in ("n_samples", "eval_rewards", "show") if o.prompt is not None}
    for name, by in inert.items():
        require(getattr(o, name) == usual[name], name, getattr(o, name), f"has no effect with {by}")
    names = reward_calls(o)
    once = all(names) and len({*names}) == len(names)
    require(once, "eval_rewards", o.eval_rewards, "must name each reward once, with commas between them")


def reward_calls(options: EvaluateOptions) -> list[str]:
    """The parts of `eval_rewards` between commas that stand outside parentheses."""
    return split_at_commas(options.eval_rewards)


@dataclass(frozen=True)
class ReportOptions:
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER]")]
    """A sweep's folder or a run's; two runs' are compared."""
    out: Path | None = None
    """The page to write; by default FOLDER/report.html, and for two runs report_compare.html beside the first."""
