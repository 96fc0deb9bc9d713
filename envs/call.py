"""The one-line way to name a function with parameters: `happy_count(cap=5)`, or just `happy_count`."""

import ast
from dataclasses import dataclass, field
from typing import Any

EXAMPLE = "happy_count(cap=5)"


@dataclass(frozen=True)
class Call:
    """A name and its keyword parameters; `str(call)` is text that `parse_call` reads back as an equal Call."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        params = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"{self.name}({params})" if params else self.name


def parse_call(text: str) -> Call:
    """Read `name` or `name(key=literal, ...)`; nothing in the text is ever executed.

    Raises ValueError, in one line with the text and an example, for anything else: positional or repeated parameters,
    expressions, values that are no finite literals.
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        if isinstance(expression, ast.Name):
            return Call(expression.id)
        if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
            raise ValueError("neither a name nor a call")
        return Call(expression.func.id, _literal_keywords(expression))
    # The parser reports text nested too deeply as a lack of memory or of stack.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"cannot read {text!r} ({reason}): write a name, or a call like {EXAMPLE}") from None


def _literal_keywords(call: ast.Call) -> dict[str, Any]:
    if call.args:
        raise ValueError("parameters are given by name")
    params: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError("** is not supported")
        if keyword.arg in params:
            raise ValueError(f"{keyword.arg} is given twice")
        params[keyword.arg] = _literal(keyword.arg, keyword.value)
    return params


def _literal(key: str, node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
        # An overflowing number such as 1e999 is a literal, but its value (inf) can not be written as one.
        if ast.literal_eval(repr(value)) == value:
            return value
    except (ValueError, TypeError):
        pass
    raise ValueError(f"{key} is not a finite literal; a text stands in quotes")
