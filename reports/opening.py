"""What a page's charts show when it is opened: the rows of each panel, their looks and the ends of its axes.

The page's script (charts.js, series.js, page.js) does the same in the browser, for whatever is chosen there.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from records.names import COLOURS
from records.reader import Row
from reports.charts import Chart, Charts, Entry, Legend
from reports.page import ASSETS
from reports.sections import Page, Section

DASHES = ((1, 0), (6, 3), (2, 2))  # of curves whose colours come again
OF_A_SEED = 0.45  # the opacity of a seed's own mark beside its configuration's


@dataclass(frozen=True)
class OpenedPanel:
    """`rows` as the panel's specification wants them, `ends` of its axes (x0, x1, y0, y1), and what of the legends is in it."""

    panel: Chart
    rows: Sequence[Row]
    ends: Mapping[str, float]
    legends: Sequence[Legend]
    titles: Mapping[str, str]  # of axes that a dropdown chooses the figure of


@cache
def light_colours() -> dict[str, str]:
    """The style sheet's: {"series-0": "#0072b2", "ink": ..., ...}."""
    light, _, _ = (ASSETS / "page.css").read_text().partition("@media")
    return dict(re.findall(r"--([\w-]+): (#\w+)", light))


def colour_of(place: int) -> str:
    """Of the palette; the ink where it has none."""
    return light_colours().get(f"series-{place}", light_colours()["ink"])


def opened_panels(page: Page, section: Section) -> list[OpenedPanel]:
    charts = section.charts
    if charts is None:
        return []
    chosen = {dropdown.key: dropdown.options[0] for dropdown in (*page.dropdowns, *section.dropdowns)}
    values = {key: value for key, (value, _) in chosen.items()}
    legends = opened_legends(page, charts, values)
    shown = [row for row in charts.rows if _is_shown(row, charts, values)]
    drawn = {panel.name: panel_rows(page, charts, panel, shown, legends, values) for panel in charts.panels}
    return [
        OpenedPanel(
            panel,
            drawn[panel.name],
            panel_ends(panel, [drawn[other.name] for other in charts.panels if _have_one_axis(panel, other)]),
            [_of_rows(legend, drawn[panel.name]) for legend in legends],
            {axis: chosen[field[1:]][1] for axis, field in panel.fields.items() if field.startswith("@")},
        )
        for panel in charts.panels
    ]


def opened_legends(page: Page, charts: Charts, values: Mapping[str, str]) -> Sequence[Legend]:
    """A section's own; where none of them gives colours and the page is a sweep's, after that of what it is coloured by."""
    if not page.runs or any("colour" in legend.gives for legend in charts.legends):
        return charts.legends
    field, count = values["colour"], len(COLOURS)
    entries = [
        Entry(value, value, i % count, DASHES[i // count % len(DASHES)]) for i, value in enumerate(page.runs["orders"][field])
    ]
    return [Legend(field, "", entries, ["colour"]), *charts.legends] if charts.legends else [Legend(field, "", entries)]


def _is_shown(row: Row, charts: Charts, values: Mapping[str, str]) -> bool:
    own = {column: values[key] for key, column in charts.by.items() if values[key]}
    return ("s" not in row or charts.has_seeds) and all(row.get(column) == value for column, value in own.items())


def _value(page: Page, row: Row, field: str) -> Any:
    """Of the row, or of the configuration that it is of."""
    of_configuration = page.runs["configurations"][row["c"]] if page.runs and "c" in row else {}
    return row[field] if field in row else of_configuration.get(field)


def panel_rows(
    page: Page, charts: Charts, panel: Chart, rows: Sequence[Row], legends: Sequence[Legend], values: Mapping[str, str]
) -> list[Row]:
    """By line, without the lines that have no value in this panel."""
    columns = {name: values[field[1:]] if field.startswith("@") else field for name, field in panel.fields.items()}
    lines: dict[tuple, list[Row]] = {}
    for row in rows:
        if all(row.get(name) == value for name, value in panel.where.items()):
            line = ("" if name == "m" and "m" in panel.where else row.get(name) for name in ("c", "s", "m", "r", "label"))
            figures = {name: row.get(column) for name, column in columns.items()}
            lines.setdefault(key := tuple(line), []).append(_looks(page, charts, row, legends) | {"line": str(key)} | figures)
    value = "y" if "y" in panel.fitted else "x"
    return [row for line in lines.values() if any(row[value] is not None for row in line) for row in line]


def _looks(page: Page, charts: Charts, row: Row, legends: Sequence[Legend]) -> Row:
    """What a row has beside its figures."""
    looks: Row = {"colour": -1 if legends else 0, "dash": [1, 0], "shape": "circle"}
    values = {legend.field: _value(page, row, legend.field) for legend in legends}
    for legend in legends:
        for entry in legend.entries:
            if entry.value == values[legend.field]:
                looks |= {name: getattr(entry, name) for name in legend.gives}
    own = {name: row[name] for name in ("c", "s", "m") if name in row}
    said = {"kind": _value(page, row, "kind"), "label": _label(page, row, legends)}
    opacity = OF_A_SEED if charts.has_seeds and "s" in row else 1
    return own | values | said | looks | {"colour": colour_of(looks["colour"]), "opacity": opacity}


def _label(page: Page, row: Row, legends: Sequence[Legend]) -> str:
    if page.runs and "c" in row:
        seed = f" · seed {page.runs['orders']['seed'][row['s']]}" if "s" in row else ""
        return page.runs["configurations"][row["c"]]["configuration"] + seed
    return row.get("label") or (_value(page, row, legends[0].field) if legends else "") or ""


def _have_one_axis(panel: Chart, other: Chart) -> bool:
    return other is panel or (panel.shared != "" and other.shared == panel.shared)


def panel_ends(panel: Chart, drawn: Iterable[Sequence[Row]]) -> dict[str, float]:
    """`drawn`: the rows of all panels that have the same axes."""
    ends, rows = {}, [row for each in drawn for row in each]
    for axis, names in panel.fitted.items():
        known = [row[name] for row in rows for name in names if row.get(name) is not None]
        low, high = axis_ends(known, panel.zero == axis, is_tight=axis == "x" and panel.crosshair)
        ends |= {f"{axis}0": low, f"{axis}1": high}
    return ends


def axis_ends(values: Sequence[float], has_zero: bool = False, is_tight: bool = False) -> tuple[float, float]:
    """From the lowest to the highest with some room, which does not cross 0 or 1 by itself; never empty.

    A tight axis, of steps, reaches from 0 to the last.
    """
    known = [float(value) for value in values if math.isfinite(value)]
    if not known:
        return 0, 1
    reached = [*known, 0.0] if has_zero else known
    low, high = min(reached), max(reached)
    if is_tight:
        return min(low, 0), high if high > 0 else 1
    room = (high - low) * 0.06 or abs(high) * 0.1 or 0.1
    bottom = max(0, low - room) if low >= 0 else low - room
    if low < 0 and high <= 0:
        return bottom, min(0, high + room)
    return bottom, min(1, high + room) if high <= 1 else high + room


def _of_rows(legend: Legend, rows: Sequence[Row]) -> Legend:
    """With the entries alone that something drawn looks by."""
    there = {row[legend.field] for row in rows}
    return Legend(legend.field, legend.title, [entry for entry in legend.entries if entry.value in there], legend.gives)
