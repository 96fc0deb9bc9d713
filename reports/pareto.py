"""The picture of a sweep's end: what was learnt against how much of it is hacking."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from reports.charts import MODE_COLOURS, PAGE_WIDTH, Dropdown, Spec, finished_spec, followed, told

SHAPES = {
    "routed": "circle",
    "unrouted": "square",
    "lora": "triangle-up",
    "full": "diamond",
    "filter": "cross",
    "reward_penalty": "triangle-down",
}
MODE_LABELS = {"both": "both (or policy)", "retain_only": "retain_only", "forget_only": "forget_only", "base": "base"}


def task_dropdown(rows: Sequence[Mapping[str, Any]]) -> Dropdown:
    """What the vertical axis can be."""
    components = sorted({name for row in rows for name in row if name.startswith("rewards/")})
    parts = [(name, name.removeprefix("rewards/")) for name in components]
    return Dropdown("task", "vertical axis", (("task", "task reward"), ("reward", "whole reward"), *parts))


def mode_dropdown(rows: Sequence[Mapping[str, Any]]) -> Dropdown:
    there = {row["m"] for row in rows}
    return Dropdown("mode", "modes", (("", "all"), *((mode, label) for mode, label in MODE_LABELS.items() if mode in there)))


def pareto_spec(
    rows: Sequence[Mapping[str, Any]], table: Sequence[Mapping[str, Any]], dropdowns: Sequence[Dropdown], own: Sequence[Dropdown]
) -> Spec | None:
    """One point a configuration and mode, small ones for its seeds; colour tells the mode and shape the kind of run.

    A line joins each configuration as it was trained with its retain adapter alone; a dashed one joins the points that no
    other beats in both. `own` are the dropdowns `mode` and `task`. None without a final evaluation that has a hack rate.
    """
    if not rows:
        return None
    means, seeds = _ends(dropdowns, single_seeds=False), _ends(dropdowns, single_seeds=True)
    small = seeds.mark_point(size=26, opacity=0.4, filled=True).encode(**_place(), **_looks(table))
    large = means.mark_point(size=120, filled=True, opacity=0.95, stroke="white", strokeWidth=1)
    large = large.encode(**_place(), **_looks(table), tooltip=_says(dropdowns))
    chart = alt.layer(_unbeaten(means), _joined(means), small, large)
    chart = chart.properties(width=PAGE_WIDTH - 250, height=420, title=alt.TitleParams(text=alt.ExprRef(_chosen(own[1]))))
    chart = chart.add_params(*(dropdown.param for dropdown in (*dropdowns, *own)))
    spec = finished_spec(chart, {"ends": rows, "configurations": table})
    spec["config"]["legend"] |= {"orient": "right", "columns": 1}
    return spec


def _ends(dropdowns: Sequence[Dropdown], single_seeds: bool) -> alt.Chart:
    chart = followed(alt.Chart(alt.NamedData(name="ends")), dropdowns, single_seeds)
    chart = chart.transform_calculate(y="datum[task]").transform_filter("isValid(datum.y)")
    return chart.transform_filter("mode === '' || datum.m === mode")


def _chosen(task: Dropdown) -> str:
    """The chart's title as an expression: what its vertical axis shows."""
    names = json.dumps({value: f"{label} against hack rate" for value, label in task.options})
    return f"{names}[task]"


def _place() -> dict[str, Any]:
    x = alt.X("x:Q", title="hack rate at the end (share of samples)", scale=alt.Scale(domain=[0, 1]))
    return {"x": x, "y": alt.Y("y:Q", title="reward at the end, as chosen above", scale=alt.Scale(zero=False, nice=True))}


def _looks(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds = [kind for kind in SHAPES if any(row["kind"] == kind for row in table)]
    colours = alt.Scale(domain=list(MODE_COLOURS), range=list(MODE_COLOURS.values()))
    shapes = alt.Scale(domain=kinds, range=[SHAPES[kind] for kind in kinds])
    return {
        "color": alt.Color("m:N", scale=colours, legend=alt.Legend(title="mode")),
        "shape": alt.Shape("kind:N", scale=shapes, legend=alt.Legend(title="kind of run")),
    }


def _says(dropdowns: Sequence[Dropdown]) -> list[alt.Tooltip]:
    figures = [alt.Tooltip("y:Q", title="reward, as chosen", format=".3f"), alt.Tooltip("x:Q", title="hack rate", format=".3f")]
    return [alt.Tooltip("m:N", title="mode"), *figures, *told(dropdowns), alt.Tooltip("n:Q", title="seeds")]


def _unbeaten(means: alt.Chart) -> alt.Chart:
    """Points with a higher reward than every point that hacks less, as steps; the base was not trained and takes no part."""
    best = means.transform_filter("datum.m !== 'base'").transform_window(
        best="max(y)", sort=[alt.SortField("x"), alt.SortField("y", order="descending")], frame=[None, 0]
    )
    line = best.transform_filter("datum.y >= datum.best").mark_line(
        interpolate="step-after", strokeDash=[5, 4], strokeWidth=1.2, color="#999999"
    )
    return line.encode(**_place())


def _joined(means: alt.Chart) -> alt.Chart:
    """What cutting the forget adapter out does to a configuration."""
    pairs = means.transform_filter("datum.kind === 'routed' && (datum.m === 'both' || datum.m === 'retain_only')")
    return pairs.mark_line(strokeWidth=0.8, opacity=0.6, color="#888888").encode(**_place(), detail=["c:N", "s:N"])
