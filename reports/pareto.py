"""The picture of a sweep's end: what was learnt against how much of it is hacking."""

from collections.abc import Sequence

import altair as alt

from records.names import BASE, BOTH, KINDS, RETAIN_ONLY
from records.reader import Row, SweepFiles, by_configuration
from reports.charts import (
    OPACITY,
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
from reports.scatter import means, points, unbeaten
from reports.sweep_charts import MODE_CAPTIONS, configuration_facts

SHAPES = dict(zip(KINDS, ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"), strict=True))
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
    figures = {"y": "reward, as chosen", "x": "hack rate"}
    lines = [unbeaten(means(), X, Y), _joined(means())]
    spec = panel_spec([*lines, *points(X, Y, figures)], title, 420)
    fields, fitted = {"x": "x", "y": "@task"}, {"x": ["x"], "y": ["y"]}
    panel = Chart("ends", title, spec, fields, fitted=fitted, says=figures, log="x", crosshair=False)
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


def _joined(marks: alt.Chart) -> alt.Chart:
    """What cutting the forget adapter out does to a configuration."""
    pairs = marks.transform_filter(f"datum.kind === 'routed' && (datum.m === '{BOTH}' || datum.m === '{RETAIN_ONLY}')")
    return pairs.mark_line(strokeWidth=1, color="#888888", aria=False).encode(x=X, y=Y, detail=["c:N", "s:N"], opacity=OPACITY)
