"""Rewards and detectors by name. A decorated function is registered under its name; further arguments are its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from configs.errors import did_you_mean
from envs.combination import Combination
from envs.parameters import parameters_model
from envs.types import Marks

Item = TypeVar("Item")
Function = TypeVar("Function", bound=Callable[..., list[Any]])
# Both get all parameters by name.
Refusal = Callable[..., str | None]  # says what is wrong with them together, or None
Fingerprint = Callable[..., str]  # the digest of what a reward's values depend on beside its code, such as weights

OF_TEXTS = ("stories", "chat")  # the environments of functions that judge a text, whatever it answers


@dataclass(frozen=True)
class RegisteredFunction:
    """A predicate or a reward function. Rewards alone have the fields from `hack` on."""

    function: Callable[..., list[Any]]
    parameters: type[BaseModel]
    environments: tuple[str, ...]
    marks: Marks | None = None  # tells where in a completion stands what it counts
    hack: str | None = None  # the call of the predicate that says when the reward was hacked
    detector: str | None = None  # the call of the detector that runs have unless they name another; by default `hack`
    bounded: bool = True  # its values lie in [0, 1]
    refuse: Refusal | None = None
    fingerprint: Fingerprint | None = None


REWARDS: dict[str, RegisteredFunction | Combination] = {}
DETECTORS: dict[str, RegisteredFunction] = {}


@dataclass(frozen=True)
class Tables:
    """What names mean to an experiment: the shipped entries and its plugins'."""

    rewards: Mapping[str, RegisteredFunction | Combination]
    detectors: Mapping[str, RegisteredFunction]


def registered() -> Tables:
    return Tables(REWARDS, DETECTORS)


def reward(
    *,
    hack: str | None = None,
    detector: str | None = None,
    bounded: bool = True,
    environments: tuple[str, ...] = OF_TEXTS,
    refuse: Refusal | None = None,
    fingerprint: Fingerprint | None = None,
    marks: Marks | None = None,
) -> Callable[[Function], Function]:
    """Register a reward function, with the calls of the predicate that says when it was hacked and of a detector for it."""
    of_rewards = {"hack": hack, "detector": detector, "bounded": bounded, "refuse": refuse, "fingerprint": fingerprint}
    return _registering(REWARDS, environments, marks, **of_rewards)


def detector(*, environments: tuple[str, ...] = OF_TEXTS, marks: Marks | None = None) -> Callable[[Function], Function]:
    """Register a predicate, to be used as a detector or as a hack predicate."""
    return _registering(DETECTORS, environments, marks)


def _registering(
    table: dict[str, Any], environments: tuple[str, ...], marks: Marks | None, **of_rewards: Any
) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        entry = RegisteredFunction(function, parameters_model(function), environments, marks, **of_rewards)
        if function.__module__ == module_of(table.get(function.__name__)) == "__main__":  # a notebook's cell, run again
            del table[function.__name__]
        add(table, function.__name__, entry)
        return function

    return register


def module_of(entry: RegisteredFunction | Combination | None) -> str | None:
    return entry.function.__module__ if isinstance(entry, RegisteredFunction) else None


def add(table: dict[str, Item], name: str, entry: Item) -> None:
    """Enter it; a second entry of a name would silently replace what experiments mean by that name: ValueError."""
    if name in table:
        raise ValueError(f"{name} is registered already")
    table[name] = entry


def lookup(what: str, name: str, accepted: Mapping[str, Item]) -> Item:
    """`accepted[name]`, or a ValueError that lists the accepted names. `what` says where the name stands."""
    if name not in accepted:
        names = ", ".join(sorted(accepted)) or "none"
        raise ValueError(f"{what} {name!r} is unknown; accepted: {names}{did_you_mean(str(name), accepted)}")
    return accepted[name]


def rewards_of(environment: str, tables: Tables | None = None) -> dict[str, RegisteredFunction | Combination]:
    """A combination belongs to the environments that all its components belong to."""
    functions, entries = reward_functions_of(environment, tables), (tables or registered()).rewards
    combinations = {name: entry for name, entry in entries.items() if isinstance(entry, Combination)}
    possible = {name: entry for name, entry in combinations.items() if all(part.name in functions for part in entry.components)}
    return functions | possible


def reward_functions_of(environment: str, tables: Tables | None = None) -> dict[str, RegisteredFunction]:
    entries = (tables or registered()).rewards
    functions = {name: entry for name, entry in entries.items() if isinstance(entry, RegisteredFunction)}
    return {name: entry for name, entry in functions.items() if environment in entry.environments}


def detectors_of(environment: str, tables: Tables | None = None) -> dict[str, RegisteredFunction]:
    entries = (tables or registered()).detectors
    return {name: entry for name, entry in entries.items() if environment in entry.environments}
