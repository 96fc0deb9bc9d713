"""What identifies a run: the name of its folder and the hash of its resolved settings; and how config.yaml spells them."""

import hashlib
import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from configs.experiment import Experiment
from configs.plugins import plugins_name, without_folders
from configs.resolve import DEFAULT_RULE, OfReward, flatten, resolve
from configs.resolved import ADAPTER_DEFAULTS, ResolvedExperiment, as_settings
from configs.spelling import first_record

# Where a run is put and how it is shown do not make it another experiment.
NOT_IDENTITY = {
    "name", "tags", "notes", "require_eos", "threads", "output_dir", "overwrite", "wandb.mode", "wandb.project", "wandb.group",
}  # fmt: skip
IN_EVERY_NAME = {"reward", "routing.enabled", "lr", "beta", "batch_size", "seed", "device"}
RANKS = {"adapter.kind", "adapter.rank", "adapter.retain_rank", "adapter.forget_rank"}
LONGEST_NAME = 180  # file systems take 255 bytes; temporary names are longer than the folder's
DIGEST = "@sha256:"  # between the path of something and the digest of what it was
Flat = dict[str, Any]  # settings by dotted name


def spelt_out(resolved: ResolvedExperiment) -> dict[str, Any]:
    """Every setting by dotted name as a plain value, those without effect at their defaults."""
    usual = {f"adapter.{name}": value for name, value in ADAPTER_DEFAULTS.items()}
    usual |= {"reward_penalty_on": "forget", "advantages": "group"}
    values = {name: usual.get(name) if value is None else value for name, value in flatten(as_settings(resolved)).items()}
    return values | {"output_dir": str(resolved.output_dir), "plugins": [*resolved.plugins], "tags": [*resolved.tags]}


def to_dict(resolved: ResolvedExperiment) -> dict[str, Any]:
    """The same nested, as config.yaml holds them."""
    nested: dict[str, Any] = {}
    for name, value in spelt_out(resolved).items():
        group, _, key = name.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[key] = value
    return nested


def config_hash(resolved: ResolvedExperiment) -> str:
    return settings_hash(spelt_out(resolved))


def settings_hash(flat: Flat) -> str:
    """12 hexadecimal digits over every resolved setting that can change a result; of the device, its kind."""
    identity = {name: value for name, value in first_record(flat).items() if name not in NOT_IDENTITY}
    if "plugins" in identity:
        identity["plugins"] = without_folders(flat["plugins"])
    if "continue_from" in identity:  # wherever it lies
        identity["continue_from"] = flat["continue_from"].rpartition(DIGEST)[2]
    identity["device"] = flat["device"].partition(":")[0]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def short_number(value: float) -> str:
    """A number with as few digits as tell it from every other."""
    return brief if float(brief := f"{value:g}") == value else repr(float(value))


def word(value: Any) -> str:
    """A value as part of a file name: a number with all of its digits, a text with dashes for what has no place there."""
    if isinstance(value, float):
        value = short_number(value)
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", str(value)).strip("-")


def scientific(value: float) -> str:
    """3e-4, 2.5e-5: as few digits as tell the number from every other."""
    mantissa, exponent = f"{Decimal(repr(float(value))).normalize():e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def reward_name(reward: str | dict[str, Any]) -> str:
    if isinstance(reward, str):
        return word(reward)
    return word(reward.get("name") or "+".join(str(part.get("name")) for part in reward.get("components", [])))


def adapter_name(flat: Flat) -> str:
    match flat["adapter.kind"]:
        case "lora":
            return f"lora{flat['adapter.rank']}"
        case "dual_lora":
            return f"duallora{flat['adapter.retain_rank']}x{flat['adapter.forget_rank']}"
    return "full"


def is_legible(value: Any, labels: set[str]) -> bool:
    """Whether a name made of `labels` and words tells this value from every other one: no label seems to begin in it."""
    if isinstance(value, str):
        return word(value) == value and not any(f"_{re.split('[._]', label)[0]}" in value for label in labels)
    return not isinstance(value, dict)


def run_name(resolved: ResolvedExperiment, default_detector: str) -> str:
    return settings_name(spelt_out(resolved), default_detector)


def settings_name(flat: Flat, default_detector: str) -> str:
    """The name given, reward, routing, adapter and ranks, lr, beta, batch, seed; then whatever else differs from the defaults.

    `default_detector` is the one that the environment has unless it is given another. A name that is too long, or that
    does not tell all values whole (`a/b` and `a-b` make the same word), ends with the hash. Runs on different devices
    have the same name.
    """
    source = flat["continue_from"].rpartition(DIGEST)[2][:8]
    digest, flat = settings_hash(flat), flat | {"plugins": plugins_name(flat["plugins"]), "continue_from": source}
    parts = [
        *filter(None, [flat["name"]]),
        reward_name(flat["reward"]),
        "routed" if flat["routing.enabled"] else "unrouted",
        adapter_name(flat),
        f"lr{scientific(flat['lr'])}",
        f"beta{word(flat['beta'])}",
        f"bs{flat['batch_size']}",
        f"s{flat['seed']}",
    ]
    treatment = "routed" if flat["routing.enabled"] else flat["baseline"]
    usual = default_settings() | {"env.detector": default_detector, "advantages": DEFAULT_RULE.get(treatment, "group")}
    usual["plugins"] = ""
    others = {name: value for name, value in flat.items() if name not in NOT_IDENTITY | IN_EVERY_NAME | RANKS}
    keys = Counter(name.rpartition(".")[2] for name in flat if name not in NOT_IDENTITY)
    labels = {name: key if keys[key := name.rpartition(".")[2]] == 1 else name for name in others}
    differing = {name: value for name, value in others.items() if value != usual[name]}
    name = "_".join(parts + [f"{labels[setting]}{word(value)}" for setting, value in differing.items()])
    legible = all(is_legible(value, {"routed", "unrouted", *labels.values()}) for value in (flat["reward"], *differing.values()))
    return name if legible and len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}_{digest}"


def default_settings() -> dict[str, Any]:
    return spelt_out(resolve(Experiment(), cuda_available=False, of_reward=OfReward(detector="", penalty_on="forget")))
