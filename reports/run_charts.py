"""Charts of one run, and of two that are compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from reports.charts import (
    COLOURS,
    MODE_COLOURS,
    Panel,
    Spec,
    chart_width,
    finished_spec,
    layered,
    panels_with_values,
    step_axis,
)
from reports.numbers import MODES

Rows = Sequence[Mapping[str, Any]]


def _from_low_to_high(panel: Panel) -> dict[str, Any]:
    return {"x": step_axis(), "y": alt.Y(f"l{panel.column}:Q"), "y2": f"h{panel.column}"}


def run_curves_spec(rows: Rows, panels: Sequence[Panel], columns: int = 3) -> Spec | None:
    """A line of means and a band from the lowest to the highest of the steps that are drawn as one point."""
    shown = panels_with_values(panels, rows)
    if not shown:
        return None
    charts = []
    for panel in shown:
        base = alt.Chart(alt.NamedData(name="curves"))
        band = base.mark_area(opacity=0.18, color=COLOURS[0]).encode(**_from_low_to_high(panel))
        value = alt.Tooltip(f"y{panel.column}:Q", format=".4g")
        line = base.mark_line(color=COLOURS[0], strokeWidth=1.8).encode(x=step_axis(), y=panel.y, tooltip=["x:Q", value])
        charts.append(layered(panel, band, line).properties(width=chart_width(columns), height=190))
    return finished_spec(alt.concat(*charts, columns=columns), {"curves": rows})


def run_modes_spec(rows: Rows, panels: Sequence[Panel]) -> Spec | None:
    """Each mode's figures over training with their 95 % intervals, the base dashed."""
    shown = panels_with_values(panels, rows)
    if not shown:
        return None
    present = [mode for mode in MODES if any(row["m"] == mode for row in rows)]
    colours = MODE_COLOURS | {"policy": MODE_COLOURS["both"]}
    dashes = [[5, 4] if mode == "base" else [1, 0] for mode in present]
    colour = alt.Color("m:N", title=None, scale=alt.Scale(domain=present, range=[colours[mode] for mode in present]))
    dash = alt.StrokeDash("m:N", title=None, scale=alt.Scale(domain=present, range=dashes))
    charts = []
    for panel in shown:
        base = alt.Chart(alt.NamedData(name="modes"))
        band = base.mark_area(opacity=0.14).encode(color=colour, **_from_low_to_high(panel))
        value = alt.Tooltip(f"y{panel.column}:Q", format=".4g")
        line = base.mark_line(strokeWidth=1.8, point={"size": 30})
        line = line.encode(x=step_axis(), y=panel.y, color=colour, strokeDash=dash, tooltip=["m:N", "x:Q", value])
        charts.append(layered(panel, band, line).properties(width=chart_width(len(shown)), height=260))
    return finished_spec(alt.hconcat(*charts), {"modes": rows})


def comparison_spec(rows: Rows, panels: Sequence[Panel], names: Sequence[str]) -> Spec | None:
    """Both runs in one chart (`r` names the run of a row), and below it the second less the first (d0, d1, ...)."""
    shown = panels_with_values(panels, rows)
    if not shown:
        return None
    width = chart_width(len(shown))
    colour = alt.Color("r:N", title=None, scale=alt.Scale(domain=list(names), range=COLOURS[:2]))
    pairs, differences = [], []
    for panel in shown:
        base = alt.Chart(alt.NamedData(name="curves"))
        value = alt.Tooltip(f"y{panel.column}:Q", format=".4g")
        pair = base.transform_filter("isValid(datum.r)").mark_line(strokeWidth=1.8)
        pair = pair.encode(x=step_axis(), y=panel.y, color=colour, tooltip=["r:N", "x:Q", value])
        pairs.append(pair.properties(title=panel.title, width=width, height=220))
        zero = alt.Chart(alt.NamedData(name="zero")).mark_rule(color="#999999").encode(y="y:Q")
        difference = base.transform_filter("!isValid(datum.r)").mark_line(color="#333333", strokeWidth=1.5)
        difference = difference.encode(x=step_axis(), y=alt.Y(f"d{panel.column}:Q", title="B − A"))
        differences.append(alt.layer(zero, difference, title=f"{panel.title}: B − A").properties(width=width, height=130))
    return finished_spec(alt.concat(*pairs, *differences, columns=len(shown)), {"curves": rows, "zero": [{"y": 0}]})
