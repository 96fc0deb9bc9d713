"""A short label for each configuration of a sweep: its arm, or else its kind, and what varies but the seed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from configs.experiment import Experiment
from configs.naming import NOT_IDENTITY, config_hash, reward_name, short_number, spelt_out, to_dict
from configs.resolve import flatten
from configs.resolved import ResolvedExperiment
from configs.sweep import ARM
from records.names import kind_of

IN_KIND = {"routing.enabled", "baseline", "adapter.kind"}  # settings that a run's kind tells


@dataclass
class Draft:
    """A run on its way into the plan, as asked for and resolved. Its hashes and kind do not depend on the folder that it gets."""

    unresolved: Experiment
    resolved: ResolvedExperiment
    values: dict[str, Any]
    routed: list[str] = field(default_factory=list)  # hashes of the routed runs that it is a control of

    @cached_property
    def hash(self) -> str:
        return config_hash(self.resolved)

    @cached_property
    def seedless(self) -> str:
        """The hash that all runs of its configuration have in common."""
        return config_hash(replace(self.resolved, seed=0))

    @cached_property
    def kind(self) -> str:
        return kind_of(to_dict(self.resolved))

    @property
    def head(self) -> str:
        """What its label begins with. A control that `baselines` adds is of no arm."""
        return self.values.get(ARM, self.kind)


def spelled(values: dict[str, Any]) -> str:
    """A combination, as messages and labels have it."""
    return " ".join(f"{name}={setting_text(value)}" for name, value in values.items())


def setting_text(value: Any) -> str:
    """As a command line may have it."""
    if isinstance(value, dict):
        return reward_name(value)
    if isinstance(value, float):
        return short_number(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def configuration_labels(drafts: list[Draft], axes: Sequence[str]) -> list[str]:
    """A label for each: its head and what varies but the seed, the axes first and then what else tells it from others."""
    heads: dict[str, dict[str, Draft]] = {}
    for draft in drafts:
        heads.setdefault(draft.head, {}).setdefault(draft.seedless, draft)
    labels: dict[str, str] = {}
    for head, group in heads.items():
        values = {identity: label_values(draft, [*group.values()], drafts, axes) for identity, draft in group.items()}
        if not are_distinct(values):
            values = {identity: value | rewards_in_full(group[identity]) for identity, value in values.items()}
        if not are_distinct(values):
            values = {identity: values[identity] | others for identity, others in differences(group).items()}
        labels |= {identity: " ".join(filter(None, [head, spelled(value)])) for identity, value in values.items()}
    count = Counter(labels.values())  # rewards of the same name, or an arm that is called as another and its values
    labels = {identity: label if count[label] == 1 else f"{label} config={identity}" for identity, label in labels.items()}
    return [labels[draft.seedless] for draft in drafts]


def rewards_in_full(draft: Draft) -> dict[str, str]:
    """The reward with the parameters and scales of its components: several may have one name."""
    reward = draft.values.get("reward")
    if not isinstance(reward, dict) or "name" in reward:
        return {}
    return {"reward": "+".join(map(component_text, reward["components"])) + in_parentheses(reward, ("cap",))}


def component_text(component: dict[str, Any]) -> str:
    """0.5*happy_count(cap=5)."""
    scale = component.get("scale", 1)
    return ("" if scale == 1 else f"{scale:g}*") + component["name"] + in_parentheses(component.get("params") or {})


def in_parentheses(values: dict[str, Any], names: Sequence[str] = ()) -> str:
    parts = [f"{name}={setting_text(value)}" for name, value in values.items() if name in (names or values)]
    return f"({','.join(parts)})" if parts else ""


def are_distinct(values: dict[str, dict[str, Any]]) -> bool:
    return len({spelled(value) for value in values.values()}) == len(values)


def label_values(draft: Draft, same_head: list[Draft], drafts: list[Draft], axes: Sequence[str]) -> dict[str, Any]:
    """The axes that vary; of those that the kind tells, the ones that vary among runs of this head."""

    def varies(name: str, among: list[Draft]) -> bool:
        return len({spelled({name: other.values[name]}) for other in among if name in other.values}) > 1

    chosen = [name for name in axes if name not in ("seed", ARM) and name in draft.values]
    return {name: draft.values[name] for name in chosen if varies(name, same_head if name in IN_KIND else drafts)}


def differences(groups: dict[str, Draft]) -> dict[str, dict[str, Any]]:
    """Every resolved setting that differs between configurations of one head."""
    flat = {identity: spelt_out(draft.resolved) for identity, draft in groups.items()}
    names = [name for name in flatten(Experiment()) if name not in NOT_IDENTITY | {"seed"}]
    differing = [name for name in names if len({repr(values[name]) for values in flat.values()}) > 1]
    return {identity: {name: values[name] for name in differing} for identity, values in flat.items()}
