"""The checker of arrays' shapes in annotations."""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Beartype, but for functions within functions: it would compile their checks again in every call of the outer one."""
    return function if "<locals>" in function.__qualname__ else beartype(function)
