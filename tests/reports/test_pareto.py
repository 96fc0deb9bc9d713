"""The line of the points that none beats, as it is drawn, and what is said of marks at one place."""

import re
import shutil
from pathlib import Path

import altair as alt
import vl_convert

from records.reader import read_sweep
from reports.numbers import end_rows
from reports.pareto import pareto, unbeaten
from tests.reports.report_runs import write_sweep

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
    line = unbeaten(alt.Chart(alt.InlineData(values=rows)))
    assert steps_of(line) == [10, 80, 20, 80, 20, 50, 60, 50, 60, 10]


def test_marks_at_one_place_are_said(tmp_path: Path):
    """Of both adapters beta 0.01 and 0.02 have the means of the runs a1 and a2; their base is one place, too."""
    folder = write_sweep(tmp_path / "sweep")
    for mine, others in (("b1", "a1"), ("b2", "a2")):
        shutil.copy(folder / others / "evaluation.json", folder / mine / "evaluation.json")
    sweep = read_sweep(folder, [], iter)
    charts = pareto(end_rows(sweep.runs), sweep)
    assert charts is not None
    assert charts.notes == [
        f"{mode}: 2 configurations coincide: routed beta=0.01, routed beta=0.02."
        for mode in ("both (or policy)", "retain_only", "forget_only", "base")
    ]
