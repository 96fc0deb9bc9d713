"""Each control differs from its routed run in what its name says, and in nothing else."""

from dataclasses import replace

import pytest

from configs.baselines import BASELINES
from configs.experiment import AdapterSettings, EnvironmentSettings, Experiment, LabelSettings, RoutingSettings
from configs.resolve import OfReward, flatten, resolve
from configs.resolved import ResolvedExperiment
from routing.spec import AdapterSpec
from tests.configs.asked import differing

ROUTED = Experiment(
    reward="happy_exp",
    seed=7,
    labels=LabelSettings(fraction=0.5, noise=0.1),
    env=EnvironmentSettings(detector="happy_at_least(threshold=2)"),
    routing=RoutingSettings(enabled=True, mode="exclusive", retain_rollouts=4),
    adapter=AdapterSettings(retain_rank=2, forget_rank=6, alpha=12.0, stride=2),
)


def resolved(asked: Experiment) -> ResolvedExperiment:
    return resolve(asked, cuda_available=False, of_reward=OfReward("happy_at_least(threshold=3)", "forget"))


NO_RANKS = {"adapter.retain_rank": None, "adapter.forget_rank": None}
NO_ROUTING = {"routing.enabled": False, "routing.mode": "classic", "routing.retain_rollouts": 0}
CONTROL = NO_ROUTING | {"advantages": "good_only"}  # the routed run's own


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("unrouted", CONTROL | {"adapter.kind": "dual_lora"}),
        ("unrouted_other_rule", NO_ROUTING | {"adapter.kind": "dual_lora", "advantages": "group"}),
        ("routed_other_rule", {"advantages": "group"}),
        ("lora", CONTROL | {"adapter.kind": "lora", "adapter.rank": 8, "adapter.alpha": 24.0} | NO_RANKS),
        ("filter", CONTROL | {"adapter.kind": "dual_lora", "baseline": "filter"}),
        ("reward_penalty", CONTROL | {"adapter.kind": "dual_lora", "baseline": "reward_penalty"}),
        (
            "unhackable",
            NO_ROUTING | {"adapter.kind": "dual_lora", "advantages": "group", "env.eligible_fraction": 0.0},
        ),
    ],
)
def test_a_baseline_differs_in_nothing_but_what_it_is(name: str, changes: dict):
    control = BASELINES[name](ROUTED)
    usual = flatten(ROUTED)
    expected = {setting: value for setting, value in changes.items() if usual[setting] != value}
    assert differing(control, ROUTED) == expected
    assert resolved(control).lr == resolved(ROUTED).lr == 1e-3


def test_the_other_rule_of_group_is_good_only():
    plain = replace(ROUTED, advantages="group")
    rules = [BASELINES[name](plain).advantages for name in BASELINES]
    assert rules == ["group", "good_only", "good_only", "group", "group", "group", "group"]


@pytest.mark.parametrize(("ranks", "gain"), [((4, 4), 3.0), ((2, 6), 3.0)])
def test_the_single_adapter_has_the_gain_of_the_two(ranks: tuple[int, int], gain: float):
    """alpha / rank: 12 / 4 in both adapters; of 12 / 2 and 12 / 6 the mean over all eight ranks, (2 * 6 + 6 * 2) / 8."""
    routed = replace(ROUTED, adapter=AdapterSettings(retain_rank=ranks[0], forget_rank=ranks[1], alpha=12.0))
    adapter = resolved(BASELINES["lora"](routed)).adapter
    assert adapter is not None and (adapter.ranks, adapter.alpha / adapter.ranks["lora"]) == ({"lora": 8}, gain)


def test_a_preset_s_lora_has_both_ranks_and_twice_the_alpha():
    routed = Experiment(routing=RoutingSettings(enabled=True), adapter=AdapterSettings(preset="r1h"))
    assert resolved(BASELINES["lora"](routed)).adapter == AdapterSpec("lora", {"lora": 2}, alpha=2.0, stride=2)
    assert resolved(BASELINES["unrouted"](routed)).adapter == resolved(routed).adapter
