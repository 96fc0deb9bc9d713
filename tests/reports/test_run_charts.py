"""What is drawn of a run's evaluations and of compared runs is what the rows say; nothing is drawn of what they do not say."""

from typing import Any

from records.reader import RunFiles
from reports.charts import Charts, coinciding, packed
from reports.numbers import run_rows
from reports.run_charts import CLASS_LINES, class_curves, comparison, run_modes, run_relearning

TITLES = {"reward": ("Reward", "mean reward"), "kl": ("KL", "nats")}


def evaluation(mode: str, step: int, reward: float, hacked: float | None) -> dict[str, Any]:
    """Intervals of 0.1 below and 0.2 above."""
    return {
        "mode": mode,
        "step": step,
        "reward": reward,
        "hacked": hacked,
        "reward/interval": [reward - 0.1, reward + 0.2],
        **({} if hacked is None else {"hacked/interval": [hacked - 0.1, hacked + 0.2]}),
    }


def charts_of(*rows: dict[str, Any]) -> Charts:
    charts = run_modes(rows)
    assert charts is not None
    return charts


def curves(charts: Charts, panel: int) -> dict[str, list[tuple[float, ...]]]:
    """Points of the panel's lines, by mode: x, y and the band's ends."""
    fields = charts.panels[panel].fields
    points: dict[str, list[tuple[float, ...]]] = {}
    for row in charts.rows:
        if fields["y"] in row:
            values = tuple(round(row[fields[name]], 6) for name in ("x", "y", "low", "high"))
            points.setdefault(row["m"], []).append(values)
    return points


def test_curves_hold_the_rows_of_their_mode_and_bands_are_the_intervals():
    charts = charts_of(evaluation("base", 0, 0.2, 0.1), evaluation("both", 10, 0.5, 0.3), evaluation("both", 20, 0.75, 0.6))
    assert curves(charts, 0) == {"both": [(10, 0.5, 0.4, 0.7), (20, 0.75, 0.65, 0.95)], "base": [(0, 0.2, 0.1, 0.4)]}
    assert curves(charts, 1) == {"both": [(10, 0.3, 0.2, 0.5), (20, 0.6, 0.5, 0.8)], "base": [(0, 0.1, 0.0, 0.3)]}


def test_a_reward_without_ground_truth_has_no_hack_panel():
    charts = charts_of(evaluation("both", 10, 0.5, None), evaluation("base", 10, 0.2, None))
    assert [panel.name for panel in charts.panels] == ["reward"]


def test_a_mode_without_hack_rates_has_no_hack_curve():
    charts = charts_of(evaluation("both", 10, 0.5, 0.3), evaluation("base", 10, 0.2, None))
    assert [*curves(charts, 1)] == ["both"]


def test_the_kl_to_the_base_of_each_mode_is_drawn_where_it_is_known():
    rows = [
        evaluation(mode, step, 0.5, 0.3) | {"kl_to_base": kl} for mode, step, kl in (("both", 5, 0.25), ("retain_only", 5, 0.5))
    ]
    charts = charts_of(*rows, evaluation("base", 0, 0.2, 0.1) | {"kl_to_base": None})
    assert [panel.name for panel in charts.panels] == ["reward", "hacked", "kl_to_base"]
    fields = charts.panels[2].fields
    assert {row["m"]: row[fields["y"]] for row in charts.rows if fields["y"] in row} == {"both": 0.25, "retain_only": 0.5}


def class_figures(**columns: list[float | None]) -> Charts | None:
    metrics = {"step": [0, 1]} | {name.replace("__", "/"): values for name, values in columns.items()}
    return class_curves(run_rows(RunFiles("r", "routed", "c", {}, metrics=metrics), list(CLASS_LINES)))


def test_advantages_are_drawn_by_class_and_cosines_by_adapter():
    figures = {"advantage__good": [-0.25, 0.5], "advantage__bad": [0.75, None], "grad_cosine__retain": [0.125, None]}
    charts = class_figures(**figures, grad_cosine__forget=[-0.5, None])
    assert charts is not None
    drawn = [
        {(row["m"], row["x"]): row[panel.fields["y"]] for row in charts.rows if panel.fields["y"] in row}
        for panel in charts.panels
    ]
    assert [panel.name for panel in charts.panels] == ["advantage", "grad_cosine"]
    assert drawn == [
        {("good", 0): -0.25, ("good", 1): 0.5, ("bad", 0): 0.75},
        {("retain adapter", 0): 0.125, ("forget adapter", 0): -0.5},
    ]
    (legend,) = charts.legends
    assert [entry.value for entry in legend.entries] == ["good", "bad", "retain adapter", "forget adapter"]
    assert len({entry.colour for entry in legend.entries}) == 4


def test_without_bad_samples_there_are_no_curves_by_class_and_without_two_adapters_none_of_gradients():
    assert class_figures(advantage__good=[0.0, 0.0], grad_cosine__retain=[None, None]) is None and class_figures() is None
    charts = class_figures(advantage__good=[0.0, 0.5], advantage__bad=[0.25, 0.5])
    assert charts is not None and [panel.name for panel in charts.panels] == ["advantage"]


def test_nothing_is_drawn_of_nothing():
    assert run_modes([]) is None and comparison([], TITLES, ["A", "B"]) is None


def test_the_legend_is_in_the_order_of_every_table():
    charts = charts_of(*(evaluation(mode, 5, 0.5, 0.3) for mode in ("base", "forget_only", "both")))
    (legend,) = charts.legends
    assert [entry.value for entry in legend.entries] == ["both", "forget_only", "base"]
    assert len({(entry.colour, entry.shape) for entry in legend.entries}) == 3


def test_modes_that_coincide_are_said():
    charts = charts_of(*(evaluation(mode, step, 0.5, 0.1 * i) for i, mode in enumerate(("both", "base")) for step in (5, 6)))
    assert charts.notes == ["Reward by mode: 2 modes coincide: both, base."]


def test_what_coincides_is_equal_at_every_step_and_has_a_figure():
    rows = [{"c": c, "x": x, "y0": y} for c, ys in enumerate([[1, 2], [1, 2], [1, 3], [1], [1, 2]]) for x, y in enumerate(ys)]
    assert coinciding([*rows, {"c": 5, "x": 0}, {"c": 6, "x": 0}], "c", ["x", "y0"]) == [[0, 1, 4]]


def test_two_runs_have_their_difference_and_more_have_none():
    rows = [{"r": "A", "x": 0, "y0": 0.5}, {"r": "B", "x": 0, "y0": 0.75}, {"x": 0, "d0": 0.25}]
    two, three = comparison(rows, TITLES, ["A", "B"]), comparison(rows, TITLES, ["A", "B", "C"])
    assert two is not None and three is not None
    assert [panel.title for panel in two.panels] == ["Reward", "Reward: B − A"]
    assert [panel.title for panel in three.panels] == ["Reward"]
    assert [entry.text for entry in three.legends[0].entries] == ["A", "B", "C"]


def test_relearning_is_drawn_from_each_start_with_the_threshold_once():
    rates = {"base": (0.25, 0.5), "retain_only": (0.125, 0.25)}
    rows = [{"start": start, "step": 10 * i, "hacked": rate} for start, pair in rates.items() for i, rate in enumerate(pair)]
    charts = run_relearning(rows, 0.375)
    (panel,) = charts.panels
    points = {start: [(row["x"], row[panel.fields["y"]]) for row in charts.rows if row["m"] == start] for start in rates}
    assert points == {"base": [(0, 0.25), (10, 0.5)], "retain_only": [(0, 0.125), (10, 0.25)]}
    levels = [(row["m"], row[panel.fields["rule"]]) for row in charts.rows if panel.fields["rule"] in row]
    assert levels == [("retain_only", 0.375)] and "rule" in panel.fitted["y"]
    encodings = [layer["encoding"] for layer in panel.spec["layer"]]
    assert [sorted(each) for each in encodings if each.get("y", {}).get("field") == "rule"] == [["color", "opacity", "y"]]


def unpacked(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the page's script reads them: what is None was not there."""
    rows = []
    for line in lines:
        shared = {name: value for name, value in line.items() if name != "columns"}
        for values in zip(*line["columns"].values(), strict=True):
            named = zip(line["columns"], values, strict=True)
            rows.append(shared | {name: value for name, value in named if value is not None})
    return rows


def test_rows_are_packed_by_line_and_nothing_is_lost():
    means = [{"c": 0, "x": float(x), "y0": 0.5 * x, "h0": 1.0} for x in range(3)]
    seeds = [{"c": 0, "s": s, "x": float(x), "y0": 0.25} for s in range(2) for x in range(3)]
    lines = packed([*means, *seeds])
    assert lines[0] == {"c": 0, "columns": {"x": [0, 1, 2], "y0": [0, 0.5, 1], "h0": [1, 1, 1]}}
    assert [line.get("s") for line in lines] == [None, 0, 1] and unpacked(lines) == [*means, *seeds]
    mixed = [{"c": i % 2, "x": i, "y0": 0.5} for i in range(5)]
    assert len(packed(mixed)) == 1 and unpacked(packed(mixed)) == mixed and packed([]) == [{"columns": {}}]
