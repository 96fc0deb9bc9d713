"""Vega-Lite charts of a sweep, which follow the page's dropdowns, and what all pages' charts have in common.

A dropdown is a `<select>` of the page that a parameter of the same name is bound to, so that one choice steers all charts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt

Spec = dict[str, Any]

# Okabe and Ito's colours, told apart by colour-blind readers too; black and their yellow last.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442"]
MODE_COLOURS = {"both": "#0072B2", "retain_only": "#009E73", "forget_only": "#D55E00", "base": "#555555"}
MODE_TITLES = {
    "both": "both adapters (or policy)",
    "retain_only": "retain_only",
    "forget_only": "forget_only",
}
PAGE_WIDTH = 1235  # pixels for a row of charts
AXIS_ROOM = 62
MOST_MARKS = 600  # with more, lines have no marks: they would cover one another and take seconds to draw


@dataclass(frozen=True)
class Dropdown:
    """A choice at the top of the page: (value, label), the first one chosen."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]

    @property
    def param(self) -> alt.Parameter:
        return alt.param(name=self.name, value=self.options[0][0], bind=alt.BindDirect(element=f"#{self.name}", event="change"))


@dataclass(frozen=True)
class Panel:
    """One quantity: the number of its columns (y0, l0, h0, ...), its title and its axis."""

    column: int
    title: str
    axis: str
    domain: Sequence[float] | None = None
    banded: bool = True  # whether there are bands

    @property
    def y(self) -> alt.Y:
        scale = alt.Scale(domain=self.domain) if self.domain else alt.Scale(zero=False)
        return alt.Y(f"y{self.column}:Q", title=self.axis, scale=scale)


def panels_with_values(panels: Sequence[Panel], rows: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Those that there are values for; `banded` where there are bands for them too."""
    there = {name for row in rows for name, value in row.items() if value is not None}
    return [replace(panel, banded=f"l{panel.column}" in there) for panel in panels if f"y{panel.column}" in there]


def chart_width(count: int) -> int:
    return PAGE_WIDTH // max(count, 2) - AXIS_ROOM


def finished_spec(chart: Any, data: Mapping[str, Sequence[Mapping[str, Any]]]) -> Spec:
    """The chart's specification with its data, in the page's look."""
    chart = (
        chart.configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#E8E8E8", domainColor="#999999")
        .configure_title(fontSize=13, anchor="start", frame="group", fontWeight=600, offset=8)
        .configure_legend(orient="bottom", labelFontSize=12, labelLimit=360, columns=4, symbolLimit=40, symbolOpacity=1)
        .configure_concat(spacing=22)
    )
    return chart.to_dict() | {"datasets": {name: list(rows) for name, rows in data.items()}}


def followed(chart: alt.Chart, dropdowns: Sequence[Dropdown], single_seeds: bool = False) -> alt.Chart:
    """The rows that the page's filters leave, each with `shade`, which is what it is coloured by.

    A row without a seed's number (s) stands for all seeds of its configuration. Those are shown, or the one that is chosen;
    with `single_seeds` what those are put together from, as long as no one is chosen.
    """
    filters = [dropdown.name for dropdown in dropdowns if dropdown.name.startswith("filter")]
    looked_up = ["name", "kind", *(f"value{name.removeprefix('filter')}" for name in filters), *filters]
    # The filter that leaves least comes first: a chart does all that follows for every row that is left.
    chart = chart.transform_filter(_seed_filter(dropdowns, single_seeds)).transform_lookup(
        lookup="c", from_=alt.LookupData(data=alt.NamedData(name="configurations"), key="c", fields=looked_up)
    )
    for name in filters:
        chart = chart.transform_filter(f"{name} === '' || datum.{name} == {name}")
    return chart.transform_calculate(shade="datum[colour]")


def _seed_filter(dropdowns: Sequence[Dropdown], single_seeds: bool) -> str:
    chosen = "seed" if any(dropdown.name == "seed" for dropdown in dropdowns) else "''"
    all_seeds, one = ("isValid(datum.s)", "false") if single_seeds else ("!isValid(datum.s)", f"datum.s == {chosen}")
    return f"{chosen} === '' ? {all_seeds} : {one}"


def told(dropdowns: Sequence[Dropdown]) -> list[alt.Tooltip]:
    """What a line or a point says of its configuration."""
    by_axis = [d for d in dropdowns if d.name.startswith("filter")]
    values = [alt.Tooltip(f"value{d.name.removeprefix('filter')}:N", title=d.label) for d in by_axis if d.name != "filterkind"]
    return [alt.Tooltip("name:N", title="configuration"), alt.Tooltip("kind:N"), *values]


def step_axis() -> alt.X:
    return alt.X("x:Q", title="training step", axis=alt.Axis(tickCount=6), scale=alt.Scale(domainMin=0, nice=False))


def shade() -> alt.Color:
    return alt.Color("shade:N", scale=alt.Scale(range=COLOURS), title=None)


def banded(base: alt.Chart, panel: Panel, colour: alt.Color, tooltip: list[alt.Tooltip], width: int, point: bool) -> Any:
    """A line for each configuration with a band from its lowest to its highest seed."""
    x = step_axis()
    band = base.mark_area(opacity=0.16).encode(
        x=x, y=alt.Y(f"l{panel.column}:Q"), y2=f"h{panel.column}", color=colour, detail=["c:N", "s:N"]
    )
    line = base.mark_line(strokeWidth=1.8, point={"size": 22} if point else False).encode(
        x=x, y=panel.y, color=colour, detail=["c:N", "s:N"], tooltip=tooltip
    )
    return layered(panel, band, line).properties(width=width, height=230)


def layered(panel: Panel, band: alt.Chart, line: alt.Chart) -> Any:
    """A band behind a line, where there is one: without values its scale would have no ends."""
    return alt.layer(*([band, line] if panel.banded else [line]), title=panel.title)


def steered(chart: alt.HConcatChart | alt.VConcatChart, data: str, dropdowns: Sequence[Dropdown]) -> Any:
    """The panels of `chart` over what the dropdowns leave of `data`, which is worked out once for all of them."""
    chart.data = alt.NamedData(name=data)
    chart.transform = followed(alt.Chart(), dropdowns).transform
    return chart.add_params(*(dropdown.param for dropdown in dropdowns))


def curves_spec(
    rows: Sequence[Mapping[str, Any]], table: Sequence[Mapping[str, Any]], panels: Sequence[Panel], dropdowns: Sequence[Dropdown]
) -> Spec | None:
    """Training curves beside one another; None where no run has any."""
    shown = panels_with_values(panels, rows)
    if not shown:
        return None
    width = chart_width(len(shown))
    charts = [banded(alt.Chart(), panel, shade(), told(dropdowns), width, point=False) for panel in shown]
    return finished_spec(steered(alt.hconcat(*charts), "curves", dropdowns), {"curves": rows, "configurations": table})


def modes_spec(
    rows: Sequence[Mapping[str, Any]], table: Sequence[Mapping[str, Any]], panels: Sequence[Panel], dropdowns: Sequence[Dropdown]
) -> Spec | None:
    """A column for each mode, a row for each quantity, whose axis its panels share; None where nothing was evaluated."""
    shown = panels_with_values(panels, rows)
    modes = [mode for mode in MODE_TITLES if any(row["m"] == mode for row in rows)]
    if not shown:
        return None
    width, charts = chart_width(len(modes)), []
    point = sum("s" not in row for row in rows) <= MOST_MARKS
    for panel in shown:
        across = []
        for mode in modes:
            base = alt.Chart().transform_filter(f"datum.m === '{mode}'")
            titled = Panel(panel.column, f"{panel.title}, {MODE_TITLES[mode]}", panel.axis, panel.domain)
            across.append(banded(base, titled, shade(), told(dropdowns), width, point))
        charts.append(alt.hconcat(*across).resolve_scale(y="shared"))
    return finished_spec(steered(alt.vconcat(*charts), "modes", dropdowns), {"modes": rows, "configurations": table})
