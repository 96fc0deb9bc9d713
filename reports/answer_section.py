"""The section that answers a sweep's question: does cutting forget out take the hack away and leave what was learnt?"""

from collections.abc import Iterator, Mapping, Sequence

import altair as alt

from records.estimates import Estimate
from records.measures import MEASURES
from records.reader import Row, SweepFiles, by_configuration
from reports.charts import COLOUR, HOVERED, OPACITY, ROWS, Chart, Charts, Entry, Legend, axis, panel_spec
from reports.sections import Section
from reports.tables import Cell, Table, interval_cell, text_cell
from sweeps.answer import Answer, answers, difference_name
from sweeps.conclusions import conclusions

TITLE = "The answer: is the hack cut out with the forget adapter, and what was learnt of the task kept?"
ROW_HEIGHT = 34  # pixels
ROUTED, CONTROL, DIFFERENCE = "routed", "control", "difference, paired by seed"
PART_COLOURS = {ROUTED: 0, CONTROL: 6, DIFFERENCE: 1}  # places in COLOURS
# Of what, a remark, which of the above, its MEASURES, and the configurations that it is of.
NamedEstimates = tuple[str, str, str, Mapping[str, Estimate], tuple[str, ...]]


def answer_section(sweep: SweepFiles) -> list[Section]:
    """None without a routed configuration."""
    answered = answers(sweep)
    if not answered:
        return []
    rows = [row for answer in answered for row in _named_estimates(answer)]
    cells = [
        [text_cell(name, more=remark), *(_estimate_cell(estimates[measure]) for measure in MEASURES)]
        for name, remark, _, estimates, _ in rows
    ]
    measures = [measure.replace("_", " ") for measure in MEASURES]
    table = Table("answertable", ["configuration", *measures], cells, sortable=False)
    meanings = "; ".join(f"{name}: {measure.title}" for name, measure in zip(measures, MEASURES.values(), strict=True))
    note = f"At the end of training, with 95 % intervals, each by itself. {meanings}."
    return [
        Section(
            "answer", TITLE, note, answer_charts(rows, list(by_configuration(sweep.runs))), table, sentences=conclusions(answered)
        )
    ]


def _named_estimates(answer: Answer) -> Iterator[NamedEstimates]:
    """Of a routed configuration, of each of its controls, and of the differences."""
    for arm in (answer.routed, *answer.controls):
        part = ROUTED if arm is answer.routed else CONTROL
        remark = f"{part}, {len(arm.seeds)} of {arm.planned} seeds"
        yield arm.configuration, remark, part, arm.measures, (arm.configuration,)
    for difference in answer.differences:
        arms = (difference.first, difference.second)
        yield difference_name(difference), difference.of_what or DIFFERENCE, DIFFERENCE, difference.measures, arms


def _estimate_cell(estimate: Estimate) -> Cell:
    """A value with its interval and what it is over in small print."""
    return interval_cell(estimate.value, estimate.interval, f"n = {estimate.basis}")


def answer_charts(rows: Sequence[NamedEstimates], configurations: Sequence[str]) -> Charts | None:
    """A panel for each measure (y0, l0, h0, ...) with a mark and its interval for each row; None where nothing is known."""
    by_measure = {measure: [estimates[measure] for *_, estimates, _ in rows] for measure in MEASURES}
    known = [i for i, each in enumerate(by_measure.values()) if any(estimate.value is not None for estimate in each)]
    if not known:
        return None
    numbers = {name: c for c, name in enumerate(configurations)}
    marks: list[Row] = [{"label": name, "part": part, "of": [numbers[one] for one in of]} for name, _, part, _, of in rows]
    for mark, (*_, estimates, _) in zip(marks, rows, strict=True):
        for i, estimate in enumerate(estimates[measure] for measure in MEASURES):
            low, high = estimate.interval or (None, None)
            mark |= {f"y{i}": estimate.value, f"l{i}": low, f"h{i}": high, f"n{i}": estimate.n}
    parts = [Entry(part, part, colour) for part, colour in PART_COLOURS.items() if any(mark["part"] == part for mark in marks)]
    names = [name for name, *_ in rows]
    panels = [_measure_chart(i, [*by_measure][i], names) for i in known]
    return Charts(panels, marks, [Legend("part", "", parts)], layout="narrow")


def _measure_chart(i: int, measure: str, names: Sequence[str]) -> Chart:
    """Each name stands above its interval, so that the intervals have the panel's whole width."""
    base, zero = alt.Chart(ROWS), alt.Chart(alt.NamedData(name="zero"))
    y = alt.Y("label:N", sort=list(names), title=None, axis=None, scale=alt.Scale(padding=0.5))
    x, looks = axis("x", "x", None, grid=True), {"y": y, "color": COLOUR, "opacity": OPACITY}
    words = {"x": "value", "low": "from", "high": "to"}
    figures = [alt.Tooltip(f"{column}:Q", title=word, format=".3f") for column, word in words.items()]
    line = zero.mark_rule(color="#888888", strokeDash=[3, 3], aria=False).encode(x=x)
    interval = base.mark_rule(strokeWidth=2, yOffset=6, aria=False).encode(x=axis("x", "low", None), x2="high", **looks)
    value = base.mark_point(size=60, filled=True, yOffset=6)
    value = value.encode(x=x, tooltip=[alt.Tooltip("label:N", title="of"), *figures], **looks)
    name = base.mark_text(align="left", baseline="bottom", dy=0, fontSize=11, aria=False).encode(
        x=alt.value(0), y=y, text="label:N"
    )
    ring = alt.Chart(HOVERED).mark_point(size=150, strokeWidth=2, yOffset=6, aria=False).encode(x=x, y=y, color=COLOUR)
    spec = panel_spec([line, interval, value, name, ring], measure.replace("_", " "), ROW_HEIGHT * len(names))
    spec["datasets"] = {"zero": [{"x": 0}]}
    fields = {"x": f"y{i}", "y": "label", "low": f"l{i}", "high": f"h{i}", "n": f"n{i}"}
    title, fitted = measure.replace("_", " "), {"x": ["x", "low", "high"]}
    return Chart(measure, title, spec, fields, fitted=fitted, says=words | {"n": "n"}, log="", zero="x", crosshair=False)
