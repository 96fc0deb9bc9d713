"""The section that answers a sweep's question: does cutting forget out take the hack away and leave what was learnt?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from records.estimates import Estimate
from records.measures import MEASURES
from records.names import COLOURS
from records.reader import Row, SweepFiles
from reports.charts import PAGE_WIDTH, Spec, finished_spec
from reports.sections import Section
from reports.tables import Cell, Table, interval_cell, text_cell
from sweeps.answer import Answer, answers, difference_name
from sweeps.conclusions import conclusions

TITLE = "The answer: is the hack cut out with the forget adapter, and what was learnt of the task kept?"
NAMES_WIDTH = 370  # pixels
ROUTED, CONTROL, DIFFERENCE = "routed", "control", "difference, paired by seed"
NamedEstimates = tuple[str, str, str, Mapping[str, Estimate]]  # of what, a remark, which of the above, and its MEASURES


def answer_section(sweep: SweepFiles) -> list[Section]:
    """None without a routed configuration."""
    answered = answers(sweep)
    if not answered:
        return []
    rows = [row for answer in answered for row in _named_estimates(answer)]
    cells = [
        [text_cell(name, more=remark), *(_estimate_cell(estimates[measure]) for measure in MEASURES)]
        for name, remark, _, estimates in rows
    ]
    measures = [measure.replace("_", " ") for measure in MEASURES]
    table = Table("answertable", ["configuration", *measures], cells, sortable=False)
    meanings = "; ".join(f"{name}: {measure.title}" for name, measure in zip(measures, MEASURES.values(), strict=True))
    note = f"At the end of training, with 95 % intervals, each by itself. {meanings}."
    return [Section("answer", TITLE, note, answer_spec(rows), table, sentences=conclusions(answered))]


def _named_estimates(answer: Answer) -> Iterator[NamedEstimates]:
    """Of a routed configuration, of each of its controls, and of the differences."""
    for arm in (answer.routed, *answer.controls):
        part = ROUTED if arm is answer.routed else CONTROL
        yield arm.configuration, f"{part}, {len(arm.seeds)} of {arm.planned} seeds", part, arm.measures
    for difference in answer.differences:
        yield difference_name(difference), difference.of_what or DIFFERENCE, DIFFERENCE, difference.measures


def _estimate_cell(estimate: Estimate) -> Cell:
    """A value with its interval and what it is over in small print."""
    return interval_cell(estimate.value, estimate.interval, f"n = {estimate.basis}")


def answer_spec(rows: Sequence[NamedEstimates]) -> Spec | None:
    """A panel for each measure (y0, l0, h0, ...) with a mark and its interval for each row; None where nothing is known."""
    by_measure = {measure: [estimates[measure] for *_, estimates in rows] for measure in MEASURES}
    known = [i for i, each in enumerate(by_measure.values()) if any(estimate.value is not None for estimate in each)]
    if not known:
        return None
    axis = alt.Axis(labelLimit=NAMES_WIDTH, grid=True)
    y = [alt.Y("name:N", sort=[name for name, *_ in rows], title=None, axis=axis if i == known[0] else None) for i in known]
    charts = [_measure_chart(i, [*by_measure][i], place, by_measure[[*by_measure][i]]) for i, place in zip(known, y, strict=True)]
    marks: list[Row] = [{"name": name, "part": part} for name, _, part, _ in rows]
    for mark, (*_, estimates) in zip(marks, rows, strict=True):
        for i, estimate in enumerate(estimates[measure] for measure in MEASURES):
            low, high = estimate.interval or (None, None)
            mark |= {f"y{i}": estimate.value, f"l{i}": low, f"h{i}": high, f"n{i}": estimate.n}
    return finished_spec(alt.hconcat(*charts), {"answers": marks, "zero": [{"x": 0}]})


def _measure_chart(i: int, measure: str, y: alt.Y, estimates: Sequence[Estimate]) -> Any:
    base, zero = alt.Chart(alt.NamedData(name="answers")), alt.Chart(alt.NamedData(name="zero"))
    x = {"title": measure.replace("_", " "), "scale": alt.Scale(nice=True, padding=8), "axis": alt.Axis(tickCount=4)}
    colours = alt.Scale(domain=[ROUTED, CONTROL, DIFFERENCE], range=[COLOURS[0], COLOURS[6], COLOURS[1]])
    looks = {"y": y, "color": alt.Color("part:N", scale=colours, title=None)}
    words = {"y": "value", "l": "from", "h": "to"}
    figures = [alt.Tooltip(f"{letter}{i}:Q", title=word, format=".3f") for letter, word in words.items()]
    tooltip = [alt.Tooltip("name:N", title="of"), *figures, alt.Tooltip(f"n{i}:Q", title="n")]
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X(f"l{i}:Q", **x), x2=f"h{i}", **looks)
    value = base.mark_point(size=70, filled=True, opacity=1).encode(x=alt.X(f"y{i}:Q", **x), tooltip=tooltip, **looks)
    line = zero.mark_rule(color="#999999", strokeDash=[3, 3]).encode(x="x:Q")
    width = (PAGE_WIDTH - NAMES_WIDTH) // len(MEASURES) - 30
    intervals = [interval] if any(estimate.interval for estimate in estimates) else []  # without values it has no ends
    return alt.layer(line, *intervals, value).properties(width=width, height={"step": 24})
