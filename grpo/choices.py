"""Losses, rules and modes are entries of dictionaries; an unknown name is an error that lists the entries."""

from collections.abc import Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


def lookup(choices: Mapping[str, Choice], name: str, setting: str) -> Choice:
    """Raises ValueError for a name that is no key."""
    if name not in choices:
        raise ValueError(f"{setting} {name!r}: accepted are {', '.join(choices)}")
    return choices[name]
