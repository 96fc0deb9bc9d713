"""What rewards, detectors and all else that settings name are, a line each: `launch.py --list`, and the end of its help."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.resolve import DEFAULT_RULE
from envs.combination import Combination
from envs.plugins import environments_of, tables_of
from envs.registry import RegisteredFunction, detectors_of, rewards_of
from grpo.advantages import RULES
from grpo.loss_terms import LOSS_TYPES
from grpo.schedules import SCHEDULES
from records.text import plain_table, text_of
from routing.modes import BAD, GOOD, ROUTING_MODES


@dataclass(frozen=True)
class Line:
    """`call` is a name with its parameters and their defaults."""

    name: str
    call: str
    says: str
    environments: tuple[str, ...] = ()  # that have it; empty where it belongs to none


Plugins = Iterable[str]  # of configs.plugins


def rewards(plugins: Plugins) -> list[Line]:
    table, environments = tables_of(plugins), environments_of(plugins)
    return _by_environment(table.rewards, {name: rewards_of(name, table) for name in environments})


def detectors(plugins: Plugins) -> list[Line]:
    table, environments = tables_of(plugins), environments_of(plugins)
    return _by_environment(table.detectors, {name: detectors_of(name, table) for name in environments})


def _by_environment(entries: Mapping[str, Any], of: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    where = {name: tuple(environment for environment, known in of.items() if name in known) for name in entries}
    return [Line(name, _call(name, entry), _entry_says(entry), where[name]) for name, entry in sorted(entries.items())]


def _call(name: str, entry: RegisteredFunction | Combination) -> str:
    fields = {} if isinstance(entry, Combination) else entry.parameters.model_fields
    parameters = [key if field.is_required() else f"{key}={field.default!r}" for key, field in fields.items()]
    return f"{name}({', '.join(parameters)})" if parameters else name


def _entry_says(entry: RegisteredFunction | Combination) -> str:
    if isinstance(entry, RegisteredFunction):
        return first_sentence(entry.function)
    parts = [f"{'' if part.scale == 1 else f'{part.scale:g} x '}{part.name} ({part.role})" for part in entry.components]
    return " + ".join(parts) + ("" if entry.cap is None else f", at most {entry.cap:g}") + "."


def environments(plugins: Plugins) -> list[Line]:
    entries = environments_of(plugins)
    return [Line(name, name, first_sentence(entry.build)) for name, entry in entries.items()]


def losses(_: Plugins) -> list[Line]:
    return [Line(name, name, loss.says) for name, loss in LOSS_TYPES.items()]


def rules(_: Plugins) -> list[Line]:
    return [Line(name, name, f"{first_sentence(rule)}{_default_of(name)}") for name, rule in RULES.items()]


def _default_of(rule: str) -> str:
    treatments = [treatment for treatment, usual in DEFAULT_RULE.items() if usual == rule]
    return f" The default of {' and '.join(treatments)} runs." if treatments else ""


def modes(_: Plugins) -> list[Line]:
    def learners(names: frozenset[str] | None) -> str:
        return "all adapters" if names is None else " and ".join(sorted(names, reverse=True))

    says = {name: f"Good samples train {learners(of[GOOD])}, bad ones {learners(of[BAD])}." for name, of in ROUTING_MODES.items()}
    return [Line(name, name, text) for name, text in says.items()]


def schedules(_: Plugins) -> list[Line]:
    return [Line(name, name, first_sentence(schedule)) for name, schedule in SCHEDULES.items()]


LISTS: dict[str, Callable[[Plugins], list[Line]]] = {
    "rewards": rewards,
    "detectors": detectors,
    "environments": environments,
    "losses": losses,
    "schedules": schedules,
    "rules": rules,
    "modes": modes,
}
IN_HELP = {
    "rewards (--reward)": rewards,
    "detectors (--env.detector)": detectors,
    "environments (--env.name)": environments,
    "losses (--grpo.loss_type)": losses,
}


def listing(kind: str, plugins: Plugins) -> str:
    """A table with a row for each. Raises UserError for a plugin that cannot be read."""
    lines = LISTS[kind](plugins)
    with_places = any(line.environments for line in lines)
    table = plain_table(kind, *(["in"] if with_places else []), "")
    for line in lines:
        table.add_row(line.call, *([" ".join(line.environments)] if with_places else []), line.says)
    return text_of(table)


def help_sections(plugins: Sequence[str]) -> dict[str, dict[str, str]]:
    """`{title: {name: what it is}}` for the end of a help page."""
    return {title: {line.name: line.says for line in lines(plugins)} for title, lines in IN_HELP.items()}


def first_sentence(function: Callable[..., Any]) -> str:
    """Of its docstring; empty where there is none."""
    paragraph = " ".join((function.__doc__ or "").split("\n\n")[0].split())
    sentence, dot, _ = paragraph.partition(". ")
    return sentence + dot.strip()
