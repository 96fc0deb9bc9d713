"""The words that runs and sweeps are told in: evaluation modes and their colours, kinds of runs, and how a run stands."""

from collections.abc import Mapping
from typing import Any

BOTH, POLICY, RETAIN_ONLY, FORGET_ONLY, BASE = "both", "policy", "retain_only", "forget_only", "base"
MODES = (BOTH, POLICY, RETAIN_ONLY, FORGET_ONLY, BASE)  # in the order of every table and legend

# Okabe and Ito's colours, told apart by colour-blind readers too; black and their yellow last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
MODE_COLOURS = {BOTH: "#0072B2", POLICY: "#0072B2", RETAIN_ONLY: "#009E73", FORGET_ONLY: "#D55E00", BASE: "#555555"}

# unrouted: both adapters, no masks; unhackable: the reward's forget components are paid to no sample.
KINDS = ("routed", "unrouted", "lora", "full", "filter", "reward_penalty", "unhackable")
ROUTED, UNROUTED, UNHACKABLE = "routed", "unrouted", "unhackable"

# What a run's status.json says of it; WAITING has no folder yet, STOPPED is the end that a stop rule made.
WAITING, RUNNING, INTERRUPTED, FAILED, FINISHED = "waiting", "running", "interrupted", "failed", "finished"
STOPPED = "stopped"
ENDED = (FINISHED, STOPPED)  # with a final evaluation; nothing is left to do
BROKEN = "BrokenInvariant"  # what the error of a failed run begins with whose figures can not be right
# What a running one is doing.
LOADING, REHEARSING, TRAINING, EVALUATING = "loading", "rehearsing", "training", "evaluating"
RELEARNING = "relearning"


def as_trained(mode: str) -> str:
    """A policy without retain and forget stands where both adapters are on."""
    return BOTH if mode == POLICY else mode


def kind_of(config: Mapping[str, Any]) -> str:
    """Which of KINDS the settings of a config.yaml make."""
    if config.get("baseline", "none") != "none":
        return str(config["baseline"])
    routing, adapter = config.get("routing") or {}, config.get("adapter") or {}
    if routing.get("enabled") and routing.get("mode") != "none":
        return ROUTED
    if (config.get("env") or {}).get("eligible_fraction") == 0:
        return UNHACKABLE
    return {"dual_lora": "unrouted", "lora": "lora"}.get(str(adapter.get("kind")), "full")
