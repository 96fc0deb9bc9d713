"""The controls of a routed run, as asked for. All else stays the same: seed, labels, environment, sampling, and the
advantage rule, unless the name says otherwise.
"""

from collections.abc import Callable
from dataclasses import replace

from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from configs.resolve import DEFAULT_RULE, adapter_settings, resolve_adapter
from routing.modes import FORGET, RETAIN


def unrouted(routed: Experiment) -> Experiment:
    """The same two adapters without masks; forget is ablated afterwards here, too."""
    adapter = replace(routed.adapter, kind="dual_lora")
    return replace(routed, routing=RoutingSettings(), adapter=adapter, advantages=rule_of(routed))


def rule_of(routed: Experiment) -> str:
    return routed.advantages or DEFAULT_RULE["routed"]


def with_other_rule(experiment: Experiment) -> Experiment:
    """`group`, plain GRPO's; for a run that has it, `good_only`."""
    return replace(experiment, advantages="good_only" if rule_of(experiment) == "group" else "group")


def lora(routed: Experiment) -> Experiment:
    """One adapter with the ranks of both and the mean alpha / rank of their ranks, so that it starts as fast."""
    dual = resolve_adapter(adapter_settings(routed))
    assert dual is not None, "a routed run has adapters"
    rank = dual.ranks[RETAIN] + dual.ranks[FORGET]
    single = AdapterSettings(kind="lora", rank=rank, alpha=2 * dual.alpha, stride=dual.stride)
    return replace(unrouted(routed), adapter=single)


def unhackable(routed: Experiment) -> Experiment:
    """The ceiling: plain GRPO on the same two adapters where the reward's forget components are paid to no sample."""
    return replace(unrouted(routed), advantages="group", env=replace(routed.env, eligible_fraction=0.0))


# With the routed run, the first three are the whole of masks x rules.
BASELINES: dict[str, Callable[[Experiment], Experiment]] = {
    "unrouted": unrouted,
    "unrouted_other_rule": lambda routed: with_other_rule(unrouted(routed)),
    "routed_other_rule": with_other_rule,
    "lora": lora,
    "filter": lambda routed: replace(unrouted(routed), baseline="filter"),  # labelled samples dropped
    "reward_penalty": lambda routed: replace(unrouted(routed), baseline="reward_penalty"),  # labelled samples punished
    "unhackable": unhackable,
}
