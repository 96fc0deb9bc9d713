"""Vega-Lite charts of a sweep, which follow the page's dropdowns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from records.names import BOTH, COLOURS, FORGET_ONLY, RETAIN_ONLY
from records.reader import Row, SweepFiles
from reports.charts import EVALUATED, TRAINING, Panel, Spec, band_and_line, chart_width, finished_spec, panels_with_values
from reports.choices import Dropdown, configuration_rows, dropdowns

MODE_CAPTIONS = {BOTH: "both (or policy)", RETAIN_ONLY: RETAIN_ONLY, FORGET_ONLY: FORGET_ONLY}
MODE_PANELS = {"reward": ("Reward", EVALUATED["reward"]), "hacked": ("Hack rate", EVALUATED["hacked"])}
MOST_MARKS = 600  # with more, lines have no marks: they would cover one another and take seconds to draw


def filtered(chart: alt.Chart, shared: Sequence[Dropdown], single_seeds: bool = False) -> alt.Chart:
    """The rows that the page's filters leave, each with `shade`, which is what it is coloured by.

    A row without a seed's number (s) stands for all seeds of its configuration. Those are drawn, or the one that is chosen;
    with `single_seeds` what those are put together from, as long as no one is chosen.
    """
    filters = [dropdown.name for dropdown in shared if dropdown.name.startswith("filter")]
    looked_up = ["name", "kind", *(f"value{name.removeprefix('filter')}" for name in filters), *filters]
    seed = "seed" if any(dropdown.name == "seed" for dropdown in shared) else "''"
    all_seeds, one = ("isValid(datum.s)", "false") if single_seeds else ("!isValid(datum.s)", f"datum.s == {seed}")
    # The filter that leaves least comes first: a chart does all that follows for every row that is left.
    chart = chart.transform_filter(f"{seed} === '' ? {all_seeds} : {one}").transform_lookup(
        lookup="c", from_=alt.LookupData(data=alt.NamedData(name="configurations"), key="c", fields=looked_up)
    )
    for name in filters:
        chart = chart.transform_filter(f"{name} === '' || datum.{name} == {name}")
    return chart.transform_calculate(shade="datum[colour]")


def configuration_tooltip(shared: Sequence[Dropdown]) -> list[alt.Tooltip]:
    """What a line or a point says of its configuration."""
    axes = {d.name.removeprefix("filter"): d.caption for d in shared if d.name.startswith("filter") and d.name != "filterkind"}
    values = [alt.Tooltip(f"value{number}:N", title=caption) for number, caption in axes.items()]
    return [alt.Tooltip("name:N", title="configuration"), alt.Tooltip("kind:N"), *values]


def _curves(base: alt.Chart, panel: Panel, sweep: SweepFiles, width: int, points: int = 0) -> Any:
    """A line for each configuration with a band from its lowest to its highest seed."""
    colour = alt.Color("shade:N", scale=alt.Scale(range=list(COLOURS)), title=None)
    looks = {"color": colour, "detail": ["c:N", "s:N"]}
    return band_and_line(base, panel, (width, 230), looks, configuration_tooltip(dropdowns(sweep)), points)


def _steered_spec(chart: alt.HConcatChart | alt.VConcatChart, name: str, rows: Sequence[Row], sweep: SweepFiles) -> Spec:
    """The panels of `chart` over what the dropdowns leave of the data `name`, which is worked out once for all of them."""
    shared = dropdowns(sweep)
    chart.data = alt.NamedData(name=name)
    chart.transform = filtered(alt.Chart(), shared).transform
    chart = chart.add_params(*(dropdown.param for dropdown in shared))
    return finished_spec(chart, {name: rows, "configurations": configuration_rows(sweep)})


def curves_spec(rows: Sequence[Row], sweep: SweepFiles) -> Spec | None:
    """Training curves beside one another; None where no run has any."""
    panels = panels_with_values(TRAINING, rows)
    charts = [_curves(alt.Chart(), panel, sweep, chart_width(len(panels))) for panel in panels]
    return _steered_spec(alt.hconcat(*charts), "curves", rows, sweep) if charts else None


def modes_spec(rows: Sequence[Row], sweep: SweepFiles) -> Spec | None:
    """A column for each mode, a row for each quantity, whose axis its panels share; None where nothing was evaluated."""
    modes = [mode for mode in MODE_CAPTIONS if any(row["m"] == mode for row in rows)]
    points = 22 if sum("s" not in row for row in rows) <= MOST_MARKS else 0

    def mode_chart(panel: Panel, mode: str) -> Any:
        base = alt.Chart().transform_filter(f"datum.m === '{mode}'")
        titled = replace(panel, title=f"{panel.title}, {MODE_CAPTIONS[mode]}")
        return _curves(base, titled, sweep, chart_width(len(modes)), points)

    panels = panels_with_values(MODE_PANELS, rows)
    charts = [alt.hconcat(*(mode_chart(panel, mode) for mode in modes)).resolve_scale(y="shared") for panel in panels]
    return _steered_spec(alt.vconcat(*charts), "modes", rows, sweep) if charts else None
