"""From what was asked for to what will run: fills in the defaults that depend on other settings, refuses the rest."""

import re
from collections.abc import Collection
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from configs.errors import setting_error
from configs.experiment import ABOVE_0, ALL_MASS, ALL_TOKENS, AdapterSettings, Experiment
from configs.plugins import resolved_plugins
from configs.resolved import ADAPTER_DEFAULTS, SHARED, ResolvedExperiment, Treatment
from grpo.loss_terms import CORRECTED_ONLY
from routing.modes import FORGET, LORA, RETAIN
from routing.spec import AdapterSpec

LR_FULL, LR_ADAPTERS = 1e-5, 1e-3
DEFAULT_RULE = {"routed": "good_only", "filter": "good_only"}  # of grpo.advantages by treatment; the others' is group
ADAPTER_SETTINGS = {
    "none": (),
    "lora": ("rank", "alpha", "stride"),
    "dual_lora": ("retain_rank", "forget_rank", "alpha", "stride"),
}


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of a settings dataclass."""
    flat: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        flat |= flatten(value, f"{prefix}{entry.name}.") if is_dataclass(value) else {f"{prefix}{entry.name}": value}
    return flat


def with_setting(settings: Any, name: str, value: Any) -> Any:
    """A settings dataclass with one setting, by dotted name, replaced."""
    group, _, rest = name.partition(".")
    return replace(settings, **{group: with_setting(getattr(settings, group), rest, value) if rest else value})


def changed(settings: Any) -> set[str]:
    """Dotted names of the settings that differ from their defaults."""
    usual = flatten(type(settings)())
    return {name for name, value in flatten(settings).items() if value != usual[name]}


def require(holds: bool, option: str, value: Any, accepted: str) -> None:
    if not holds:
        raise setting_error(option, value, accepted)


@dataclass(frozen=True)
class OfReward:
    """The defaults that a reward brings along."""

    detector: str
    penalty_on: Literal["forget", "all"]


def resolve(experiment: Experiment, cuda_available: bool, of_reward: OfReward) -> ResolvedExperiment:
    """The settings that will run.

    Raises UserError for contradictions and for settings without effect that differ from their defaults.
    """
    check_together(experiment)
    refuse_inert(experiment, changed(experiment))
    adapter = resolve_adapter(adapter_settings(experiment))
    shared = {name: getattr(experiment, name) for name in SHARED} | {
        "lr": experiment.lr if experiment.lr is not None else (LR_FULL if adapter is None else LR_ADAPTERS),
        "plugins": resolved_plugins(experiment.plugins),
        "device": resolve_device(experiment.device, cuda_available),
        "env": replace(experiment.env, detector=experiment.env.detector or of_reward.detector),
    }
    on_cpu = shared["device"] == "cpu"
    require(
        on_cpu or experiment.threads is None, "threads", experiment.threads, f"has no effect with --device {shared['device']}"
    )
    treatment = resolve_treatment(experiment, of_reward)
    shared["advantages"] = experiment.advantages or DEFAULT_RULE.get(treatment.name, "group")
    return ResolvedExperiment(**shared, treatment=treatment, adapter=adapter)


# Settings that have no effect


def refuse_inert(experiment: Experiment, names: Collection[str]) -> None:
    """Raises UserError for the first of the settings named that has no effect, whatever its value."""
    inert = without_effect(experiment)
    for name, value in flatten(experiment).items():
        if name in inert and name in names:
            raise setting_error(name, value, inert[name])


def without_effect(experiment: Experiment) -> dict[str, str]:
    """{dotted name: why} of all settings that these settings leave without effect."""
    e, kind = experiment, str(adapter_settings(experiment).kind)
    idle_ranks = [f"adapter.{name}" for name in ADAPTER_DEFAULTS if name not in ADAPTER_SETTINGS[kind]]
    unlabelled = kind == "none" and e.baseline == "none"  # neither a routed run nor one that is compared with one
    labels = ["labels.fraction", "labels.noise", "advantages"]
    rules = [
        (True, f"with --adapter.kind {kind}", idle_ranks),
        (kind == "none", "with --adapter.kind none; use lora or dual_lora", ["adapter.preset"]),
        (kind == "none", "with --adapter.kind none, which trains all weights", ["model_dtype"]),
        (unlabelled, "in full fine-tuning without --baseline; labels are for adapters", labels),
        (not e.routing.enabled, "without --routing.enabled", ["routing.mode", "routing.retain_rollouts"]),
        (e.routing.enabled and e.routing.mode == "none", "with --routing.mode none", ["routing.retain_rollouts"]),
        (e.baseline != "reward_penalty", "without --baseline reward_penalty", ["reward_penalty", "reward_penalty_on"]),
        (
            2 * e.eval_every >= e.max_steps,
            f"with --eval_every {e.eval_every}: it takes two evaluations before the last step",
            ["stop_rule"],
        ),
        (e.beta == 0, "with --beta 0", ["grpo.kl_estimator", "grpo.kl_corrected"]),
        # The ratio is 1 then, and nothing is clipped.
        (e.grpo.num_iterations == 1, "with --grpo.num_iterations 1", ["grpo.epsilon_low", "grpo.epsilon_high"]),
        (e.env.name != "stories", f"with --env.name {e.env.name}", ["env.prompt_length"]),
        (e.env.name == "chat", "with --env.name chat: the model's chat template puts it", ["env.bos"]),
        (e.eval.relearn_steps == 0, "without --eval.relearn_steps", ["eval.relearn_hack_rate"]),
        (e.env.name == "repeat", "with --env.name repeat, which holds words out itself", ["eval_split"]),
    ]
    return {name: f"has no effect {why}" for applies, why, names in rules if applies for name in names}


# Settings against one another


def check_together(e: Experiment) -> None:
    """Raises UserError for what is right by itself and not beside the other settings."""
    k, whole, s, warmup = e.routing.retain_rollouts, e.num_generations, e.sampling, e.grpo.warmup_steps
    require(k == 0 or 2 <= k <= whole - 2, "routing.retain_rollouts", k,
            f"must be 0, or leave 2 of --num_generations {whole} on either side: "
            "each side has a baseline of its own")  # fmt: skip
    require(whole >= 2, "num_generations", whole, "a group needs at least 2 completions")
    require(e.eval_split != "train", "eval_split", "train", "must be another split than that of the training prompts")
    require(e.batch_size % whole == 0, "batch_size", e.batch_size, f"must be a multiple of --num_generations {whole}")
    require(warmup < e.max_steps, "grpo.warmup_steps", warmup, f"must be below --max_steps {e.max_steps}")
    require(s.temperature > 0, "sampling.temperature", s.temperature, ABOVE_0)
    require(s.top_k == 0, "sampling.top_k", s.top_k, ALL_TOKENS)
    require(s.top_p == 1, "sampling.top_p", s.top_p, ALL_MASS)
    require(e.beta == 0 or e.grpo.kl_corrected or e.grpo.kl_estimator not in CORRECTED_ONLY, "grpo.kl_estimator", "k1",
            "its expected gradient in the loss is zero; accepted are k2, k3, or k1 with --grpo.kl_corrected")  # fmt: skip
    baseless = e.beta == 0 and adapter_settings(e).kind == "none"
    require(not (baseless and e.eval.relearn_steps), "eval.relearn_steps", e.eval.relearn_steps,
            "full fine-tuning with --beta 0 keeps no base to compare with; evaluate.py takes it afterwards")  # fmt: skip
    require(not (e.routing.enabled and e.baseline != "none"), "baseline", e.baseline, "contradicts --routing.enabled")


def resolve_device(device: str, cuda_available: bool) -> str:
    known = re.fullmatch("auto|cpu|cuda(:[0-9]+)?", device) is not None
    require(known, "device", device, "accepted are auto, cpu, cuda, cuda:NUMBER")
    available = cuda_available or not device.startswith("cuda")
    require(available, "device", device, "no CUDA device is available here; use auto or cpu")
    return device if device != "auto" else ("cuda" if cuda_available else "cpu")


# Treatment and adapters


def resolve_treatment(experiment: Experiment, of_reward: OfReward) -> Treatment:
    routing = experiment.routing
    if experiment.baseline == "filter":
        return Treatment("filter", mode="filter")
    if experiment.baseline == "reward_penalty":
        penalty_on = experiment.reward_penalty_on or of_reward.penalty_on
        return Treatment("reward_penalty", mode="none", penalty=experiment.reward_penalty, penalty_on=penalty_on)
    if routing.enabled and routing.mode != "none":
        return Treatment("routed", routing.mode, routing.retain_rollouts)
    return Treatment("unrouted", mode="none")


def adapter_settings(experiment: Experiment) -> AdapterSettings:
    """With the kind, --lora_rank and --adapter.preset spelt out."""
    adapter = lora_rank_spelt_out(experiment)
    if not experiment.routing.enabled:
        return replace(adapter, kind=adapter.kind or "none")
    require(adapter.kind in (None, "dual_lora"), "adapter.kind", adapter.kind,
            "routing needs dual_lora; leave --adapter.kind or --routing.enabled out")  # fmt: skip
    return replace(adapter, kind="dual_lora")


def lora_rank_spelt_out(experiment: Experiment) -> AdapterSettings:
    adapter, rank = experiment.adapter, experiment.lora_rank
    if rank is None:
        return adapter
    for name, compatible in {"rank": None, "preset": None, "kind": "lora"}.items():
        if (value := getattr(adapter, name)) not in (None, compatible):
            raise setting_error("lora_rank", rank, f"contradicts --adapter.{name} {value}")
    return replace(adapter, kind="lora", rank=rank)


def resolve_adapter(adapter: AdapterSettings) -> AdapterSpec | None:
    """From settings whose kind is known. Raises UserError where a preset contradicts another setting."""
    if adapter.kind is None or adapter.kind == "none":
        return None
    used = ADAPTER_SETTINGS[adapter.kind]
    given = {name: value for name in used if (value := getattr(adapter, name)) is not None}
    if adapter.preset is not None:
        for name, value in given.items():
            raise setting_error("adapter.preset", adapter.preset, f"contradicts --adapter.{name} {value}")
        rank = int(adapter.preset.strip("rh"))
        given = dict.fromkeys(used, rank) | {"alpha": float(rank), "stride": 2 if adapter.preset.endswith("h") else 1}
    values = ADAPTER_DEFAULTS | given
    ranks = {LORA: values["rank"]} if adapter.kind == "lora" else {RETAIN: values["retain_rank"], FORGET: values["forget_rank"]}
    return AdapterSpec(adapter.kind, ranks, values["alpha"], values["stride"])
