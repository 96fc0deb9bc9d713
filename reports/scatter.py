"""Marks of configurations and of their seeds by two figures, and the line of those that none beats in both."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from records.names import BASE
from reports.charts import COLOUR, HOVERED, OPACITY, ROWS, SHAPE


def means() -> alt.Chart:
    return alt.Chart(ROWS).transform_filter("!isValid(datum.s)")


def points(x: Any, y: Any, figures: Mapping[str, str]) -> list[alt.Chart]:
    """Small ones for seeds, large ones for means, which tell `figures` to a screen reader ({column: caption})."""
    looks = {"x": x, "y": y, "color": COLOUR, "shape": SHAPE}
    seeds = alt.Chart(ROWS).transform_filter("isValid(datum.s)")
    small = seeds.mark_point(size=26, filled=True, aria=False).encode(opacity=OPACITY, **looks)
    told = [alt.Tooltip(f"{column}:Q", title=caption, format=".3f") for column, caption in figures.items()]
    tooltip = [alt.Tooltip("m:N", title="mode"), *told, "label:N", "kind:N"]
    large = means().mark_point(size=120, filled=True, strokeWidth=1).encode(opacity=OPACITY, tooltip=tooltip, **looks)
    ring = alt.Chart(HOVERED).mark_point(size=230, strokeWidth=2, aria=False).encode(x=x, y=y, color=COLOUR)
    return [small, large, ring]


def unbeaten(marks: alt.Chart, x: Any, y: Any) -> alt.Chart:
    """Those with a higher y than every mark with a lower x, as steps; the base was not trained and takes no part."""
    order: list[Any] = [alt.SortField("x"), alt.SortField("y", order="descending")]
    best = marks.transform_filter(f"datum.m !== '{BASE}'").transform_window(best="max(y)", sort=order, frame=[None, 0])
    line = best.transform_filter("datum.y >= datum.best")
    return line.mark_line(interpolate="step-after", strokeDash=[5, 4], strokeWidth=1.2, color="#888888", aria=False).encode(
        x=x, y=y
    )
