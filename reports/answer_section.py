"""The section that answers a sweep's question: does cutting the forget adapter out take the hack away and leave the task?"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from records.names import COLOURS
from records.reader import Row, SweepFiles
from reports.charts import PAGE_WIDTH, Spec, finished_spec
from reports.sections import Section
from reports.tables import Cell, Table, interval_cell, text_cell
from sweeps.answer import MEASURES, Answer, answers, conclusions
from sweeps.estimates import Estimate

TITLE = "The answer: is the hack cut out with the forget adapter, and the task kept?"
NAMES_WIDTH = 260  # pixels
ROUTED, CONTROL, DIFFERENCE = "routed", "control", "routed − control, in pairs"
NamedEstimates = tuple[str, str, list[Estimate]]  # of what, which of the three above, and its estimates of the MEASURES


def answer_section(sweep: SweepFiles) -> list[Section]:
    """None without a routed configuration."""
    answered = answers(sweep)
    if not answered:
        return []
    rows = [row for answer in answered for row in _named_estimates(answer)]
    cells = [[text_cell(name), text_cell(part), *map(_estimate_cell, estimates)] for name, part, estimates in rows]
    measures = [measure.replace("_", " ") for measure in MEASURES]
    table = Table("answertable", ["configuration", "", *measures], cells, sortable=False)
    meanings = "; ".join(f"{name}: {title}" for name, title in zip(measures, MEASURES.values(), strict=True))
    note = f"At the end of training, with 95 % intervals. {meanings}."
    return [Section("answer", TITLE, note, answer_spec(rows), table, sentences=conclusions(answered))]


def _named_estimates(answer: Answer) -> list[NamedEstimates]:
    """Of a routed configuration, then of each of its controls and of the differences from it."""
    rows = [(answer.configuration, ROUTED, answer.measures)]
    for control in answer.controls:
        rows.append((control.configuration, CONTROL, control.measures))
        rows.append((f"{answer.configuration} − {control.configuration}", DIFFERENCE, control.differences))
    return [(name, part, [estimates[measure] for measure in MEASURES]) for name, part, estimates in rows]


def _estimate_cell(estimate: Estimate) -> Cell:
    """A mean with its interval and what it is over in small print."""
    return interval_cell(estimate.mean, estimate.interval, f"n = {estimate.n} {estimate.over}")


def answer_spec(rows: Sequence[NamedEstimates]) -> Spec | None:
    """A panel for each measure (y0, l0, h0, ...) with a mark and its interval for each row; None where nothing is known."""
    if all(estimate.mean is None for _, _, estimates in rows for estimate in estimates):
        return None
    charts = [_measure_chart(i, measure.replace("_", " "), [name for name, _, _ in rows]) for i, measure in enumerate(MEASURES)]
    marks: list[Row] = [{"name": name, "part": part} for name, part, _ in rows]
    for mark, (_, _, estimates) in zip(marks, rows, strict=True):
        for i, estimate in enumerate(estimates):
            mark |= {f"y{i}": estimate.mean, f"l{i}": estimate.low, f"h{i}": estimate.high, f"n{i}": estimate.n}
    return finished_spec(alt.hconcat(*charts), {"answers": marks, "zero": [{"x": 0}]})


def _measure_chart(i: int, title: str, names: Sequence[str]) -> Any:
    base, zero = alt.Chart(alt.NamedData(name="answers")), alt.Chart(alt.NamedData(name="zero"))
    x = {"title": title, "scale": alt.Scale(nice=True, padding=8), "axis": alt.Axis(tickCount=4)}
    colours = alt.Scale(domain=[ROUTED, CONTROL, DIFFERENCE], range=[COLOURS[0], COLOURS[6], COLOURS[1]])
    axis = alt.Axis(labelLimit=NAMES_WIDTH, grid=True) if i == 0 else None
    looks = {"y": alt.Y("name:N", sort=names, title=None, axis=axis), "color": alt.Color("part:N", scale=colours, title=None)}
    words = {"y": "mean", "l": "from", "h": "to"}
    figures = [alt.Tooltip(f"{letter}{i}:Q", title=word, format=".3f") for letter, word in words.items()]
    tooltip = [alt.Tooltip("name:N", title="of"), *figures, alt.Tooltip(f"n{i}:Q", title="n")]
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X(f"l{i}:Q", **x), x2=f"h{i}", **looks)
    mean = base.mark_point(size=70, filled=True, opacity=1).encode(x=alt.X(f"y{i}:Q", **x), tooltip=tooltip, **looks)
    line = zero.mark_rule(color="#999999", strokeDash=[3, 3]).encode(x="x:Q")
    width = (PAGE_WIDTH - NAMES_WIDTH) // len(MEASURES) - 30
    return alt.layer(line, interval, mean).properties(width=width, height={"step": 24})
