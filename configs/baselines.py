"""The controls of a routed run, as asked for. All else (seed, labels, environment, sampling) stays the same."""

from collections.abc import Callable
from dataclasses import replace

from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from configs.resolve import adapter_settings, resolve_adapter
from routing.modes import FORGET, RETAIN


def unrouted(routed: Experiment) -> Experiment:
    """The same two adapters without routing; forget is ablated afterwards here, too."""
    return replace(routed, routing=RoutingSettings(), adapter=replace(routed.adapter, kind="dual_lora"))


def lora(routed: Experiment) -> Experiment:
    """One adapter with the ranks of both; alpha, not alpha / rank, stays the same."""
    dual = resolve_adapter(adapter_settings(routed))
    assert dual is not None, "a routed run has adapters"
    rank = dual.ranks[RETAIN] + dual.ranks[FORGET]
    single = AdapterSettings(kind="lora", rank=rank, alpha=dual.alpha, stride=dual.stride)
    return replace(routed, routing=RoutingSettings(), adapter=single)


BASELINES: dict[str, Callable[[Experiment], Experiment]] = {
    "unrouted": unrouted,
    "lora": lora,
    "filter": lambda routed: replace(unrouted(routed), baseline="filter"),  # labelled samples dropped
    "reward_penalty": lambda routed: replace(unrouted(routed), baseline="reward_penalty"),  # labelled samples punished
}
