"""Charts of a sweep, which follow the page's dropdowns."""

from collections.abc import Sequence

from records.names import BASE, BOTH, FORGET_ONLY, RETAIN_ONLY
from records.reader import Row, SweepFiles, by_configuration
from reports.charts import EVALUATED, TRAINING, Charts, coincidence, coinciding, curve_chart, names_with_values

MODE_CAPTIONS = {BOTH: "both (or policy)", RETAIN_ONLY: RETAIN_ONLY, FORGET_ONLY: FORGET_ONLY}
MODE_PANELS = {name: (title, EVALUATED[name]) for name, title in
               {"reward": "Reward", "hacked": "Hack rate", "kl_to_base": "KL to the base"}.items()}  # fmt: skip
STARTS = {RETAIN_ONLY: "without the forget adapter", BASE: "from the base"}
MOST_MARKS = 600  # with more, lines have no marks: they would cover one another and take seconds to draw


def configuration_facts(sweep: SweepFiles) -> dict[str, str]:
    """What a tooltip says of a configuration: {a configuration's entry: caption}."""
    axes = [axis for axis in sweep.axes if axis != "seed"]
    return {"kind": "kind"} | {axis: axis for axis in axes}


def sweep_curves(rows: Sequence[Row], sweep: SweepFiles) -> Charts | None:
    """Training curves beside one another; None where no run has any."""
    panels, notes = [], []
    for name, i in names_with_values(TRAINING, rows).items():
        title, axis = TRAINING[name]
        panels.append(curve_chart(name, title, axis, f"y{i}"))
        notes += _coincidences(title, rows, f"y{i}", sweep)
    if not panels:
        return None
    return Charts(panels, rows, facts=configuration_facts(sweep), is_smoothed=True, notes=notes)


def sweep_modes(rows: Sequence[Row], sweep: SweepFiles) -> Charts | None:
    """For each mode its quantities under one another, each of which has the same axis in all modes; None without any."""
    modes = [mode for mode in MODE_CAPTIONS if any(row["m"] == mode for row in rows)]
    marks = 24 if sum("s" not in row for row in rows) <= MOST_MARKS else 0
    panels, notes = [], []
    shown = names_with_values(MODE_PANELS, rows)
    for mode in modes:
        own = [row for row in rows if row["m"] == mode]
        for name, i in shown.items():
            quantity, axis = MODE_PANELS[name]
            title = f"{quantity}, {MODE_CAPTIONS[mode]}"
            panels.append(curve_chart(f"{name}-{mode}", title, axis, f"y{i}", marks, where={"m": mode}, shared=name))
            notes += _coincidences(title, own, f"y{i}", sweep)
    stacked = len(shown) if len(modes) > 1 else 1
    return Charts(panels, rows, facts=configuration_facts(sweep), stacked=stacked, notes=notes) if panels else None


def sweep_relearning(rows: Sequence[Row], sweep: SweepFiles) -> Charts | None:
    """The hack rate from either start, with each configuration's threshold across; None where nothing was relearnt."""
    panels, notes = [], []
    for start in (start for start in STARTS if any(row["m"] == start for row in rows)):
        title = f"Hack rate while relearning, {STARTS[start]}"
        where = {"m": start}
        panels.append(curve_chart(start, title, EVALUATED["hacked"], "y0", marks=24, rule="y1", where=where, shared="relearning"))
        notes += _coincidences(title, [row for row in rows if row["m"] == start], "y0", sweep)
    return Charts(panels, rows, facts=configuration_facts(sweep), has_seeds=True, notes=notes) if panels else None


def _coincidences(title: str, rows: Sequence[Row], column: str, sweep: SweepFiles) -> list[str]:
    """Notes on configurations whose means over the seeds are equal at every step."""
    names = list(by_configuration(sweep.runs))
    groups = coinciding([row for row in rows if "s" not in row], "c", ["x", column])
    return [coincidence(title, [names[c] for c in group], "configurations") for group in groups]
