"""The line of the marks that none beats, as it is drawn."""

import re

import altair as alt
import vl_convert

from reports.charts import axis
from reports.scatter import unbeaten

# Hack rate and reward at the end. The base is not trained, and no point of the line.
UNBEATEN = [(0.1, 0.2), (0.2, 0.5), (0.6, 0.9)]
BEATEN = [(0.2, 0.4), (0.3, 0.45), (0.8, 0.7)]
BASE = (0.15, 0.95)


def points(pairs: list[tuple[float, float]], mode: str = "both") -> list[dict]:
    return [{"m": mode, "x": x, "y": y} for x, y in pairs]


def steps_of(chart: alt.Chart) -> list[float]:
    """The numbers of the dashed line's path, in pixels, both axes being drawn from 0 to 1."""
    spec = chart.properties(width=100, height=100).to_dict()
    spec["params"] = [{"name": name, "value": i % 2} for i, name in enumerate(("x0", "x1", "y0", "y1"))]
    picture = vl_convert.vegalite_to_svg(spec)
    (path,) = [path for path in re.findall("<path [^>]*>", picture) if "stroke-dasharray" in path]
    shape = re.search(' d="([^"]*)"', path)
    assert shape is not None
    return [round(float(number), 3) for number in re.findall(r"-?[\d.]+", shape[1])]


def test_the_line_joins_the_points_that_no_other_beats_in_both():
    """In 100 pixels, from (0.1, 0.2) right to 0.2, up to 0.5, right to 0.6, up to 0.9."""
    rows = [*points(BEATEN), *points(UNBEATEN[::-1]), *points([BASE], "base")]
    line = unbeaten(alt.Chart(alt.InlineData(values=rows)), axis("x", "x", None), axis("y", "y", None))
    assert steps_of(line) == [10, 80, 20, 80, 20, 50, 60, 50, 60, 10]
