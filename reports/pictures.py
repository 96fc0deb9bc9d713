"""Charts of a page as pictures by themselves: light, with a title and a legend, of what the page shows when it is opened."""

import copy
import textwrap
from pathlib import Path
from typing import Any

import vl_convert

from records.folder import write_whole
from reports.charts import Legend, Spec
from reports.opening import OpenedPanel, colour_of, light_colours

WIDTH = 560  # pixels of the panel; a picture has twice as many, and its axis beside them
CHARACTER, SYMBOL = 6, 42  # pixels that a legend takes for a letter, and for an entry's line or mark
LOOKS_OF_A_LINE = ("color", "strokeDash", "shape")


def write_picture(path: Path, spec: Spec) -> None:
    """A PNG of two pixels for each of the specification's."""
    picture = vl_convert.vegalite_to_png(spec | {"padding": 10}, scale=2)
    write_whole(path, lambda temporary: temporary.write_bytes(picture))


def panel_picture(opened: OpenedPanel) -> Spec:
    """The panel's specification with its rows, the ends of its axes, its legends and its title."""
    spec = copy.deepcopy(opened.panel.spec)
    for axis, title in opened.titles.items():
        for layer in spec["layer"]:
            if layer.get("encoding", {}).get(axis, {}).get("title"):
                layer["encoding"][axis]["title"] = title
    for param in spec["params"]:
        param["value"] = opened.ends.get(param["name"], param["value"])
    spec["layer"] += [legend_layer(legend) for legend in opened.legends if legend.entries]
    # So that a legend's scales are its own: the other layers' colours, dashes and shapes are given by their rows as they are.
    spec["resolve"] = {"scale": dict.fromkeys(LOOKS_OF_A_LINE, "independent")}
    spec["datasets"] = spec.get("datasets", {}) | {"rows": list(opened.rows), "hovered": []}
    spec["config"] |= {part: spec["config"].get(part, {}) | look for part, look in looks().items()}
    return spec | {"width": WIDTH, "background": "white", "title": textwrap.wrap(opened.panel.title, 80)}


def legend_layer(legend: Legend) -> Spec:
    """A layer that draws nothing but a legend below the panel: lines, or marks where no line is drawn."""
    texts, is_line = [entry.text for entry in legend.entries], "dash" in legend.gives
    widths = [CHARACTER * len(text) + SYMBOL for text in texts]
    columns = len(texts) if sum(widths) <= WIDTH else max(1, int(WIDTH // max(widths)))
    drawn = {"title": legend.title or None, "orient": "bottom", "columns": columns, "labelLimit": WIDTH,
             "symbolSize": 500 if is_line else 90}  # fmt: skip
    ranges = {
        "color": [colour_of(entry.colour) for entry in legend.entries] if "colour" in legend.gives else None,
        "strokeDash": [list(entry.dash) for entry in legend.entries] if is_line else None,
        "shape": [entry.shape for entry in legend.entries] if "shape" in legend.gives and not is_line else None,
    }
    encoding: dict[str, Any] = {
        channel: {"field": "text", "type": "nominal", "scale": {"domain": texts, "range": values}, "legend": drawn}
        for channel, values in ranges.items()
        if values
    }
    mark = {"type": "line"} if is_line else {"type": "point", "filled": True}
    return {"data": {"values": []}, "mark": mark | {"color": light_colours()["ink"]}, "encoding": encoding}


def looks() -> Spec:
    """Of all pictures, by part of a chart; the page's script gives its charts the same colours."""
    colours = light_colours()
    ink, soft, line = colours["ink"], colours["soft"], colours["line"]
    return {
        "axis": {"labelColor": soft, "titleColor": soft, "gridColor": line, "domainColor": soft, "tickColor": soft},
        "text": {"color": ink},
        "rule": {"color": soft},
        "point": {"color": soft},
        "title": {"anchor": "start", "frame": "group", "fontSize": 13, "fontWeight": 600, "color": ink, "offset": 8},
        "legend": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelColor": ink, "titleColor": soft,
                   "symbolOpacity": 1, "symbolStrokeWidth": 2,
                   "layout": {"bottom": {"direction": "vertical", "margin": 10, "anchor": "start"}}},
    }  # fmt: skip
