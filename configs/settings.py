"""How settings are declared: dataclasses whose values are checked as they are made, by pydantic.

A field's annotation says what it accepts, its bounds and what a refusal says of them. A wrong value is a UserError of one
line, on the command line, in YAML and in Python alike.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from configs.errors import UserError, option_error, setting_error

Settings = TypeVar("Settings")

AtLeastOne = Annotated[int, Field(ge=1, description="must be at least 1")]
NotNegativeInt = Annotated[int, Field(ge=0, description="must be 0 or more")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, description="must be 0 or more")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="must be a positive number")]
BelowOne = Annotated[float, Field(ge=0, lt=1, description="must be 0 or more, and below 1")]
AboveZero = Annotated[float, Field(gt=0, le=1, description="must be above 0 and at most 1")]
Share = Annotated[float, Field(ge=0, le=1, description="must be between 0 and 1")]

PathSetting = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value)]

# What is missed, by pydantic's name of the error.
KINDS = {
    "bool_type": "true or false", "int_type": "a whole number", "float_type": "a number",
    "string_type": "a text", "is_instance_of": "a path",
}  # fmt: skip


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def settings(group: str = "") -> Callable[[type[Settings]], type[Settings]]:
    """A frozen dataclass of settings, whose options begin with `--GROUP.`; making one raises UserError for a wrong value.

    Types are strict, but for whole numbers where a float is meant, which become floats: equal settings have equal hashes.
    """

    def declare(cls: type[Settings]) -> type[Settings]:
        made = pydantic_dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))(cls)
        unchecked = made.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            try:
                unchecked(self, *args, **kwargs)
            except ValidationError as error:
                raise refusal(made, f"{group}." if group else "", error) from None

        __init__.__wrapped__ = unchecked  # type: ignore[attr-defined]  # whoever asks for the signature gets the real one
        made.__init__ = __init__
        return made  # type: ignore[return-value]

    return declare


def refusal(cls: type, prefix: str, error: ValidationError) -> UserError:
    """The first fault: the setting, its value and what is accepted."""
    fault = error.errors()[0]
    name = str(fault["loc"][0])
    if fault["type"] == "unexpected_keyword_argument":
        names = ", ".join(entry.name for entry in fields(cls))
        return option_error(f"--{prefix}{name}: no such setting; {cls.__name__} has {names}")
    return setting_error(f"{prefix}{name}", fault["input"], accepted(get_type_hints(cls, include_extras=True)[name], fault))


def accepted(hint: Any, fault: ErrorDetails) -> str:
    """What a field with this annotation accepts: its kind or choices where these are missed, else what its bounds say."""
    details = fault.get("ctx", {})
    if fault["type"] == "literal_error":
        choices = re.findall("'(.*?)'", details["expected"])
        return f"accepted are {', '.join(choices)}"
    if "class_name" in details:
        return f"must be {details['class_name']}"
    if fault["type"] in KINDS and len(fault["loc"]) == 1:  # not in a member of a union
        return f"must be {KINDS[fault['type']]}"
    return next(extra.description for extra in _extras(hint) if isinstance(extra, FieldInfo) and extra.description)


def _extras(hint: Any) -> Iterator[Any]:
    """Of an annotation and the members of its union."""
    yield from getattr(hint, "__metadata__", ())
    for part in get_args(hint):
        yield from _extras(part)
