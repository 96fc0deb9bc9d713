"""The picture of a sweep's end: what was learnt against how much of it is hacking."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from records.names import BASE, BOTH, KINDS, MODE_COLOURS, RETAIN_ONLY
from records.reader import Row, SweepFiles
from reports.charts import PAGE_WIDTH, Spec, finished_spec
from reports.choices import Dropdown, configuration_rows, dropdowns
from reports.sweep_charts import MODE_CAPTIONS, configuration_tooltip, filtered

SHAPES: dict[str, str] = dict(zip(KINDS, ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down"), strict=True))
CAPTIONS = MODE_CAPTIONS | {BASE: BASE}
AXES = {
    "x": alt.X("x:Q", title="hack rate at the end (share of samples)", scale=alt.Scale(domain=[0, 1])),
    "y": alt.Y("y:Q", title="reward at the end, as chosen above", scale=alt.Scale(zero=False, nice=True)),
}


def task_dropdown(rows: Sequence[Row]) -> Dropdown:
    """What the vertical axis can be."""
    components = sorted({name for row in rows for name in row if name.startswith("rewards/")})
    parts = [(name, name.removeprefix("rewards/")) for name in components]
    return Dropdown("task", "vertical axis", (("task", "task reward"), ("reward", "whole reward"), *parts))


def mode_dropdown(rows: Sequence[Row]) -> Dropdown:
    there = {row["m"] for row in rows}
    return Dropdown("mode", "modes", (("", "all"), *((mode, text) for mode, text in CAPTIONS.items() if mode in there)))


def pareto_spec(rows: Sequence[Row], sweep: SweepFiles, modes: Dropdown, tasks: Dropdown) -> Spec | None:
    """One point a configuration and mode, small ones for its seeds; colour tells the mode and shape the kind of run.

    A line joins each configuration as it was trained with its retain adapter alone; a dashed one joins the points that no
    other beats in both. None without a final evaluation that has a hack rate.
    """
    if not rows:
        return None
    shared, configurations = dropdowns(sweep), configuration_rows(sweep)
    means, seeds = _end_points(shared, single_seeds=False), _end_points(shared, single_seeds=True)
    kinds = [kind for kind in SHAPES if any(row["kind"] == kind for row in configurations)]
    shapes = alt.Scale(domain=kinds, range=[SHAPES[kind] for kind in kinds])
    colours = alt.Scale(domain=[*CAPTIONS], range=[MODE_COLOURS[mode] for mode in CAPTIONS])
    looks = AXES | {
        "color": alt.Color("m:N", scale=colours, legend=alt.Legend(title="mode")),
        "shape": alt.Shape("kind:N", scale=shapes, legend=alt.Legend(title="kind of run")),
    }
    small = seeds.mark_point(size=26, opacity=0.4, filled=True).encode(**looks)
    large = means.mark_point(size=120, filled=True, opacity=0.95, stroke="white", strokeWidth=1)
    chart = alt.layer(_unbeaten(means), _joined(means), small, large.encode(**looks, tooltip=_point_tooltip(shared)))
    titles = json.dumps({value: f"{text} against hack rate" for value, text in tasks.options})
    chart = chart.properties(width=PAGE_WIDTH - 250, height=420, title=alt.TitleParams(text=alt.ExprRef(f"{titles}[task]")))
    chart = chart.add_params(*(dropdown.param for dropdown in (*shared, modes, tasks)))
    spec = finished_spec(chart, {"ends": rows, "configurations": configurations})
    spec["config"]["legend"] |= {"orient": "right", "columns": 1}
    return spec


def _end_points(shared: Sequence[Dropdown], single_seeds: bool) -> alt.Chart:
    chart = filtered(alt.Chart(alt.NamedData(name="ends")), shared, single_seeds)
    chart = chart.transform_calculate(y="datum[task]").transform_filter("isValid(datum.y)")
    return chart.transform_filter("mode === '' || datum.m === mode")


def _point_tooltip(shared: Sequence[Dropdown]) -> list[alt.Tooltip]:
    figures = [alt.Tooltip("y:Q", title="reward, as chosen", format=".3f"), alt.Tooltip("x:Q", title="hack rate", format=".3f")]
    return [alt.Tooltip("m:N", title="mode"), *figures, *configuration_tooltip(shared), alt.Tooltip("n:Q", title="seeds")]


def _unbeaten(means: alt.Chart) -> alt.Chart:
    """Points with a higher reward than every point that hacks less, as steps; the base was not trained and takes no part."""
    order: list[Any] = [alt.SortField("x"), alt.SortField("y", order="descending")]
    best = means.transform_filter(f"datum.m !== '{BASE}'").transform_window(best="max(y)", sort=order, frame=[None, 0])
    line = best.transform_filter("datum.y >= datum.best")
    return line.mark_line(interpolate="step-after", strokeDash=[5, 4], strokeWidth=1.2, color="#999999").encode(**AXES)


def _joined(means: alt.Chart) -> alt.Chart:
    """What cutting the forget adapter out does to a configuration."""
    pairs = means.transform_filter(f"datum.kind === 'routed' && (datum.m === '{BOTH}' || datum.m === '{RETAIN_ONLY}')")
    return pairs.mark_line(strokeWidth=0.8, opacity=0.6, color="#888888").encode(**AXES, detail=["c:N", "s:N"])
