"""A reward put together from components, as YAML or Python write it: `retain` ones are the task, `forget` ones can be gamed
and are paid to eligible samples only. `envs.binding` binds it to functions.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from envs.parameters import UNKNOWN_KEY, first_fault
from envs.types import Role

NO_OTHER_KEYS = ConfigDict(extra="forbid")
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class Component:
    """A part of a combination: `scale` times a reward function with `params`, which are checked when it is bound."""

    name: str
    role: Role
    scale: Number = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)


def _each_once(components: tuple[Component, ...]) -> tuple[Component, ...]:
    for name, times in Counter(component.name for component in components).items():
        if times > 1:
            raise ValueError(f"component {name} stands twice; accepted: each name once")
    return components


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class Combination:
    """The sum of components, at most `cap`. `hack` is the call of its hack predicate, `detector` that of the detector which
    runs have unless they name another; by default the hack predicate, which sees everything."""

    components: Annotated[tuple[Component, ...], Field(min_length=1), AfterValidator(_each_once)]
    cap: Annotated[Number, Field(gt=0)] | None = None
    hack: Text | None = None
    detector: Text | None = None
    name: Text = Field(default_factory=lambda values: "+".join(part.name for part in values["components"]))


def read_combination(mapping: Mapping[str, Any] | Combination) -> Combination:
    """A combination as YAML has it. Raises ValueError, in one line naming the key, its value and what is accepted."""
    try:
        return TypeAdapter(Combination).validate_python(mapping)
    except ValidationError as error:
        fault = first_fault(error)
    path, value = fault["loc"], fault["input"]
    key = "reward" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    keys = ", ".join(each.name for each in fields(Component if len(path) > 1 else Combination))
    shape_faults = dict.fromkeys(UNKNOWN_KEY, "is unknown")
    shape_faults |= {"missing": "is missing", "dataclass_type": f"{value!r} is no mapping"}
    if fault["type"] in shape_faults:
        raise ValueError(f"{key} {shape_faults[fault['type']]}; accepted: {keys}")
    raise ValueError(f"{key} {value!r}: {fault['msg'].removeprefix('Value error, ')}")
