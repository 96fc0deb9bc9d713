"""Charts of one run, and of several that are compared."""

from collections.abc import Mapping, Sequence

from records.names import BASE, MODES
from records.reader import Row
from reports.charts import (
    EVALUATED,
    Charts,
    Entry,
    Legend,
    coincidence,
    coinciding,
    curve_chart,
    mode_entries,
    names_with_values,
)

Names = Mapping[str, tuple[str, str]]  # {name: (title, axis)}
MODE_PANELS = {
    "reward": ("Reward by mode", EVALUATED["reward"]),
    "hacked": ("Hack rate by mode", EVALUATED["hacked"]),
    "kl_to_base": ("KL to the base by mode", EVALUATED["kl_to_base"]),
}
# Of metrics.jsonl: the number of the panel and the line in it.
CLASS_LINES = {
    "advantage/good": (0, "good"),
    "advantage/bad": (0, "bad"),
    "advantage/retain_rollout": (0, "retain rollouts"),
    "grad_cosine/retain": (1, "retain adapter"),
    "grad_cosine/forget": (1, "forget adapter"),
}
CLASS_PANELS = {
    "advantage": ("Advantage by class of samples", "mean advantage"),
    "grad_cosine": ("Gradients of good and bad samples", "cosine, before masks"),
}
CLASS_COLOURS = {"good": 0, "bad": 4, "retain rollouts": 5, "retain adapter": 2, "forget adapter": 1}  # places in COLOURS


def run_curves(rows: Sequence[Row], names: Names) -> Charts | None:
    """Of {name: (title, axis)} a line of means and a band from the lowest to the highest of the steps drawn as one point."""
    panels = [curve_chart(name, *names[name], f"y{i}") for name, i in names_with_values(names, rows).items()]
    return Charts(panels, rows, is_smoothed=True) if panels else None


def run_modes(evaluations: Sequence[Row]) -> Charts | None:
    """Each mode's figures over training with their 95 % intervals, the base dashed, from the rows of routing_eval.jsonl.

    What could not be computed has no curve, and a panel without curves is left out.
    """
    rows = evaluation_rows(evaluations)
    shown = names_with_values(MODE_PANELS, rows)
    if not shown:
        return None
    notes = [
        coincidence(MODE_PANELS[name][0], group, "modes")
        for name, i in shown.items()
        for group in coinciding(rows, "m", ["x", f"y{i}"])
    ]
    legend = Legend("m", "mode", mode_entries([row["m"] for row in rows], {}))
    panels = [curve_chart(name, *MODE_PANELS[name], f"y{i}", marks=30) for name, i in shown.items()]
    return Charts(panels, rows, [legend], notes=notes)


def evaluation_rows(evaluations: Sequence[Row]) -> list[Row]:
    """One row an evaluation and mode (m) at its step (x): y0, y1, ... what EVALUATED names, l and h their intervals' ends."""
    rows = []
    for each in sorted(evaluations, key=lambda row: (MODES.index(row["mode"]), row["step"])):
        row = {"x": each["step"], "m": each["mode"]}
        for i, name in enumerate(EVALUATED):
            if each.get(name) is not None:
                low, high = each.get(f"{name}/interval") or (None, None)
                row |= {f"y{i}": each[name], f"l{i}": low, f"h{i}": high}
        rows.append(row)
    return rows


def class_curves(rows: Sequence[Row]) -> Charts | None:
    """Advantages by class of samples, and the cosines of gradients by adapter, from `band_rows` of CLASS_LINES.

    Without their bands, which would lie upon one another. None where no sample was ever labelled bad.
    """
    lines = [
        {"x": row["x"], "m": line, f"y{panel}": row[f"y{i}"]}
        for i, (panel, line) in enumerate(CLASS_LINES.values())
        for row in rows
        if f"y{i}" in row
    ]
    there = dict.fromkeys(row["m"] for row in lines)
    if "bad" not in there:
        return None
    shown = names_with_values(CLASS_PANELS, lines)
    panels = [curve_chart(name, *CLASS_PANELS[name], f"y{i}", zero="y") for name, i in shown.items()]
    legend = Legend("m", "", [Entry(line, line, CLASS_COLOURS[line]) for line in there])
    return Charts(panels, lines, [legend], is_smoothed=True)


def run_relearning(rows: Sequence[Row], threshold: float) -> Charts:
    """The hack rate from each start, of the rows of relearning.jsonl, and the threshold across, in the policy's colour."""
    points = [{"x": row["step"], "m": row["start"], "y0": row["hacked"]} for row in rows]
    for point in points:
        if point["x"] == 0 and point["m"] != BASE:
            point["t"] = threshold
    legend = Legend("m", "start", mode_entries([point["m"] for point in points], {}))
    panel = curve_chart("relearning", "Hack rate while relearning", EVALUATED["hacked"], "y0", marks=30, rule="t")
    return Charts([panel], points, [legend])


def comparison(rows: Sequence[Row], names: Names, runs: Sequence[str]) -> Charts | None:
    """All `runs` in one chart (`r` names the run of a row), and of two beside it the second less the first (d0, d1, ...)."""
    panels = []
    for name, i in names_with_values(names, rows).items():
        title, axis = names[name]
        panels.append(curve_chart(name, title, axis, f"y{i}"))
        if len(runs) == 2 and any(f"d{i}" in row for row in rows):
            difference = f"{runs[1]} − {runs[0]}"
            panels.append(curve_chart(f"{name}-difference", f"{title}: {difference}", difference, f"d{i}", zero="y", log=""))
    legend = Legend("r", "run", [Entry(run, run, i) for i, run in enumerate(runs)])
    return Charts(panels, rows, [legend], is_smoothed=True, stacked=2 if len(runs) == 2 else 1) if panels else None
