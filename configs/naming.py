"""What identifies a run: the name of its folder and the hash of its resolved settings."""

import hashlib
import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from configs.experiment import AdapterSettings, Experiment
from configs.resolve import flatten, resolve

# Where a run is put and how it is shown do not make it another experiment.
NOT_IDENTITY = {"output_dir", "overwrite", "wandb.mode", "wandb.project", "wandb.group"}
IN_EVERY_NAME = {"reward", "routing.enabled", "lr", "beta", "batch_size", "seed", "device"}
LONGEST_NAME = 180  # file systems take 255 bytes; temporary names are longer than the folder's


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """Nested plain values, as config.yaml holds them."""
    nested: dict[str, Any] = {}
    for name, value in flatten(experiment).items():
        *groups, key = name.split(".")
        target = nested
        for group in groups:
            target = target.setdefault(group, {})
        target[key] = value if isinstance(value, str | int | float | dict | None) else str(value)
    return nested


def config_hash(resolved: Experiment) -> str:
    """12 hexadecimal digits over every resolved setting that can change a result; of the device, its kind."""
    identity = {name: value for name, value in flatten(resolved).items() if name not in NOT_IDENTITY}
    identity["device"] = resolved.device.partition(":")[0]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def short(value: float) -> str:
    """A number with as few digits as tell it from every other."""
    return brief if float(brief := f"{value:g}") == value else repr(float(value))


def word(value: Any) -> str:
    """A value as part of a file name: a number with all of its digits, a text with dashes for what has no place there."""
    if isinstance(value, float):
        value = short(value)
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", str(value)).strip("-")


def scientific(value: float) -> str:
    """3e-4, 2.5e-5: as few digits as tell the number from every other."""
    mantissa, exponent = f"{Decimal(repr(float(value))).normalize():e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def reward_name(reward: str | dict[str, Any]) -> str:
    if isinstance(reward, str):
        return word(reward)
    return word(reward.get("name") or "+".join(str(part.get("name")) for part in reward.get("components", [])))


def adapter_name(adapter: AdapterSettings) -> str:
    ranks = {"none": "full", "lora": f"lora{adapter.rank}", "dual_lora": f"duallora{adapter.retain_rank}x{adapter.forget_rank}"}
    return ranks[str(adapter.kind)]


def is_told(value: Any, labels: set[str]) -> bool:
    """Whether a name made of `labels` and words tells this value from every other one: no label seems to begin in it."""
    if isinstance(value, str):
        return word(value) == value and not any(f"_{re.split('[._]', label)[0]}" in value for label in labels)
    return not isinstance(value, dict)


def run_name(resolved: Experiment, usual_detector: str) -> str:
    """Reward, routing, adapter and ranks, lr, beta, batch, seed; then whatever else differs from the defaults.

    `usual_detector` is the one that the environment has unless it is given another. A name that is too long, or that
    does not tell all values whole (`a/b` and `a-b` make the same word), ends with the hash. Runs on different devices
    have the same name.
    """
    assert resolved.lr is not None
    parts = [
        reward_name(resolved.reward),
        "routed" if resolved.routing.enabled else "unrouted",
        adapter_name(resolved.adapter),
        f"lr{scientific(resolved.lr)}",
        f"beta{word(resolved.beta)}",
        f"bs{resolved.batch_size}",
        f"s{resolved.seed}",
    ]
    usual = flatten(resolve(Experiment(), cuda_available=False)) | {"env.detector": usual_detector}
    ranks = {"adapter.kind", "adapter.rank", "adapter.retain_rank", "adapter.forget_rank"}
    others = {name: value for name, value in flatten(resolved).items() if name not in NOT_IDENTITY | IN_EVERY_NAME | ranks}
    keys = Counter(name.rpartition(".")[2] for name in others)
    labels = {name: key if keys[key := name.rpartition(".")[2]] == 1 else name for name in others}
    differing = {name: value for name, value in others.items() if value != usual[name]}
    parts += [f"{labels[name]}{word(value)}" for name, value in differing.items()]
    name = "_".join(parts)
    told = all(is_told(value, {"routed", "unrouted", *labels.values()}) for value in (resolved.reward, *differing.values()))
    return name if told and len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}_{config_hash(resolved)}"
