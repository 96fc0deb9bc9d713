"""What varies in a sweep, and the dropdowns that choose from it, which all charts, tables and samples of the page follow.

Each is a `<select>` of the page whose choice stands in the URL's fragment under the dropdown's `key`, in words.
"""

from dataclasses import dataclass
from typing import Any

from records.names import COLOURS
from records.reader import SweepFiles, by_configuration
from reports.numbers import run_numbers, seeds_of
from reports.tables import ordered, setting_text, shortened

CONFIGURATION, KIND, SEED = "configuration", "kind", "seed"


@dataclass(frozen=True)
class Dropdown:
    """A choice on the page: (value, text), the first one chosen at first. `name` is its id, `key` its name in the fragment."""

    name: str
    caption: str
    options: tuple[tuple[str, str], ...]
    key: str


def choices(sweep: SweepFiles) -> dict[str, list[Any]]:
    """The values of every axis that varies, beside the seed."""
    values = {axis: ordered([run.values.get(axis) for run in sweep.runs]) for axis in sweep.axes if axis != SEED}
    return {axis: distinct for axis, distinct in values.items() if len(distinct) > 1}


def dropdowns(sweep: SweepFiles) -> list[Dropdown]:
    """What curves are coloured by, then a filter for everything that varies."""
    axes, kinds = choices(sweep), _kinds(sweep)
    colours = [(KIND, "kind of run")] if len(kinds) > 1 else []
    colours += [(axis, axis) for axis in axes]
    few = len(by_configuration(sweep.runs)) <= len(COLOURS)
    colours.insert(0 if few else len(colours), (CONFIGURATION, CONFIGURATION))
    filters = [("filterkind", "kind of run", KIND, kinds)]
    filters += [(f"filter{i}", axis, axis, [*map(setting_text, values)]) for i, (axis, values) in enumerate(axes.items())]
    filters.append((SEED, SEED, SEED, [*map(setting_text, seeds_of(sweep.runs))]))
    made = [Dropdown("colour", "colour by", tuple(colours), "colour")]
    for name, caption, key, values in filters:
        options = ((value, shortened(value, 40)) for value in values)
        made.append(Dropdown(name, caption, (("", "all, as a band" if name == SEED else "all"), *options), key))
    return [dropdown for dropdown in made if dropdown.name == "colour" or len(dropdown.options) > 2]


def _kinds(sweep: SweepFiles) -> list[str]:
    return list(dict.fromkeys(run.kind for run in sweep.runs))


def runs_of_page(sweep: SweepFiles) -> dict[str, Any]:
    """For the page's script: what each configuration is, which one and which seed each run has, and every value in its order.

    A configuration's entries have the names that the dropdowns' keys are.
    """
    axes, configurations = choices(sweep), by_configuration(sweep.runs)
    kinds = [{CONFIGURATION: name, KIND: run.kind} for name, (run, *_) in configurations.items()]
    values = [{axis: setting_text(run.values.get(axis)) for axis in axes} for run, *_ in configurations.values()]
    orders = {axis: [*map(setting_text, distinct)] for axis, distinct in axes.items()}
    return {
        "configurations": [kind | value for kind, value in zip(kinds, values, strict=True)],
        "runs": run_numbers(sweep.runs),
        "orders": {CONFIGURATION: list(configurations), KIND: _kinds(sweep), SEED: [*map(setting_text, seeds_of(sweep.runs))]}
        | orders,
    }
