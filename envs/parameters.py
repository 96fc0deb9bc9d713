"""The config parameters of a reward or a detector: its signature as a pydantic model, which checks values.

The function takes a list of completions first; every further argument is a parameter, and its annotation says what is
accepted: `cap: Annotated[int, Field(ge=1)] = 5`. The kinds are int, float, bool, str and Words.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_default=True)
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument", "invalid_key")  # pydantic's names of this error
KINDS = {int: "an int", float: "a number", bool: "a bool", str: "a string"}


def _split_words(value: Any) -> Any:
    return tuple(value.split(",") if isinstance(value, str) else value) if isinstance(value, str | list) else value


Words = Annotated[
    tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...],
    BeforeValidator(_split_words),
    Field(min_length=1, description="a list of words, or 'one,two'"),
]


def parameters_model(function: Callable[..., Any]) -> type[BaseModel]:
    """Read a signature. Raises TypeError or ValueError for an annotation that is no kind and a default that is not accepted."""
    hints = get_type_hints(function, include_extras=True)
    _, *arguments = inspect.signature(function).parameters.values()
    fields = {each.name: (hints.get(each.name), ... if each.default is each.empty else each.default) for each in arguments}
    model = create_model(function.__name__, __config__=STRICT, **fields)  # pyright: ignore[reportCallIssue, reportArgumentType]
    for name, field in model.model_fields.items():
        if not field.description and field.annotation not in KINDS:
            raise TypeError(f"parameter {name} is annotated with {hints.get(name)}; accepted are int, float, bool, str and Words")
    try:
        model.model_validate({})
    except ValidationError as error:
        if faults := [fault for fault in error.errors() if fault["type"] != "missing"]:
            raise ValueError(_refusal(model, {}, faults[0])) from None
    return model


def read_parameters(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values in their kinds, defaults filled in.

    Raises ValueError, in one line, for an unknown or missing parameter, a value of the wrong kind or out of range.
    """
    try:
        return dict(model.model_validate(given))
    except ValidationError as error:
        raise ValueError(_refusal(model, given, first_fault(error))) from None


def first_fault(error: ValidationError) -> ErrorDetails:
    """An unknown key before all others: it may be what was meant by a missing one."""
    return min(error.errors(), key=lambda fault: fault["type"] not in UNKNOWN_KEY)


def _refusal(model: type[BaseModel], given: Mapping[str, Any], fault: ErrorDetails) -> str:
    name, known = str(fault["loc"][0]), model.model_fields
    if fault["type"] in UNKNOWN_KEY:
        accepted = ", ".join(_describe(each, field) for each, field in known.items()) or "it takes none"
        return f"unknown parameter {name}={given[name]!r}; accepted: {accepted}"
    if fault["type"] == "missing":
        return f"parameter {_describe(name, known[name])} is required"
    return f"{name}={given.get(name, known[name].default)!r} is not accepted; accepted: {_describe(name, known[name])}"


def _describe(name: str, field: FieldInfo) -> str:
    """`cap=5 (an int, at least 1)`."""
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    bounds = "" if least is None else f", at least {least:g}" if most is None else f", from {least:g} to {most:g}"
    default = "" if field.is_required() else f"={field.default!r}"
    return f"{name}{default} ({field.description or KINDS[field.annotation]}{bounds})"
