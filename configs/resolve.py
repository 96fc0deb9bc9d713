"""From what was asked for to what will run: fills in the defaults that depend on other settings, refuses the rest."""

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from configs.types import check_types

LR_FULL, LR_ADAPTERS = 1e-5, 3e-4
ADAPTER_DEFAULTS = {"rank": 8, "retain_rank": 4, "forget_rank": 4, "alpha": 16.0, "stride": 1}
USED_ONLY_BY = {"prompt_length": ("stories",)}  # settings of `env` that not every environment uses


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of a settings dataclass."""
    flat: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        flat |= flatten(value, f"{prefix}{entry.name}.") if is_dataclass(value) else {f"{prefix}{entry.name}": value}
    return flat


def changed(settings: Any) -> Iterator[str]:
    """Names of the fields of one settings group that differ from their defaults."""
    for entry in fields(settings):
        if getattr(settings, entry.name) != _default(entry):
            yield entry.name


def _default(entry: Field) -> Any:
    return entry.default if entry.default is not MISSING else entry.default_factory()  # type: ignore[misc]


def require(holds: bool, option: str, value: Any, accepted: str) -> None:
    if not holds:
        raise UserError(f"--{option} {value}: {accepted}")


def resolve(asked: Experiment, cuda_available: bool) -> Experiment:
    """The settings that will run, with no None left but `env.detector`, which the environment fills in.

    Resolving twice changes nothing. Raises UserError for values out of range, settings without effect and
    contradictions.
    """
    check_types(asked)
    check_ranges(asked)
    asked = with_floats(asked)
    routing, adapter = resolve_routing(asked.routing, spell_lora_rank_out(asked))
    adapter = resolve_adapter(adapter)
    asked = replace(asked, routing=routing, adapter=adapter, lora_rank=None)
    check_effects(asked)
    lr = asked.lr if asked.lr is not None else (LR_FULL if adapter.kind == "none" else LR_ADAPTERS)
    device = resolve_device(asked.device, cuda_available)
    return replace(asked, lr=lr, device=device)


def with_floats(settings: Any) -> Any:
    """Whole numbers, which Python takes for floats, as floats: equal settings are to have equal hashes."""
    changes: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            changes[entry.name] = with_floats(value)
        elif entry.type in (float, float | None) and value is not None:
            changes[entry.name] = float(value)
    return replace(settings, **changes)


def spell_lora_rank_out(asked: Experiment) -> AdapterSettings:
    if asked.lora_rank is None:
        return asked.adapter
    contradicting = [f"adapter.{name}" for name in ("rank", "preset") if getattr(asked.adapter, name) is not None]
    if asked.adapter.kind not in (None, "lora"):
        contradicting.append("adapter.kind")
    for name in contradicting:
        raise UserError(f"--lora_rank {asked.lora_rank}: contradicts --{name} {flatten(asked)[name]}")
    return replace(asked.adapter, kind="lora", rank=asked.lora_rank)


def resolve_routing(routing: RoutingSettings, adapter: AdapterSettings) -> tuple[RoutingSettings, AdapterSettings]:
    if not routing.enabled:
        for name in changed(routing):
            raise UserError(f"--routing.{name} {getattr(routing, name)}: has no effect without --routing.enabled")
        return routing, adapter if adapter.kind else replace(adapter, kind="none")
    if adapter.kind not in (None, "dual_lora"):
        raise UserError(f"--adapter.kind {adapter.kind}: routing needs dual_lora; leave --adapter.kind or --routing.enabled out")
    if routing.mode == "none":  # the matched control has one form, so that equal runs have equal hashes
        for name in [name for name in changed(routing) if name not in ("enabled", "mode")]:
            raise UserError(f"--routing.{name} {getattr(routing, name)}: has no effect with --routing.mode none")
        routing = RoutingSettings()
    return routing, replace(adapter, kind="dual_lora")


def resolve_adapter(adapter: AdapterSettings) -> AdapterSettings:
    """Spells a preset and the defaults out. A setting of another kind of adapter is refused: it would have no effect."""
    used = {"none": (), "lora": ("rank", "alpha", "stride"), "dual_lora": ("retain_rank", "forget_rank", "alpha", "stride")}
    assert adapter.kind is not None
    given = {name: value for name in ADAPTER_DEFAULTS if (value := getattr(adapter, name)) is not None}
    for name, value in given.items():
        if name not in used[adapter.kind] and value != ADAPTER_DEFAULTS[name]:
            raise UserError(f"--adapter.{name} {value}: has no effect with --adapter.kind {adapter.kind}")
    if adapter.preset is None:
        return replace(adapter, **(ADAPTER_DEFAULTS | given))
    if adapter.kind == "none":
        raise UserError(f"--adapter.preset {adapter.preset}: has no effect with --adapter.kind none; use lora or dual_lora")
    for name, value in given.items():
        raise UserError(f"--adapter.preset {adapter.preset}: contradicts --adapter.{name} {value}")
    rank = int(adapter.preset.strip("rh"))
    preset = {name: rank for name in used[adapter.kind] if name.endswith("rank")} | {"alpha": float(rank)}
    return replace(adapter, preset=None, **(ADAPTER_DEFAULTS | preset | {"stride": 2 if adapter.preset.endswith("h") else 1}))


def resolve_device(device: str, cuda_available: bool) -> str:
    known = re.fullmatch("auto|cpu|cuda(:[0-9]+)?", device)
    require(known is not None, "device", device, "accepted are auto, cpu, cuda, cuda:NUMBER")
    there = cuda_available or not device.startswith("cuda")
    require(there, "device", device, "no CUDA device is available here; use auto or cpu")
    return device if device != "auto" else ("cuda" if cuda_available else "cpu")


def check_ranges(e: Experiment) -> None:
    at_least_one = ["max_steps", "batch_size", "num_generations", "logging_steps", "save_steps", "eval_every"]
    at_least_one += [f"adapter.{name}" for name in ("rank", "retain_rank", "forget_rank", "stride")]
    at_least_one += ["env.prompt_length", "env.num_prompts", "env.num_eval_prompts", "sampling.max_completion_length"]
    at_least_one += ["grpo.num_iterations", "eval.num_prompts"]
    shares = ["env.eligible_fraction", "labels.fraction", "labels.noise"]
    positive = ["reward_penalty", "adapter.alpha", "grpo.max_grad_norm"]
    not_negative = ["seed", "beta", "grpo.warmup_steps", "eval.final_samples"]
    flat = flatten(e)
    for name in at_least_one:
        require(flat[name] is None or flat[name] >= 1, name, flat[name], "must be at least 1")
    for name in positive:
        require(flat[name] is None or 0 < flat[name] < float("inf"), name, flat[name], "must be a positive number")
    for name in shares:
        require(0 <= flat[name] <= 1, name, flat[name], "must be between 0 and 1")
    for name in not_negative:
        require(0 <= flat[name] < float("inf"), name, flat[name], "must be 0 or more")
    require(e.lora_rank is None or e.lora_rank >= 1, "lora_rank", e.lora_rank, "must be at least 1")
    k, whole = e.routing.retain_rollouts, e.num_generations
    require(k == 0 or 2 <= k <= whole - 2, "routing.retain_rollouts", k,
            f"must be 0, or leave 2 of --num_generations {whole} on either side: "
            "each side has a baseline of its own")  # fmt: skip
    require(e.lr is None or 0 < e.lr < float("inf"), "lr", e.lr, "must be a positive number")
    require(0 <= e.grpo.epsilon_low <= 1, "grpo.epsilon_low", e.grpo.epsilon_low, "must be between 0 and 1")
    require(0 <= e.grpo.epsilon_high < float("inf"), "grpo.epsilon_high", e.grpo.epsilon_high, "must be 0 or more")
    require(e.num_generations >= 2, "num_generations", e.num_generations, "a group needs at least 2 completions")
    require(e.batch_size % e.num_generations == 0, "batch_size", e.batch_size,
            f"must be a multiple of --num_generations {e.num_generations}")  # fmt: skip
    require(e.grpo.warmup_steps < e.max_steps, "grpo.warmup_steps", e.grpo.warmup_steps,
            f"must be below --max_steps {e.max_steps}")  # fmt: skip
    s, refused = e.sampling, "training samples from the whole distribution"
    require(0 < s.temperature < float("inf"), "sampling.temperature", s.temperature, f"must be above 0: {refused}")
    require(s.top_k == 0, "sampling.top_k", s.top_k, f"must be 0: {refused}; evaluate.py takes it")
    require(s.top_p == 1.0, "sampling.top_p", s.top_p, f"must be 1: {refused}; evaluate.py takes it")


def check_effects(e: Experiment) -> None:
    for name in changed(e.env):
        require(name not in USED_ONLY_BY or e.env.name in USED_ONLY_BY[name], f"env.{name}", getattr(e.env, name),
                f"has no effect with --env.name {e.env.name}")  # fmt: skip
    g, defaults = e.grpo, Experiment().grpo
    require(not (g.kl_estimator == "k1" and not g.kl_corrected), "grpo.kl_estimator", "k1",
            "its expected gradient in the loss is zero; accepted are k2, k3, or k1 with --grpo.kl_corrected")  # fmt: skip
    if e.beta == 0:
        for name in ("kl_estimator", "kl_corrected"):
            require(getattr(g, name) == getattr(defaults, name), f"grpo.{name}", getattr(g, name), "has no effect with --beta 0")
    if g.num_iterations == 1:  # the ratio is 1 then, and nothing is clipped
        for name in ("epsilon_low", "epsilon_high"):
            require(getattr(g, name) == getattr(defaults, name), f"grpo.{name}", getattr(g, name),
                    "has no effect with --grpo.num_iterations 1")  # fmt: skip
    require(not (e.routing.enabled and e.baseline != "none"), "baseline", e.baseline, "contradicts --routing.enabled")
    require(e.baseline == "reward_penalty" or e.reward_penalty == Experiment().reward_penalty, "reward_penalty",
            e.reward_penalty, "has no effect without --baseline reward_penalty")  # fmt: skip
    if e.adapter.kind == "none" and e.baseline == "none":  # neither a routed run nor one that is compared with one
        for name in changed(e.labels):
            require(False, f"labels.{name}", getattr(e.labels, name),
                    "has no effect in full fine-tuning without --baseline; labels are for adapters")  # fmt: skip
