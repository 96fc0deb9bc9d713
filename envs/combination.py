"""A reward put together from components, as YAML or Python write it: `retain` ones are the task, `forget` ones can be gamed
and are paid to eligible samples only. `envs.rewards` binds it to functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from envs.registry import is_number, lookup
from envs.types import Predicate, RewardFunction

Role = Literal["retain", "forget"]


@dataclass(frozen=True)
class Component:
    """A part of a combination: `scale` times a reward function with `params`. Raises ValueError for a wrong role or scale."""

    name: str
    role: Role
    scale: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ValueError(f"component {self.name}: role {self.role!r}; accepted: {', '.join(get_args(Role))}")
        if not is_number(self.scale):
            raise ValueError(f"component {self.name}: scale {self.scale!r}; accepted: a finite number")
        if not isinstance(self.params, Mapping):
            raise ValueError(f"component {self.name}: params {self.params!r}; accepted: a mapping of parameters")


@dataclass(frozen=True)
class Combination:
    """The sum of components, at most `cap`. Raises ValueError for no components, one twice, or a cap that is not above 0."""

    components: tuple[Component, ...]
    cap: float | None
    hack: str | None
    name: str

    def __post_init__(self) -> None:
        names = [component.name for component in self.components]
        if not names:
            raise ValueError(f"reward {self.name}: components is empty; accepted: one or more components")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"reward {self.name}: component {name} stands twice; accepted: each name once")
        if self.cap is not None and not (is_number(self.cap) and self.cap > 0):
            raise ValueError(f"reward {self.name}: cap {self.cap!r}; accepted: a number above 0, or none")


@dataclass(frozen=True)
class BoundComponent:
    """A component whose function takes completions alone."""

    name: str
    role: Role
    scale: float
    function: RewardFunction
    bounded: bool


@dataclass(frozen=True)
class BoundReward:
    """What `envs.scoring` computes. `hack` is None where no predicate says when the reward was hacked."""

    name: str
    components: tuple[BoundComponent, ...]
    cap: float | None
    hack: Predicate | None


def read_combination(mapping: Mapping[str, Any], known: Mapping[str, Any]) -> Combination:
    """Read a combination as YAML has it: components (each with name, role, scale, params), and if wanted cap, hack, name.

    `known` has the names a component may have. A combination without a name is called after its components.
    Raises ValueError, in one line naming the key and what is accepted.
    """
    _check_keys("reward", mapping, required={"components"}, optional={"name", "cap", "hack"})
    parts = mapping["components"]
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError(f"reward.components {parts!r}; accepted: a list of one or more components")
    components = tuple(_read_component(f"reward.components[{i}]", part, known) for i, part in enumerate(parts))
    name, hack = mapping.get("name", "+".join(part.name for part in components)), mapping.get("hack")
    for key, value in (("name", name), ("hack", "none" if hack is None else hack)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"reward.{key} {value!r}; accepted: a string")
    return Combination(components, mapping.get("cap"), hack, name)


def _read_component(key: str, part: Any, known: Mapping[str, Any]) -> Component:
    _check_keys(key, part, required={"name", "role"}, optional={"scale", "params"})
    try:
        lookup("reward component", part["name"], known)
        return Component(**part)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_keys(key: str, mapping: Any, required: set[str], optional: set[str]) -> None:
    accepted = f"accepted: {', '.join(sorted(required))}, and if wanted {', '.join(sorted(optional))}"
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{key} {mapping!r} is no mapping; {accepted}")
    for unknown in sorted(map(str, mapping.keys() - required - optional)):
        raise ValueError(f"{key}.{unknown} is unknown; {accepted}")
    for missing in sorted(required - mapping.keys()):
        raise ValueError(f"{key}.{missing} is missing; {accepted}")
