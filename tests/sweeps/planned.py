"""Sweeps that are planned, and never run."""

from dataclasses import replace
from functools import partial

from configs.experiment import Experiment, RoutingSettings
from configs.naming import config_hash
from configs.sweep import Sweep, checked
from envs.prepare import folder_of, prepare
from sweeps.plan import Plan, make_plan
from tests.configs.asked import one_line

ROUTED = Experiment(max_steps=5, routing=RoutingSettings(enabled=True))
GRID = {"lr": [1e-4, 3e-4, 1e-3], "labels.fraction": [0.2, 0.5, 1.0], "seed": range(1, 5)}  # 36 points
ARMS = {
    "classic": {"routing.enabled": True},
    "exclusive, half retain rollouts": {"routing.enabled": True, "routing.mode": "exclusive", "routing.retain_rollouts": 8},
    "filter": {"adapter.kind": "dual_lora", "baseline": "filter"},
    "beta 0.1": {"adapter.kind": "dual_lora", "beta": 0.1, "advantages": "good_only"},
}
SHORT = Experiment(max_steps=5)


def plan_of(sweep: Sweep, name: str | None = None, cuda: bool = False) -> Plan:
    named = replace(sweep, base=replace(sweep.base, name=name or ""))
    return make_plan(checked(named), partial(prepare, cuda_available=cuda), folder_of)


def launched(asked: Experiment) -> str:
    """The hash of the run that `launch.py` makes of the same settings."""
    return config_hash(prepare(asked, cuda_available=False))


def refusal(sweep: Sweep, name: str | None = None) -> str:
    return one_line(lambda: plan_of(sweep, name))
