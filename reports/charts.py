"""What the Vega-Lite charts of all pages have in common: panels of one quantity each, and one look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from records.reader import Row

Spec = dict[str, Any]
PAGE_WIDTH = 1235  # pixels for a row of charts
AXIS_ROOM = 62
STEPS = alt.X("x:Q", title="training step", axis=alt.Axis(tickCount=6), scale=alt.Scale(domainMin=0, nice=False))

# Of metrics.jsonl: the chart's title and its axis. And of an evaluation: the axis.
TRAINING = {"reward": ("Reward in training", "mean reward"), "routing/hacked": ("Hack rate in training", "share of samples"),
            "kl": ("KL to the reference", "nats a token")}  # fmt: skip
EVALUATED = {"reward": "mean reward", "hacked": "hack rate (share of samples)"}
SHARES = {"hacked", "routing/hacked", "routing/routed"}  # drawn from 0 to 1


@dataclass(frozen=True)
class Panel:
    """One quantity: the number of its columns (y0, l0, h0, ...), its title and its axis."""

    column: int
    title: str
    y: alt.Y
    banded: bool  # whether there are bands

    def tooltip(self, *names: str) -> list[Any]:
        return [*names, "x:Q", alt.Tooltip(f"y{self.column}:Q", format=".4g")]


def panels_with_values(names: Mapping[str, tuple[str, str]], rows: Sequence[Row]) -> list[Panel]:
    """A panel for each of {name: (title, axis)} that there are values for; `banded` where there are bands for them too."""
    there = {column for row in rows for column, value in row.items() if value is not None}
    panels = []
    for i, (name, (title, axis)) in enumerate(names.items()):
        scale = alt.Scale(domain=(0.0, 1.0)) if name in SHARES else alt.Scale(zero=False)
        panels.append(Panel(i, title, alt.Y(f"y{i}:Q", title=axis, scale=scale), f"l{i}" in there))
    return [panel for panel in panels if f"y{panel.column}" in there]


def chart_width(count: int) -> int:
    return PAGE_WIDTH // max(count, 2) - AXIS_ROOM


def band_and_line(
    base: alt.Chart, panel: Panel, size: tuple[int, int], looks: Mapping[str, Any], tooltip: Sequence[Any], points: int = 0
) -> Any:
    """A line of means before a band, where there is one: without values its scale would have no ends.

    `size` is in pixels; `looks` are the line's encodings, colour and detail are the band's too; `points` is the size of marks.
    """
    same = {name: look for name, look in looks.items() if name in ("color", "detail")}
    band = base.mark_area(opacity=0.16).encode(x=STEPS, y=alt.Y(f"l{panel.column}:Q"), y2=f"h{panel.column}", **same)
    line = base.mark_line(strokeWidth=1.8, point={"size": points} if points else False)
    line = line.encode(x=STEPS, y=panel.y, tooltip=tooltip, **looks)
    chart = alt.layer(*([band, line] if panel.banded else [line]), title=panel.title)
    return chart.properties(width=size[0], height=size[1])


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
