"""The picture that `evaluate.py` leaves beside an evaluation: its figures by mode, and nothing of the training before it."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt

from records.files import EVALUATION_PICTURE
from records.names import MODE_COLOURS, MODES
from records.reader import Row
from reports.charts import Spec, finished_spec
from reports.pictures import write_picture

COLUMNS = 4  # panels side by side
PANEL = (250, 220)  # pixels
RATE = alt.Scale(domain=(0.0, 1.0))


def write_evaluation_picture(evaluation: Mapping[str, Any], checkpoint: Path) -> None:
    """evaluation.png in a checkpoint's folder, of the record that evaluation.json there holds."""
    title = f"{checkpoint.absolute().parent.name}, step {evaluation['step']:,}"
    write_picture(checkpoint / EVALUATION_PICTURE, picture_spec(evaluation, title))


def picture_spec(evaluation: Mapping[str, Any], title: str) -> Spec:
    """A panel a figure: a dot for each mode that has it, and its 95 % interval over samples."""
    modes: Mapping[str, Row] = evaluation["modes"]
    panels = {name: rows for name in figure_names(modes) if (rows := figure_rows(modes, name))}
    charts = [modes_panel(number, name) for number, name in enumerate(panels)]
    count = f"{evaluation['n_samples']:,} samples of each mode, with 95 % intervals over samples"
    lines = textwrap.wrap(title, 45 * min(len(charts), COLUMNS), break_on_hyphens=False)
    titled = alt.concat(*charts, columns=COLUMNS).properties(title=alt.TitleParams(lines, subtitle=count))
    return finished_spec(titled, {f"figure{number}": rows for number, rows in enumerate(panels.values())})


def figure_names(modes: Mapping[str, Row]) -> list[str]:
    """The run's own reward and hack rate, then those of further rewards."""
    further = dict.fromkeys(name for figures in modes.values() for name in figures if name.startswith("eval_rewards/"))
    return ["reward", "hacked", *(name for name in further if not name.endswith("/interval"))]


def figure_rows(modes: Mapping[str, Row], name: str) -> list[Row]:
    """One row a mode (m): the figure (y) and its interval (l to h). What could not be computed has none."""
    rows = []
    for mode in (mode for mode in MODES if mode in modes):
        if modes[mode][name] is not None:
            low, high = modes[mode][f"{name}/interval"]
            rows.append({"m": mode, "y": modes[mode][name], "l": low, "h": high})
    return rows


def panel_title(name: str) -> str:
    named = name.removeprefix("eval_rewards/")
    reward = named.removesuffix("hacked").rstrip("/")
    return named if reward == named else f"{reward}: hack rate".removeprefix(": ")


def modes_panel(number: int, name: str) -> Any:
    base = alt.Chart(alt.NamedData(name=f"figure{number}"))
    modes = alt.X("m:N", title=None, sort=[*MODES], axis=alt.Axis(labelAngle=0))
    colours = alt.Scale(domain=[*MODE_COLOURS], range=[*MODE_COLOURS.values()])
    looks = {"x": modes, "color": alt.Color("m:N", legend=None, scale=colours)}
    y = alt.Y("y:Q", title=None, scale=RATE if name.split("/")[-1] == "hacked" else alt.Scale(zero=False))
    interval = base.mark_rule(strokeWidth=2).encode(y=alt.Y("l:Q", title=None), y2="h", **looks)
    dot = base.mark_point(filled=True, size=70, opacity=1).encode(y=y, **looks)
    value = base.mark_text(align="left", dx=7).encode(y=y, text=alt.Text("y:Q", format=".3f"), x=modes)
    return alt.layer(interval, dot, value, title=panel_title(name)).properties(width=PANEL[0], height=PANEL[1])
