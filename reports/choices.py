"""What varies in a sweep, and the dropdowns that choose from it, which all charts of the page follow.

A dropdown is a `<select>` of the page that a parameter of the same name is bound to, so that one choice steers all charts.
"""

from dataclasses import dataclass
from typing import Any

import altair as alt

from records.names import COLOURS
from records.reader import Row, SweepFiles, by_configuration
from reports.numbers import seeds_of
from reports.tables import is_number, ordered, setting_text, shortened


@dataclass(frozen=True)
class Dropdown:
    """A choice at the top of the page: (value, text), the first one chosen."""

    name: str
    caption: str
    options: tuple[tuple[str, str], ...]

    @property
    def param(self) -> alt.Parameter:
        return alt.param(name=self.name, value=self.options[0][0], bind=alt.BindDirect(element=f"#{self.name}", event="change"))


def choices(sweep: SweepFiles) -> dict[str, list[Any]]:
    """The values of every axis that varies, beside the seed."""
    values = {axis: ordered([run.values.get(axis) for run in sweep.runs]) for axis in sweep.axes if axis != "seed"}
    return {axis: distinct for axis, distinct in values.items() if len(distinct) > 1}


def dropdowns(sweep: SweepFiles) -> list[Dropdown]:
    """What curves are coloured by, then a filter for everything that varies; an option's value is its place in its axis."""
    axes, kinds = choices(sweep), _kinds(sweep)
    colours = [("kind", "kind of run")] if len(kinds) > 1 else []
    colours += [(f"value{i}", axis) for i, axis in enumerate(axes)]
    few = len(by_configuration(sweep.runs)) <= len(COLOURS)
    colours.insert(0 if few else len(colours), ("name", "configuration"))
    filters = [("filterkind", "kind of run", kinds), *((f"filter{i}", axis, axes[axis]) for i, axis in enumerate(axes))]
    made = [Dropdown("colour", "colour by", tuple(colours))]
    for name, caption, values in [*filters, ("seed", "seed", seeds_of(sweep.runs))]:
        options = ((str(i), shortened(setting_text(value), 40)) for i, value in enumerate(values))
        made.append(Dropdown(name, caption, (("", "all, as a band" if name == "seed" else "all"), *options)))
    return [dropdown for dropdown in made if dropdown.name == "colour" or len(dropdown.options) > 2]


def _kinds(sweep: SweepFiles) -> list[str]:
    return list(dict.fromkeys(run.kind for run in sweep.runs))


def configuration_rows(sweep: SweepFiles) -> list[Row]:
    """One row a configuration (c): its label, kind and values, and each value's place in its axis."""
    axes, kinds, rows = choices(sweep), _kinds(sweep), []
    for c, (name, (run, *_)) in enumerate(by_configuration(sweep.runs).items()):
        rows.append({"c": c, "name": name, "kind": run.kind, "filterkind": kinds.index(run.kind)})
        for i, (axis, values) in enumerate(axes.items()):
            value, text = run.values.get(axis), setting_text(run.values.get(axis))
            rows[c] |= {f"value{i}": value if is_number(value) else text, f"filter{i}": [*map(setting_text, values)].index(text)}
    return rows
