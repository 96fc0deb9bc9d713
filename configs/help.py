"""What `--help` shows: the options that a door takes, with the defaults that they really have."""

import shutil
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, get_type_hints

import tyro
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from tyro.constructors import ConstructorRegistry, StructFieldSpec

from configs.experiment import Experiment

HELP = {"-h", "--help"}
INDENT = 26  # of what an entry says, as in tyro's help
Entries = Mapping[str, str]  # what each name stands for
Sections = Callable[[Sequence[str]], Mapping[str, Entries]]  # by title, from the files of `--plugin`


def asks_for_help(words: Sequence[str]) -> bool:
    return not HELP.isdisjoint(words)


def help_rules(hidden: Collection[str]) -> ConstructorRegistry:
    """How tyro reads options for its help: without the settings that are `hidden`, by dotted name, and without a default where
    None only says that there is none, or that the docstring tells it.
    """
    groups = {hint: f"{name}." for name, hint in get_type_hints(Experiment).items()}
    registry = ConstructorRegistry()
    inner: list[Any] = []  # the type that the other rules are being asked about

    def shown(prefix: str, field: StructFieldSpec) -> StructFieldSpec:
        field = replace(field, helptext=one_line(field.helptext))
        if f"{prefix}{field.name}" in hidden:
            return replace(field, type=tyro.conf.Suppress[field.type])
        has_hint = any(getattr(extra, "help_behavior_hint", None) for extra in getattr(field.type, "__metadata__", ()))
        if field.default is None and not has_hint:
            return replace(field, type=Annotated[field.type, tyro.conf.arg(help_behavior_hint="")])  # type: ignore[arg-type]
        return field

    @registry.struct_rule
    def _(info: Any) -> Any:
        if info.type in inner:
            return None
        inner.append(info.type)
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            inner.pop()
        if not hasattr(spec, "fields"):
            return None
        prefix = groups.get(info.type, "")
        return replace(spec, fields=tuple(shown(prefix, field) for field in spec.fields))  # type: ignore[type-var, union-attr]

    return registry


def one_line(text: str | Callable[[], str | None] | None) -> str:
    """A docstring without its line breaks, which tyro would keep."""
    return " ".join(((text() if callable(text) else text) or "").split())


def print_sections(sections: Mapping[str, Entries]) -> None:
    """In frames like those of tyro's help, as wide as the terminal."""
    width = shutil.get_terminal_size().columns
    console = Console(width=width, highlight=False)
    for title, entries in sections.items():
        lines = [line for name, text in entries.items() for line in entry_lines(name, text, width - 4)]
        console.print(Panel(Text("\n".join(lines)), title=Text(title), title_align="left", border_style="dim"))


def entry_lines(name: str, text: str, width: int) -> list[str]:
    """A long name has a line of its own."""
    lines = textwrap.wrap(text, max(width - INDENT, 20)) or [""]
    below = [f"{'':{INDENT}}{line}" for line in lines]
    return [name, *below] if len(name) >= INDENT else [f"{name:{INDENT}}{lines[0]}", *below[1:]]
