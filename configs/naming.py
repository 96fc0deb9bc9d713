"""What identifies a run: the name of its folder and the hash of its resolved settings."""

import hashlib
import json
import re
from typing import Any

from configs.experiment import AdapterSettings, Experiment
from configs.resolve import flatten, resolve

# Where a run is put and how it is shown do not make it another experiment.
NOT_IDENTITY = {"output_dir", "overwrite", "wandb.mode", "wandb.project"}
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


def word(value: Any) -> str:
    """A value as part of a file name."""
    if isinstance(value, float):
        value = f"{value:g}"
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", str(value)).strip("-")


def scientific(value: float) -> str:
    """3e-4, 2.5e-5."""
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def reward_name(reward: str | dict[str, Any]) -> str:
    if isinstance(reward, str):
        return word(reward)
    return word(reward.get("name") or "+".join(str(part.get("name")) for part in reward.get("components", [])))


def adapter_name(adapter: AdapterSettings) -> str:
    ranks = {"none": "full", "lora": f"lora{adapter.rank}", "dual_lora": f"duallora{adapter.retain_rank}x{adapter.forget_rank}"}
    return ranks[str(adapter.kind)]


def run_name(resolved: Experiment, usual_detector: str) -> str:
    """Reward, routing, adapter and ranks, lr, beta, batch, seed; then whatever else differs from the defaults.

    `usual_detector` is the one that the environment has unless it is given another.
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
    for name, value in flatten(resolved).items():
        if value != usual[name] and name not in NOT_IDENTITY | IN_EVERY_NAME | ranks:
            parts.append(f"{name.rpartition('.')[2]}{word(value)}")
    name = "_".join(parts)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}_{config_hash(resolved)}"
