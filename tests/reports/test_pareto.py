"""The line of the points that none beats, as it is drawn."""

import re

import altair as alt
import vl_convert

from reports.pareto import _unbeaten

# Hack rate and reward at the end. The base is not trained, and no point of the line.
UNBEATEN = [(0.1, 0.2), (0.2, 0.5), (0.6, 0.9)]
BEATEN = [(0.2, 0.4), (0.3, 0.45), (0.8, 0.7)]
BASE = (0.15, 0.95)


def points(pairs: list[tuple[float, float]], mode: str = "both") -> list[dict]:
    return [{"m": mode, "x": x, "y": y} for x, y in pairs]


def steps_of(chart: alt.Chart) -> list[float]:
    """The numbers of the dashed line's path, in pixels."""
    picture = vl_convert.vegalite_to_svg(chart.properties(width=100, height=100).to_dict())
    (path,) = [path for path in re.findall("<path [^>]*>", picture) if "stroke-dasharray" in path]
    shape = re.search(' d="([^"]*)"', path)
    assert shape is not None
    return [round(float(number), 3) for number in re.findall(r"-?[\d.]+", shape[1])]


def test_the_line_joins_the_points_that_no_other_beats_in_both():
    """In 100 pixels, from (0.1, 0.2) right to 0.2, up to 0.5, right to 0.6, up to 0.9; y is drawn from 0.2 to 0.9."""
    rows = [*points(BEATEN), *points(UNBEATEN[::-1]), *points([BASE], "base")]
    line = _unbeaten(alt.Chart(alt.InlineData(values=rows)))
    assert steps_of(line) == [10, 100, 20, 100, 20, 57.143, 60, 57.143, 60, 0]
