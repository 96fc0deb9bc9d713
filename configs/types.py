"""Whether values fit the annotations of a settings dataclass: in Python, nothing else checks them."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from configs.errors import UserError

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path", dict: "a mapping"}


def check_types(settings: Any, prefix: str = "") -> None:
    """Raises UserError for the first value that its annotation does not admit."""
    hints = get_type_hints(type(settings), include_extras=True)
    for entry in fields(settings):
        name, value, hint = f"{prefix}{entry.name}", getattr(settings, entry.name), hints[entry.name]
        if is_dataclass(hint):
            if type(value) is not hint:
                raise UserError(f"--{name} {value!r}: must be {hint.__name__}")  # type: ignore[union-attr]
            check_types(value, f"{name}.")
        elif not admits(hint, value):
            raise UserError(f"--{name} {value}: {' or '.join(described(hint))}")


def admits(hint: Any, value: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(admits(part, value) for part in get_args(hint))
    if get_origin(hint) is Annotated:
        return admits(get_args(hint)[0], value)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint)


def described(hint: Any) -> list[str]:
    """What an annotation admits, in words."""
    if get_origin(hint) in (Union, UnionType):
        return [words for part in get_args(hint) if part is not type(None) for words in described(part)]
    if get_origin(hint) is Annotated:
        return described(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return [f"accepted are {', '.join(get_args(hint))}"]
    return [f"must be {NAMES[get_origin(hint) or hint]}"]
