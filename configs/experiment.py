"""The settings of one run. The command line, YAML files and Python all fill in these dataclasses.

The docstring under a field is its help on the command line, its annotation what it accepts. `None` marks a value that
`configs.resolve` works out. Where a name is chosen, the names are the keys of the dictionary that holds what they stand for.
"""

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from pydantic import Field

from configs.setting_kinds import FolderName, Plugins, RewardSetting, SourcePath, SplitName, Tags, default_is
from configs.settings import AboveZero, AtLeastOne, BelowOne, NotNegative, NotNegativeInt, PathSetting, Positive, Share, settings
from grpo.advantages import RULES, SCALES
from grpo.loss_terms import KL_ESTIMATORS, LOSS_TYPES
from grpo.schedules import SCHEDULES
from routing.modes import ROUTING_MODES

if TYPE_CHECKING:
    LossType = str
    KLEstimator = str
    Scale = str
    Schedule = str
    Rule = str
    RoutingMode = str
else:
    LossType, KLEstimator, Scale = Literal[*LOSS_TYPES], Literal[*KL_ESTIMATORS], Literal[*SCALES]
    Rule, RoutingMode, Schedule = Literal[*RULES], Literal[*ROUTING_MODES], Literal[*SCHEDULES]

WHOLE = "training samples from the whole distribution"
ABOVE_0 = f"must be above 0: {WHOLE}"
ALL_TOKENS, ALL_MASS = (f"must be {off}: {WHOLE}; evaluate.py takes it" for off in (0, 1))


@settings("env")
class EnvironmentSettings:
    name: str = "stories"
    """Where prompts and scores come from; below are their names."""
    prompt_length: AtLeastOne = 8
    """Tokens of a story that make a prompt; only with --env.name stories."""
    bos: Literal["auto", "always", "never"] = "auto"
    """The token that begins a text, before each prompt and not counted in its length. auto: as the model's tokenizer
    does; always: the one that the model's files name. Not with --env.name chat, whose template has its own."""
    num_prompts: AtLeastOne = 10_000
    """Training prompts, at the most."""
    num_eval_prompts: AtLeastOne = 1_000
    """Evaluation prompts, at the most; none of them is a training prompt."""
    detector: Annotated[str | None, default_is("the one that the reward names")] = None
    """Which completions count as detected, as NAME(PARAM=VALUE); below are their names."""
    eligible_fraction: Share = 1.0
    """Share of training samples that can earn the reward's forget components; the others are scored without."""


@settings("labels")
class LabelSettings:
    fraction: Share = 1.0
    """Share of the detected training samples that are labelled bad."""
    noise: Share = 0.0
    """Share of the undetected training samples that are labelled bad by mistake."""


@settings("routing")
class RoutingSettings:
    enabled: bool = False
    """Send detected samples to the forget adapter (implies --adapter.kind dual_lora)."""
    mode: RoutingMode = "classic"
    """classic: good samples train both adapters, bad ones only forget. exclusive: good retain, bad forget.
    none: no masks, the matched control (same as --adapter.kind dual_lora without routing)."""
    retain_rollouts: int = 0
    """The last k generations of each group are sampled and trained with the forget adapter ablated."""


@settings("adapter")
class AdapterSettings:
    kind: Annotated[Literal["none", "lora", "dual_lora"] | None, default_is("dual_lora with routing, else none")] = None
    """none trains all weights."""
    rank: Annotated[AtLeastOne | None, default_is("8")] = None
    """Rank of a single LoRA."""
    retain_rank: Annotated[AtLeastOne | None, default_is("4")] = None
    """Rank of the retain adapter."""
    forget_rank: Annotated[AtLeastOne | None, default_is("4")] = None
    """Rank of the forget adapter."""
    alpha: Annotated[Positive | None, default_is("16.0")] = None
    """An adapter's output is scaled by alpha / rank."""
    stride: Annotated[AtLeastOne | None, default_is("1")] = None
    """Adapters in every stride-th layer."""
    preset: Annotated[Literal["r1", "r2", "r4", "r8", "r16", "r32", "r1h"] | None, default_is("none")] = None
    """All ranks and alpha at once (r1h: rank 1 in every second layer)."""


@settings("sampling")
class SamplingSettings:
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False, description=ABOVE_0)] = 1.0
    """Divides the logits, in sampling and in training alike."""
    max_completion_length: AtLeastOne = 128
    """Tokens after which a completion is cut."""
    top_k: Annotated[int, Field(ge=0, description=ALL_TOKENS)] = 0
    """Evaluation only, 0 is off; refused in training, which samples the whole distribution."""
    top_p: Annotated[float, Field(gt=0, le=1, description=ALL_MASS)] = 1.0
    """Evaluation only, 1 is off; refused in training, which samples the whole distribution."""


@settings("grpo")
class GRPOSettings:
    loss_type: LossType = "grpo"
    """How token losses are averaged: by sequence, by N x max_completion_length, by the batch's tokens."""
    scale_rewards: Scale = "group"
    """What divides the centred rewards: the group's standard deviation, the batch's, nothing."""
    epsilon_low: Share = 0.2
    """The ratio is clipped below 1 - epsilon_low."""
    epsilon_high: NotNegative = 0.2
    """The ratio is clipped above 1 + epsilon_high."""
    kl_estimator: KLEstimator = "k3"
    """Estimator of the KL to the reference (k1 only with kl_corrected)."""
    kl_corrected: bool = False
    """Weight the KL estimate by the unclipped ratio, with its gradient."""
    num_iterations: AtLeastOne = 1
    """Updates on each rollout."""
    mask_truncated: bool = False
    """Leave completions that hit the length limit out of the loss."""
    max_grad_norm: Positive = 1.0
    """Gradient clipping, for each adapter by itself."""
    warmup_steps: NotNegativeInt = 0
    """Steps over which the learning rate rises to its peak, along a straight line, under every schedule."""
    lr_schedule: Schedule = "linear"
    """What follows: a line to zero, the peak kept, half a cosine to zero."""
    weight_decay: NotNegative = 0.0
    """AdamW's decoupled decay, a step's share being lr x weight_decay, of all trained parameters. An adapter without
    samples in a step stays as it is."""
    adam_beta2: BelowOne = 0.999
    """How long AdamW remembers squared gradients; beta1 is 0.9."""


@settings("eval")
class EvaluationSettings:
    num_prompts: AtLeastOne = 64
    """Prompts of each evaluation during training, one completion each."""
    final_samples: NotNegativeInt = 1_000
    """Completions of the evaluation at the end (0: no more than during training)."""
    seed: NotNegativeInt | Literal["run"] = 0
    """Of every draw in evaluations: runs of all seeds answer the same prompts with the same draws. run: the run's own."""
    relearn_steps: NotNegativeInt = 0
    """At the end, train on without the forget adapter, at most so many steps, until it hacks again (0: do not)."""
    relearn_hack_rate: Annotated[AboveZero | None, default_is("half way between the base's and the policy's")] = None
    """The hack rate at which it hacks again."""


@settings("wandb")
class WandbSettings:
    mode: Literal["offline", "online", "disabled"] = "offline"
    """offline writes into the run's folder."""
    project: str = "small-rl"
    """The wandb project."""
    group: Annotated[str, default_is("none")] = ""
    """Runs of one group stand together; sweeps set it."""


@settings()
class Experiment:
    """Train a small language model with GRPO and, if wanted, gradient routing."""

    reward: RewardSetting = "happy_binary"
    """What is rewarded: a name (they stand below), one with parameters, or a combination (docs/rewards_and_environments.md)."""
    plugins: tyro.conf.UseAppendAction[Annotated[Plugins, tyro.conf.arg(name="plugin", metavar="FILE.py")]] = ()
    """A Python file with rewards, detectors or environments of your own; may be given several times."""
    model: str = "nursery"
    """nursery (embedded), a local folder, or a Hugging Face id."""
    model_dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 keeps the frozen matrices under adapters in half the memory, rounded; all is computed in float32."""
    require_eos: bool = True
    """Refuse a model that would hardly ever end a completion within its length; --no-require_eos for smoke tests."""
    continue_from: Annotated[SourcePath, default_is("none")] = ""
    """A run's folder or one of its checkpoints: begin with its weights, at step 0, with an optimizer and a schedule of its
    own. The base stays the model: evaluations and the KL compare with that."""
    dataset: str = "nursery"
    """nursery (embedded), a local folder with train* and test* files, or a Hugging Face id."""
    text_column: str = "story"
    """The dataset's column that holds the text."""
    eval_split: SplitName = "test"
    """The dataset's split that evaluation prompts are from."""
    seed: NotNegativeInt = 42
    """Of every draw: initial adapters, prompt order, samples."""
    max_steps: AtLeastOne = 2_000
    """Training steps."""
    batch_size: AtLeastOne = 32
    """Completions a step; a multiple of num_generations."""
    num_generations: AtLeastOne = 16
    """Completions of each prompt: a group."""
    lr: Annotated[Positive | None, default_is("1e-3 with adapters, else 1e-5")] = None
    """Peak learning rate."""
    beta: NotNegative = 0.02
    """Weight of the KL to the reference; 0 does without a reference."""
    name: Annotated[FolderName, default_is("none")] = ""
    """Put before the name of the run's folder, which tells the settings; of a sweep, its folder's name."""
    tags: Annotated[Tags, default_is("none")] = ()
    """Words to find runs by, in wandb and on pages."""
    notes: Annotated[str, default_is("none")] = ""
    """What the run is for, in a sentence."""
    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1."""
    threads: Annotated[
        AtLeastOne | None, default_is("OMP_NUM_THREADS, else what is fastest now: all, or fewer beside busy programs")
    ] = None
    """That compute on the CPU."""
    output_dir: PathSetting = Path("output")
    """Where run folders go."""
    overwrite: bool = False
    """Replace a run folder of the same name."""
    logging_steps: AtLeastOne = 10
    """Steps between sample lines in train.log and entries in samples.jsonl."""
    log_all_samples: bool = False
    """Write every step's samples to samples.jsonl."""
    save_steps: AtLeastOne = 500
    """Steps between checkpoints; there is always one at the end."""
    eval_every: AtLeastOne = 100
    """Steps between evaluations; there is always one before the first step and one at the end."""
    stop_rule: Literal["none", "collapsed"] = "none"
    """collapsed: ends the run, evaluated where it stops, when two evaluations of it in a row during training are degenerate
    or collapsed into templates."""
    advantages: Annotated[Rule | None, default_is("good_only with routing or filter, else group")] = None
    """What rewards are compared with. group: the whole group. good_only: good samples with the good ones alone.
    balanced: all samples with the mean of the good ones."""
    baseline: Literal["none", "filter", "reward_penalty"] = "none"
    """Instead of routing: drop labelled samples, or take reward_penalty off their reward."""
    reward_penalty: Positive = 1.0
    """What --baseline reward_penalty takes off."""
    reward_penalty_on: Annotated[
        Literal["forget", "all"] | None, default_is("forget where the reward has such components, else all")
    ] = None
    """Taken off what the reward's forget components pay, or off the whole reward, at most all of it."""
    lora_rank: Annotated[AtLeastOne | None, default_is("none")] = None
    """Short for --adapter.kind lora --adapter.rank N."""
    env: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    grpo: GRPOSettings = field(default_factory=GRPOSettings)
    eval: EvaluationSettings = field(default_factory=EvaluationSettings)
    wandb: WandbSettings = field(default_factory=WandbSettings)
