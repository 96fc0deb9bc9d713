"""The picture of a sweep's end: what was learnt against how much of it is hacking."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from records.names import BASE, BOTH, KINDS, RETAIN_ONLY
from records.reader import Row, SweepFiles, by_configuration
from reports.charts import (
    COLOUR,
    HOVERED,
    OPACITY,
    ROWS,
    SHAPE,
    Chart,
    Charts,
    Entry,
    Legend,
    axis,
    coincidence,
    coinciding,
    mode_entries,
    panel_spec,
)
from reports.choices import Dropdown
from reports.sweep_charts import MODE_CAPTIONS, configuration_facts

SHAPES = dict(zip(KINDS, ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down"), strict=True))
CAPTIONS = MODE_CAPTIONS | {BASE: BASE}
X, Y = (
    axis("x", "x", "hack rate at the end (share of samples)", tickCount=8),
    axis("y", "y", "reward at the end, as chosen above"),
)


def task_dropdown(rows: Sequence[Row]) -> Dropdown:
    """What the vertical axis can be."""
    components = sorted({name for row in rows for name in row if name.startswith("rewards/")})
    parts = [(name, name.removeprefix("rewards/")) for name in components]
    return Dropdown("task", "vertical axis", (("task", "task reward"), ("reward", "whole reward"), *parts), "task")


def mode_dropdown(rows: Sequence[Row]) -> Dropdown:
    there = {row["m"] for row in rows}
    modes = ((mode, text) for mode, text in CAPTIONS.items() if mode in there)
    return Dropdown("mode", "modes", (("", "all"), *modes), "mode")


def pareto(rows: Sequence[Row], sweep: SweepFiles) -> Charts | None:
    """One point a configuration and mode, small ones for its seeds; colour tells the mode and shape the kind of run.

    A line joins each configuration as it was trained with its retain adapter alone; a dashed one joins the points that no
    other beats in both. None without a final evaluation that has a hack rate.
    """
    if not rows:
        return None
    title = "Reward against hack rate"
    spec = panel_spec([*_lines(), *_points()], title, 420)
    fields, says, fitted = {"x": "x", "y": "@task"}, {"y": "reward, as chosen", "x": "hack rate"}, {"x": ["x"], "y": ["y"]}
    panel = Chart("ends", title, spec, fields, fitted=fitted, says=says, log="x", crosshair=False)
    facts = {"m": "mode"} | configuration_facts(sweep) | {"n": "seeds"}
    legends = [Legend("m", "mode", mode_entries([row["m"] for row in rows], CAPTIONS), ["colour"]), _kinds(sweep)]
    by = {"mode": "m"}
    return Charts([panel], rows, legends, facts, by, has_seeds=True, layout="single", notes=_coincidences(rows, sweep))


def _kinds(sweep: SweepFiles) -> Legend:
    there = {run.kind for run in sweep.runs}
    entries = [Entry(kind, kind, -1, shape=shape) for kind, shape in SHAPES.items() if kind in there]
    return Legend("kind", "kind of run", entries, ["shape"])


def _coincidences(rows: Sequence[Row], sweep: SweepFiles) -> list[str]:
    """Marks of one mode at one place."""
    names, notes = list(by_configuration(sweep.runs)), []
    for mode, caption in CAPTIONS.items():
        means = [row for row in rows if "s" not in row and row["m"] == mode]
        for group in coinciding(means, "c", ["x", "task", "reward"]):
            notes.append(coincidence(caption, [names[c] for c in group], "configurations"))
    return notes


def _points() -> list[alt.Chart]:
    looks = {"x": X, "y": Y, "color": COLOUR, "shape": SHAPE}
    means, seeds = (alt.Chart(ROWS).transform_filter(f"{negation}isValid(datum.s)") for negation in ("!", ""))
    small = seeds.mark_point(size=26, filled=True, aria=False).encode(opacity=OPACITY, **looks)
    figures = [alt.Tooltip("y:Q", title="reward, as chosen", format=".3f"), alt.Tooltip("x:Q", title="hack rate", format=".3f")]
    tooltip = [alt.Tooltip("m:N", title="mode"), *figures, "label:N", "kind:N"]
    large = means.mark_point(size=120, filled=True, strokeWidth=1).encode(opacity=OPACITY, tooltip=tooltip, **looks)
    ring = alt.Chart(HOVERED).mark_point(size=230, strokeWidth=2, aria=False).encode(x=X, y=Y, color=COLOUR)
    return [small, large, ring]


def _lines() -> list[alt.Chart]:
    means = alt.Chart(ROWS).transform_filter("!isValid(datum.s)")
    return [unbeaten(means), _joined(means)]


def unbeaten(means: alt.Chart) -> alt.Chart:
    """Points with a higher reward than every point that hacks less, as steps; the base was not trained and takes no part."""
    order: list[Any] = [alt.SortField("x"), alt.SortField("y", order="descending")]
    best = means.transform_filter(f"datum.m !== '{BASE}'").transform_window(best="max(y)", sort=order, frame=[None, 0])
    line = best.transform_filter("datum.y >= datum.best")
    return line.mark_line(interpolate="step-after", strokeDash=[5, 4], strokeWidth=1.2, color="#888888", aria=False).encode(
        x=X, y=Y
    )


def _joined(means: alt.Chart) -> alt.Chart:
    """What cutting the forget adapter out does to a configuration."""
    pairs = means.transform_filter(f"datum.kind === 'routed' && (datum.m === '{BOTH}' || datum.m === '{RETAIN_ONLY}')")
    return pairs.mark_line(strokeWidth=1, color="#888888", aria=False).encode(x=X, y=Y, detail=["c:N", "s:N"], opacity=OPACITY)
