"""What the charts of all pages have in common: panels of one quantity each, over rows that they share.

A panel's Vega-Lite specification holds no figures. The page's script (charts.js) hands it the rows that the state of the page
leaves, as "rows", smoothed and coloured, with the ends of its axes as the parameters x0, x1, y0 and y1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import altair as alt

from records.names import COLOURS, MODE_COLOURS, MODES
from records.reader import Row

Spec = dict[str, Any]
ROWS, HOVERED = alt.NamedData(name="rows"), alt.NamedData(name="hovered")
HEIGHT = 210  # pixels of a panel
SHARED = ("c", "s", "m", "r")  # columns that tell lines apart: configuration, seed, mode and compared run

# Of metrics.jsonl: the chart's title and its axis. And of an evaluation: the axis.
TRAINING = {"reward": ("Reward in training", "mean reward"), "routing/hacked": ("Hack rate in training", "share of samples"),
            "kl": ("KL to the reference", "nats a token")}  # fmt: skip
EVALUATED = {"reward": "mean reward", "hacked": "hack rate (share of samples)", "kl_to_base": "nats a token"}

COLOUR = alt.Color("colour:N", scale=None)
DASH = alt.StrokeDash("dash:N", scale=None)
SHAPE = alt.Shape("shape:N", scale=None)
OPACITY = alt.Opacity("opacity:Q", scale=None)


@dataclass(frozen=True)
class Chart:
    """One panel. `fields` says which column of the rows is its y, low, high, ...; "@NAME" is the column that NAME chooses."""

    name: str
    title: str
    spec: Spec
    fields: Mapping[str, str]
    where: Mapping[str, str] = field(default_factory=dict)  # entries of the rows that belong to it
    fitted: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"x": ["x"], "y": ["y", "low", "high", "raw"]})
    says: Mapping[str, str] = field(default_factory=dict)  # what a tooltip says of a point: {"y": caption, ...}
    shared: str = ""  # panels with the same word have the same axes
    log: str = "y"  # the axis that can be made logarithmic
    zero: str = ""  # the axis that reaches to 0
    crosshair: bool = True

    @property
    def height(self) -> int:
        """Of the panel before it is drawn, in pixels, so that what follows stays where it is."""
        return self.spec["height"] + 42


@dataclass(frozen=True)
class Entry:
    """One line of a legend: a value, its colour's place in the palette, its dashes and its shape."""

    value: str
    text: str
    colour: int
    dash: Sequence[int] = (1, 0)
    shape: str = "circle"


@dataclass(frozen=True)
class Legend:
    """Of the column `field`; what looks by it takes from it. A sweep's curves have none: the page chooses what colours them."""

    field: str
    title: str
    entries: Sequence[Entry]
    gives: Sequence[str] = ("colour", "dash", "shape")


@dataclass(frozen=True)
class Charts:
    """The panels of a section, and `rows`, which all of them draw."""

    panels: Sequence[Chart]
    rows: Sequence[Row]
    legends: Sequence[Legend] = ()
    facts: Mapping[str, str] = field(default_factory=dict)  # what a tooltip says beside the panel's axes: {column: caption}
    by: Mapping[str, str] = field(default_factory=dict)  # the section's own dropdowns that filter: {dropdown: column}
    is_smoothed: bool = False
    has_seeds: bool = False  # whether single seeds are drawn beside their mean
    layout: str = ""  # a class of the style sheet
    stacked: int = 1  # panels under one another, which belong together, where the page is wide
    notes: Sequence[str] = ()

    def embedded(self) -> dict[str, Any]:
        """For the page's script: all but what the template writes itself."""
        return {
            "panels": [vars(panel) for panel in self.panels],
            "legends": [vars(legend) | {"entries": [vars(entry) for entry in legend.entries]} for legend in self.legends],
            "lines": packed(self.rows),
            **{name: getattr(self, name) for name in ("facts", "by", "is_smoothed", "has_seeds")},
        }


def packed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows that follow one another and differ in figures alone, as one: what they share, and "columns" of the others.

    It takes a third of the room. A figure that a row lacks is None.
    """
    lines: list[dict[str, Any]] = []
    groups = [(shared, [*own]) for shared, own in groupby(rows, lambda row: {name: row[name] for name in SHARED if name in row})]
    for shared, own in groups if 2 * len(groups) < len(rows) else [({}, rows)]:
        names = dict.fromkeys(name for row in own for name in row if name not in shared)
        lines.append(shared | {"columns": {name: [_short(row.get(name)) for row in own] for name in names}})
    return lines


def _short(value: Any) -> Any:
    """A whole number without its point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def curve_chart(name: str, title: str, axis: str, column: str, marks: int = 0, rule: str = "", **more: Any) -> Chart:
    """A chart of the columns y0, l0 and h0, or of another number's or letter's; `rule` is the column of a level. `more`: of
    `Chart`."""
    fields = {"x": "x", "y": column, "low": f"l{column[1:]}", "high": f"h{column[1:]}"}
    if rule:
        fields["rule"], more["fitted"] = rule, {"x": ["x"], "y": ["y", "low", "high", "raw", "rule"]}
    says = {"x": "step", "y": axis, "raw": "unsmoothed", "low": "lowest", "high": "highest"}
    return Chart(name, title, curves_spec(axis, title, marks, bool(rule)), fields, says=says, **more)


def names_with_values(names: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, int]:
    """Those of `names` that the rows have values for, with the number of their columns."""
    there = {column for row in rows for column, value in row.items() if value is not None}
    return {name: i for i, name in enumerate(names) if f"y{i}" in there}


def axis(channel: str, column: str, title: str | None, **looks: Any) -> Any:
    """An axis from the page's ends, with some five ticks, as many as fit."""
    scale = alt.Scale(domain=[alt.ExprRef(f"{channel}0"), alt.ExprRef(f"{channel}1")], nice=False)
    kind = {"x": alt.X, "y": alt.Y}[channel]
    return kind(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(**{"tickCount": 5, "labelOverlap": True} | looks))


def step_axis() -> Any:
    return axis("x", "x", "training step", tickMinStep=1, format=",d")


def value_axis(column: str, title: str) -> Any:
    return axis("y", column, title, minExtent=38, titlePadding=6)


def curves_spec(title: str, description: str, marks: int = 0, has_rule: bool = False, height: int = HEIGHT) -> Spec:
    """Lines over the steps before their bands, the lines as they were before smoothing behind them; `marks` is their size."""
    base, x, grouped = alt.Chart(ROWS), step_axis(), {"color": COLOUR, "detail": ["line:N"]}
    looks = grouped | {"strokeDash": DASH, "opacity": OPACITY}
    tooltip = ["label:N", alt.Tooltip("x:Q", title="step"), alt.Tooltip("y:Q", title="value", format=".4~g")]
    band = base.mark_area(opacity=0.15, aria=False).encode(x=x, y=value_axis("low", title), y2="high", **grouped)
    raw = base.mark_line(opacity=0.28, strokeWidth=1, aria=False).encode(x=x, y=value_axis("raw", title), **grouped)
    line = base.mark_line(strokeWidth=1.8).encode(x=x, y=value_axis("y", title), tooltip=tooltip, **looks)
    layers = [band, raw, line]
    if marks:
        point = base.mark_point(filled=True, size=marks, aria=False)
        layers.append(point.encode(x=x, y=value_axis("y", title), color=COLOUR, shape=SHAPE, opacity=OPACITY))
    if has_rule:
        rule = base.mark_rule(strokeDash=[2, 3], aria=False)
        layers.append(rule.encode(y=value_axis("rule", title), color=COLOUR, opacity=OPACITY))
    return panel_spec([*layers, *crosshair(x, value_axis("y", title))], description, height)


def crosshair(x: Any, y: Any) -> list[Any]:
    """A rule where the mouse is in any panel of the section, and rings around the points of the nearest line there."""
    hovered = alt.Chart(HOVERED)
    rule = hovered.mark_rule(strokeDash=[3, 3], opacity=0.7, aria=False).encode(x=x)
    ring = hovered.mark_point(size=70, strokeWidth=2, aria=False).encode(x=x, y=y, color=COLOUR)
    return [rule, ring]


def panel_spec(layers: Sequence[Any], description: str, height: int) -> Spec:
    """The layers as one view as wide as its place on the page, in the page's look but for colours, which its script adds."""
    chart = alt.layer(*layers, description=description).properties(width="container", height=height)
    chart = chart.configure(font="system-ui, sans-serif", background="transparent").configure_view(stroke=None)
    chart = chart.configure_axis(
        labelFontSize=11, titleFontSize=11, titleFontWeight="normal", domain=False, ticks=False, labelPadding=6
    )
    spec = chart.configure_axisX(grid=False, domain=True, ticks=True, tickSize=4).to_dict()
    return spec | {"params": [{"name": name, "value": i % 2} for i, name in enumerate(("x0", "x1", "y0", "y1"))]}


def finished_spec(chart: Any, data: Mapping[str, Sequence[Mapping[str, Any]]]) -> Spec:
    """A picture of its own: the chart's specification with its data, in the pages' look."""
    chart = (
        chart.configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#E8E8E8", domainColor="#999999")
        .configure_title(fontSize=13, anchor="start", frame="group", fontWeight=600, offset=8)
        .configure_legend(orient="bottom", labelFontSize=12, labelLimit=360, columns=4, symbolLimit=40, symbolOpacity=1)
        .configure_concat(spacing=22)
    )
    return chart.to_dict() | {"datasets": {name: list(rows) for name, rows in data.items()}}


def mode_entries(modes: Iterable[str], captions: Mapping[str, str]) -> list[Entry]:
    """A legend's lines of evaluation modes, in the order of every table."""
    shapes = dict(zip(MODES, ("circle", "circle", "square", "triangle-up", "diamond"), strict=True))
    there, last = {*modes}, MODES[-1]
    return [
        Entry(mode, captions.get(mode, mode), COLOURS.index(MODE_COLOURS[mode]), (5, 4) if mode == last else (1, 0), shapes[mode])
        for mode in MODES
        if mode in there
    ]


def coinciding(rows: Sequence[Row], key: str, columns: Sequence[str]) -> list[list[Any]]:
    """Values of `key` whose rows have equal figures in all `columns`, grouped where there are several."""
    figures: dict[Any, list[tuple]] = {}
    for row in rows:
        if any(column in row for column in columns[1:]):
            figures.setdefault(row[key], []).append(tuple(row.get(column) for column in columns))
    groups: dict[tuple, list[Any]] = {}
    for value, points in figures.items():
        groups.setdefault(tuple(points), []).append(value)
    return [group for group in groups.values() if len(group) > 1]


def coincidence(what: str, names: Sequence[str], kind: str) -> str:
    """The note that lines which cannot be told apart are there all the same."""
    return f"{what}: {len(names)} {kind} coincide: {', '.join(names)}."
