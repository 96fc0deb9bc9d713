"""The picture that `evaluate.py` leaves beside a checkpoint: its run's evaluations, and which step it is of."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from records.files import EVALUATION_PICTURE
from records.folder import write_whole
from records.names import COLOURS
from records.reader import Row
from reports.charts import Spec, finished_spec, mode_entries, names_with_values
from reports.run_charts import MODE_PANELS, evaluation_rows

WIDTH = 1235  # pixels for all panels
AXIS_ROOM = 62


def modes_picture_spec(evaluations: Sequence[Row], checkpoint: int, title: str) -> Spec:
    """Each mode's figures over training with their 95 % intervals, the base dashed; a dotted line marks the step `checkpoint`."""
    rows = evaluation_rows(evaluations)
    shown = names_with_values(MODE_PANELS, rows)
    width, rule = WIDTH // max(len(shown), 2) - AXIS_ROOM, alt.Chart(alt.NamedData(name="checkpoint"))
    rule = rule.mark_rule(color="#777777", strokeDash=[2, 3]).encode(x="x:Q")
    panels = [_panel(i, *MODE_PANELS[name], rows).properties(width=width, height=260) + rule for name, i in shown.items()]
    lines = textwrap.wrap(title, 80 * len(panels), break_on_hyphens=False)
    titled = alt.TitleParams(lines, subtitle=f"dotted: this checkpoint, step {checkpoint:,}")
    return finished_spec(alt.hconcat(*panels).properties(title=titled), {"modes": rows, "checkpoint": [{"x": checkpoint}]})


def _panel(number: int, title: str, axis: str, rows: Sequence[Row]) -> Any:
    base, x = (
        alt.Chart(alt.NamedData(name="modes")),
        alt.X("x:Q", title="training step", scale=alt.Scale(domainMin=0, nice=False)),
    )
    looks, y = _mode_looks(rows), alt.Y(f"y{number}:Q", title=axis, scale=alt.Scale(zero=False))
    band = base.mark_area(opacity=0.16).encode(x=x, y=f"l{number}:Q", y2=f"h{number}", color=looks["color"])
    line = base.mark_line(strokeWidth=1.8, point={"size": 30}).encode(x=x, y=y, **looks)
    banded = any(row.get(f"l{number}") is not None for row in rows)  # without values its scale would have no ends
    return alt.layer(*([band] if banded else []), line, title=title)


def _mode_looks(rows: Sequence[Row]) -> dict[str, Any]:
    entries = mode_entries([row["m"] for row in rows], {})
    ranges = {"color": [COLOURS[entry.colour] for entry in entries], "shape": [entry.shape for entry in entries],
              "strokeDash": [list(entry.dash) for entry in entries]}  # fmt: skip
    channels, domain = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}, [e.value for e in entries]
    return {name: channels[name]("m:N", title=None, scale=alt.Scale(domain=domain, range=ranges[name])) for name in channels}


def write_modes_picture(evaluations: Sequence[Row], checkpoint: Path, step: int) -> None:
    """evaluation.png in a checkpoint's folder, the checkpoint's step marked."""
    spec = modes_picture_spec(evaluations, step, checkpoint.absolute().parent.name)
    picture = vl_convert.vegalite_to_png(spec | {"padding": 10}, scale=2)
    write_whole(checkpoint / EVALUATION_PICTURE, lambda temporary: temporary.write_bytes(picture))
