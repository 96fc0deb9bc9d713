"""What will run: the settings with every default worked out. Nothing in it is None but where None says that there is none, or
that PyTorch's own choice stands (`threads`).
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from configs.experiment import (
    AdapterSettings,
    EnvironmentSettings,
    EvaluationSettings,
    Experiment,
    GRPOSettings,
    LabelSettings,
    RoutingSettings,
    SamplingSettings,
    WandbSettings,
)
from routing.modes import LORA
from routing.spec import AdapterSpec

# What an adapter setting is where it is not asked for, or belongs to another kind of adapter.
ADAPTER_DEFAULTS = {"rank": 8, "retain_rank": 4, "forget_rank": 4, "alpha": 16.0, "stride": 1}


@dataclass(frozen=True)
class Treatment:
    """What is done about bad samples: routing, one of its baselines, or nothing (`unrouted`)."""

    name: Literal["routed", "filter", "reward_penalty", "unrouted"]
    mode: str  # of routing.modes: which adapters learn from which class of samples
    retain_rollouts: int = 0  # generations of each group that are sampled and trained with the forget adapter ablated
    penalty: float = 0.0  # taken off the reward of labelled samples
    penalty_on: Literal["forget", "all"] = "forget"  # off what forget components pay, or off the whole reward


@dataclass(frozen=True)
class ResolvedExperiment:
    """`configs.experiment.Experiment` says what each of these is."""

    reward: str | dict[str, Any]
    plugins: tuple[str, ...]  # of configs.plugins, resolved
    model: str
    model_dtype: str  # of frozen matrices under adapters: float32, bfloat16
    continue_from: str  # of records.checkpoints, resolved; empty for a run that begins with the base
    require_eos: bool
    dataset: str
    text_column: str
    eval_split: str
    seed: int
    max_steps: int
    batch_size: int
    num_generations: int
    lr: float
    beta: float
    advantages: str  # a rule of grpo.advantages
    name: str  # before the folder's generated name; empty for the runs of a sweep
    tags: tuple[str, ...]
    notes: str
    device: str  # cpu, cuda, cuda:1
    threads: int | None  # None: as many as PyTorch has by itself
    output_dir: Path
    overwrite: bool
    logging_steps: int
    log_all_samples: bool
    save_steps: int
    eval_every: int
    stop_rule: str  # none, collapsed
    treatment: Treatment
    adapter: AdapterSpec | None  # None trains all weights
    env: EnvironmentSettings  # with a detector
    labels: LabelSettings
    sampling: SamplingSettings
    grpo: GRPOSettings
    eval: EvaluationSettings
    wandb: WandbSettings

    @property
    def adapter_kind(self) -> str:
        """none, lora, dual_lora."""
        return "none" if self.adapter is None else self.adapter.kind


SHARED = [entry.name for entry in fields(ResolvedExperiment) if entry.name not in ("treatment", "adapter")]


def as_settings(resolved: ResolvedExperiment) -> Experiment:
    """The settings that resolve to this, defaults spelt out where they have an effect."""
    treatment, adapter = resolved.treatment, resolved.adapter
    adapter_settings: dict[str, Any] = {"kind": resolved.adapter_kind}
    if adapter is not None:
        adapter_settings |= {"rank" if name == LORA else f"{name}_rank": rank for name, rank in adapter.ranks.items()}
        adapter_settings |= {"alpha": adapter.alpha, "stride": adapter.stride}
    shared = {name: getattr(resolved, name) for name in SHARED}
    if adapter is None and treatment.name == "unrouted":
        shared["advantages"] = None  # has no effect
    experiment = Experiment(**shared, adapter=AdapterSettings(**adapter_settings))
    match treatment.name:
        case "routed":
            return replace(experiment, routing=RoutingSettings(True, treatment.mode, treatment.retain_rollouts))
        case "filter":
            return replace(experiment, baseline="filter")
        case "reward_penalty":
            penalty = {"reward_penalty": treatment.penalty, "reward_penalty_on": treatment.penalty_on}
            return replace(experiment, baseline="reward_penalty", **penalty)
    return experiment
