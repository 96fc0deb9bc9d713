"""What the registries of rewards and detectors share: reading a function's parameters, and binding values to them.

A registered function takes a list of completions first; every further argument is a config parameter, whose annotation
says what is accepted: `cap: Annotated[int, Range(least=1)] = 5`. The kinds are int, float, bool, str and tuple[str, ...].
"""

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from envs.call import Call
from envs.types import Completion, Values

REQUIRED = inspect.Parameter.empty
KINDS = {int: "an int", float: "a number", bool: "a bool", str: "a string", tuple[str, ...]: "a list of words, or 'one,two'"}
Refusal = Callable[..., str | None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Range:
    """The accepted numbers, both ends included."""

    least: float = -math.inf
    most: float = math.inf

    def __str__(self) -> str:
        return f"at least {self.least:g}" if self.most == math.inf else f"from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Parameter:
    """One config parameter. `kind` is a key of KINDS; `default` may be REQUIRED."""

    name: str
    kind: Any
    default: Any
    range: Range | None

    def __str__(self) -> str:
        """For messages: `cap=5 (an int, at least 1)`."""
        name = self.name if self.default is REQUIRED else f"{self.name}={self.default!r}"
        return f"{name} ({KINDS[self.kind]}{f', {self.range}' if self.range else ''})"

    def read(self, value: Any) -> Any:
        """The value in this parameter's kind; raises ValueError where it is of another kind or out of range."""
        read = _READERS[self.kind](value)
        if read is None or (self.range and not self.range.least <= read <= self.range.most):
            raise ValueError(f"{self.name}={value!r} is not accepted; accepted: {self}")
        return read


@dataclass(frozen=True)
class Registered:
    """A function in a registry. `refuse` gets all parameters by name, and says what is wrong with them as a whole, or None."""

    name: str
    function: Callable[..., Values]
    environments: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    refuse: Refusal | None = None


@dataclass(frozen=True)
class BoundFunction:
    """A registered function with a value for each of its parameters. As a string it is the call that made it."""

    function: Callable[..., Values]
    call: Call

    def __call__(self, completions: list[Completion]) -> Values:
        return self.function(completions, **self.call.params)

    def __str__(self) -> str:
        return str(self.call)


def registered(function: Callable[..., Values], environments: tuple[str, ...], refuse: Refusal | None = None) -> Registered:
    """Read a function's signature. Raises TypeError or ValueError, at import, for one that could not be bound."""
    hints = get_type_hints(function, include_extras=True)
    _, *parameters = inspect.signature(function).parameters.values()
    read = tuple(_parameter(each, hints.get(each.name)) for each in parameters)
    return Registered(function.__name__, function, environments, read, refuse)


def add(table: dict[str, Item], name: str, entry: Item) -> None:
    """Enter it; a second entry of a name would silently replace what experiments mean by that name: ValueError."""
    if name in table:
        raise ValueError(f"{name} is registered already")
    table[name] = entry


def lookup(what: str, name: str, accepted: Mapping[str, Item]) -> Item:
    """`accepted[name]`, or a ValueError that lists the accepted names. `what` says where the name stands."""
    if not isinstance(name, str) or name not in accepted:
        raise ValueError(f"{what} {name!r} is unknown; accepted: {', '.join(sorted(accepted)) or 'none'}")
    return accepted[name]


def bind_parameters(what: str, entry: Registered, given: Mapping[str, Any]) -> BoundFunction:
    """Check the given parameters and fill in the defaults.

    Raises ValueError, in one line, for an unknown or missing parameter, a value of the wrong kind or out of range.
    """
    known = {parameter.name: parameter for parameter in entry.parameters}
    for name, value in given.items():
        if name not in known:
            accepted = ", ".join(map(str, entry.parameters)) or "it takes none"
            raise ValueError(f"{what} {entry.name}: unknown parameter {name}={value!r}; accepted: {accepted}")
    try:
        call = Call(entry.name, {name: _value(parameter, given) for name, parameter in known.items()})
        refusal = entry.refuse(**call.params) if entry.refuse else None
        if refusal:
            raise ValueError(refusal)
    except ValueError as error:
        raise ValueError(f"{what} {entry.name}: {error}") from None
    return BoundFunction(entry.function, call)


def _value(parameter: Parameter, given: Mapping[str, Any]) -> Any:
    if parameter.name in given:
        return parameter.read(given[parameter.name])
    if parameter.default is REQUIRED:
        raise ValueError(f"parameter {parameter} is required")
    return parameter.default


def _parameter(signature: inspect.Parameter, hint: Any) -> Parameter:
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    kind = get_args(hint)[0] if extras else hint
    if kind not in KINDS:
        raise TypeError(f"parameter {signature.name} is annotated with {hint}; accepted are {', '.join(map(str, KINDS))}")
    limits = next((extra for extra in extras if isinstance(extra, Range)), None)
    parameter = Parameter(signature.name, kind, signature.default, limits)
    if signature.default is not REQUIRED:
        parameter.read(signature.default)
    return parameter


def is_number(value: Any) -> bool:
    """A finite int or float. A bool is an int to Python, but in a config it is a slip."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _read_words(value: Any) -> tuple[str, ...] | None:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        return None
    stripped = tuple(word.strip() for word in words)
    return stripped if stripped and all(stripped) else None


# Each gives None for a value that is not of its kind.
_READERS: dict[Any, Callable[[Any], Any]] = {
    int: lambda value: value if isinstance(value, int) and not isinstance(value, bool) else None,
    float: lambda value: float(value) if is_number(value) else None,
    bool: lambda value: value if isinstance(value, bool) else None,
    str: lambda value: value if isinstance(value, str) else None,
    tuple[str, ...]: _read_words,
}
