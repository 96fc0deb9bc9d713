"""From names and calls to functions of completions: `happy_count(cap=5)` with its parameters checked and filled in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from envs.call import Call, parse_call
from envs.combination import Combination, Component, read_combination
from envs.parameters import read_parameters
from envs.registry import RegisteredFunction, Tables, detectors_of, lookup, reward_functions_of, rewards_of
from envs.types import BoundComponent, BoundReward, Completion, Marks, Predicate


@dataclass(frozen=True)
class BoundFunction:
    """A registered function with a value for each of its parameters. As a string it is the call that made it."""

    function: Callable[..., list[Any]]
    call: Call
    marks: Marks | None = None  # with the same values

    def __call__(self, completions: list[Completion]) -> list[Any]:
        return self.function(completions, **self.call.params)

    def __str__(self) -> str:
        return str(self.call)


def bind_reward(spec: str | Mapping[str, Any] | Combination, environment: str, tables: Tables | None = None) -> BoundReward:
    """The reward that a call such as `happy_count(cap=5)` names, or that a combination, perhaps as YAML has it, describes.

    Names are those of `tables`, by default what is registered without plugins.
    Raises ValueError, in one line, for a name that this environment does not have and for wrong keys or parameters.
    """
    combination = _called_combination(spec, environment, tables) if isinstance(spec, str) else read_combination(spec)
    components = tuple(_bind_component(component, environment, tables) for component in combination.components)
    hack = None if combination.hack is None else bind_detector(combination.hack, environment, tables)
    functions = [*(component.function for component in components), hack]
    marks = tuple(each.marks for each in functions if isinstance(each, BoundFunction) and each.marks)
    return BoundReward(combination.name, components, combination.cap, hack, combination.detector or combination.hack, marks)


def bind_detector(text: str, environment: str, tables: Tables | None = None) -> Predicate:
    """The predicate that a call such as `happy_at_least(threshold=3)` names.

    Raises ValueError, in one line, for a wrong form, a name the environment does not have, or wrong parameters.
    """
    call = parse_call(text)
    entry = lookup("detector", call.name, detectors_of(environment, tables))
    return bind_function(f"detector {call.name}", entry, call.params)


def bind_function(what: str, entry: RegisteredFunction, given: Mapping[str, Any]) -> BoundFunction:
    """Raises ValueError, in one line that begins with `what`, for parameters that are not accepted."""
    try:
        params = read_parameters(entry.parameters, given)
        if entry.refuse and (refusal := entry.refuse(**params)):
            raise ValueError(refusal)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return BoundFunction(entry.function, Call(entry.function.__name__, params), entry.marks and partial(entry.marks, **params))


def _called_combination(text: str, environment: str, tables: Tables | None) -> Combination:
    """The registered one of that name; a function by itself is a combination of one component, the task."""
    call = parse_call(text)
    entry = lookup("reward", call.name, rewards_of(environment, tables))
    if isinstance(entry, RegisteredFunction):
        task = Component(call.name, "retain", params=call.params)
        return Combination((task,), hack=entry.hack, detector=entry.detector, name=str(call))
    if call.params:
        raise ValueError(f"reward {text!r}: {call.name} is a combination; accepted: no parameters")
    return entry


def _bind_component(component: Component, environment: str, tables: Tables | None) -> BoundComponent:
    entry = lookup("reward component", component.name, reward_functions_of(environment, tables))
    function = bind_function(f"reward {component.name}", entry, component.params)
    fingerprint = entry.fingerprint and partial(entry.fingerprint, **function.call.params)
    return BoundComponent(component.name, component.role, component.scale, function, entry.bounded, fingerprint)
