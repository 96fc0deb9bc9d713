"""Charts of one run, also as the picture that `evaluate.py` leaves beside a checkpoint, and of two runs that are compared."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from records.files import EVALUATION_PICTURE
from records.folder import write_whole
from records.names import BASE, COLOURS, MODE_COLOURS, MODES
from records.reader import Row
from reports.charts import EVALUATED, STEPS, Spec, band_and_line, chart_width, finished_spec, panels_with_values

MODE_SHAPES = dict(zip(MODES, ("circle", "circle", "square", "triangle-up", "diamond"), strict=True))
MODE_DASHES = {mode: [5, 4] if mode == BASE else [1, 0] for mode in MODES}
MODE_PANELS = {"reward": ("Reward by mode", EVALUATED["reward"]), "hacked": ("Hack rate by mode", EVALUATED["hacked"])}
COLUMNS = 3  # of a run's curves


def run_curves_spec(rows: Sequence[Row], names: Mapping[str, tuple[str, str]]) -> Spec | None:
    """Of {name: (title, axis)} a line of means and a band from the lowest to the highest of the steps drawn as one point."""
    base, looks, size = alt.Chart(alt.NamedData(name="curves")), {"color": alt.value(COLOURS[0])}, (chart_width(COLUMNS), 190)
    charts = [band_and_line(base, panel, size, looks, panel.tooltip()) for panel in panels_with_values(names, rows)]
    return finished_spec(alt.concat(*charts, columns=COLUMNS), {"curves": rows}) if charts else None


def run_modes_spec(evaluations: Sequence[Row], checkpoint: int | None = None, title: str = "") -> Spec | None:
    """Each mode's figures over training with their 95 % intervals, the base dashed, from the rows of routing_eval.jsonl.

    What could not be computed has no curve, and a panel without curves is left out. A dotted line marks the step `checkpoint`.
    """
    rows = evaluation_rows(evaluations)
    panels = panels_with_values(MODE_PANELS, rows)
    if not panels:
        return None
    looks, size = _mode_looks(rows), (chart_width(len(panels)), 260)
    bases = [(alt.Chart(alt.NamedData(name="modes")), panel) for panel in panels]
    charts = [band_and_line(base, panel, size, looks, panel.tooltip("m:N"), points=30) for base, panel in bases]
    if checkpoint is None:
        return finished_spec(alt.hconcat(*charts), {"modes": rows, "checkpoint": []})
    rule = alt.Chart(alt.NamedData(name="checkpoint")).mark_rule(color="#777777", strokeDash=[2, 3]).encode(x="x:Q")
    lines = textwrap.wrap(title, 80 * len(panels), break_on_hyphens=False)
    titled = alt.TitleParams(lines, subtitle=f"dotted: this checkpoint, step {checkpoint:,}")
    marked = alt.hconcat(*(chart + rule for chart in charts)).properties(title=titled)
    return finished_spec(marked, {"modes": rows, "checkpoint": [{"x": checkpoint}]})


def evaluation_rows(evaluations: Sequence[Row]) -> list[Row]:
    """One row an evaluation and mode (m) at its step (x): y0 the reward, y1 the hack rate, l and h their intervals' ends."""
    rows = []
    for each in evaluations:
        row = {"x": each["step"], "m": each["mode"]}
        for i, name in enumerate(EVALUATED):
            if each[name] is not None:
                low, high = each.get(f"{name}/interval") or (None, None)
                row |= {f"y{i}": each[name], f"l{i}": low, f"h{i}": high}
        rows.append(row)
    return rows


def _mode_looks(rows: Sequence[Row]) -> dict[str, Any]:
    modes = [mode for mode in MODES if any(row["m"] == mode for row in rows)]
    channels = {
        "color": (alt.Color, MODE_COLOURS),
        "shape": (alt.Shape, MODE_SHAPES),
        "strokeDash": (alt.StrokeDash, MODE_DASHES),
    }
    return {
        name: channel("m:N", title=None, scale=alt.Scale(domain=modes, range=[looks[mode] for mode in modes]))
        for name, (channel, looks) in channels.items()
    }


def write_modes_picture(evaluations: Sequence[Row], checkpoint: Path, step: int) -> None:
    """evaluation.png in a checkpoint's folder: what a run's page draws of its evaluations, the checkpoint's step marked."""
    spec = run_modes_spec(evaluations, step, checkpoint.absolute().parent.name)
    assert spec is not None, "every evaluation has a reward"
    picture = vl_convert.vegalite_to_png(spec | {"padding": 10}, scale=2)
    write_whole(checkpoint / EVALUATION_PICTURE, lambda temporary: temporary.write_bytes(picture))


def comparison_spec(rows: Sequence[Row], names: Mapping[str, tuple[str, str]], runs: Sequence[str]) -> Spec | None:
    """Both `runs` in one chart (`r` names the run of a row), and below it the second less the first (d0, d1, ...)."""
    panels = panels_with_values(names, rows)
    if not panels:
        return None
    width, pairs, differences = chart_width(len(panels)), [], []
    colour = alt.Color("r:N", title=None, scale=alt.Scale(domain=list(runs), range=COLOURS[:2]))
    curves = alt.Chart(alt.NamedData(name="curves"))
    zero = alt.Chart(alt.NamedData(name="zero")).mark_rule(color="#999999").encode(y="y:Q")
    for panel in panels:
        pair = curves.transform_filter("isValid(datum.r)").mark_line(strokeWidth=1.8)
        pair = pair.encode(x=STEPS, y=panel.y, color=colour, tooltip=panel.tooltip("r:N"))
        pairs.append(pair.properties(title=panel.title, width=width, height=220))
        difference = curves.transform_filter("!isValid(datum.r)").mark_line(color="#333333", strokeWidth=1.5)
        difference = difference.encode(x=STEPS, y=alt.Y(f"d{panel.column}:Q", title="B − A"))
        differences.append(alt.layer(zero, difference, title=f"{panel.title}: B − A").properties(width=width, height=130))
    return finished_spec(alt.concat(*pairs, *differences, columns=len(panels)), {"curves": rows, "zero": [{"y": 0}]})
