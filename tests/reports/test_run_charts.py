"""What is drawn of a run's evaluations is what the rows say; nothing is drawn of what they do not say."""

from pathlib import Path
from typing import Any

import pytest

from grpo.run import MODES
from records import names
from reports.run_charts import run_modes_spec, write_modes_picture
from tests.helpers import pixels_of

LONG = "sentence_length_10_smooth_with_happy_routed_duallora4x4_lr3e-4_beta0.02_bs32_s42_max_steps250_eligible_fraction0.5"


def row(mode: str, step: int, reward: float, hacked: float | None) -> dict[str, Any]:
    """Intervals of 0.1 below and 0.2 above."""
    return {
        "mode": mode,
        "step": step,
        "reward": reward,
        "hacked": hacked,
        "reward/interval": [reward - 0.1, reward + 0.2],
        **({} if hacked is None else {"hacked/interval": [hacked - 0.1, hacked + 0.2]}),
    }


def picture(rows: list[dict[str, Any]], title: str = "run", step: int = 20) -> dict[str, Any]:
    spec = run_modes_spec(rows, step, title)
    assert spec is not None
    return spec


def layers(panel: dict[str, Any], mark: str) -> list[dict[str, Any]]:
    return [layer for layer in panel["layer"] if layer["mark"]["type"] == mark]


def curves(spec: dict[str, Any], panel: int) -> dict[str, list[tuple[float, float]]]:
    """Points of the panel's line, by mode."""
    (line,) = layers(spec["hconcat"][panel], "line")
    assert {"name": "modes"} in [part.get("data") for part in (line, spec["hconcat"][panel], spec)]
    assert line["encoding"]["color"]["field"] == "m"
    x, y = line["encoding"]["x"]["field"], line["encoding"]["y"]["field"]
    points: dict[str, list[tuple[float, float]]] = {}
    for each in spec["datasets"]["modes"]:
        if y in each:
            points.setdefault(each["m"], []).append((each[x], each[y]))
    return points


def test_curves_hold_the_rows_of_their_mode():
    rows = [row("base", 0, 0.2, 0.1), row("both", 10, 0.5, 0.3), row("base", 10, 0.2, 0.1), row("both", 20, 0.75, 0.6)]
    spec = picture(rows)
    assert curves(spec, 0) == {"both": [(10, 0.5), (20, 0.75)], "base": [(0, 0.2), (10, 0.2)]}
    assert curves(spec, 1) == {"both": [(10, 0.3), (20, 0.6)], "base": [(0, 0.1), (10, 0.1)]}


def test_bands_are_the_intervals():
    spec = picture([row("both", 10, 0.5, 0.3), row("both", 20, 0.75, 0.6)])
    (band,) = layers(spec["hconcat"][0], "area")
    fields = [band["encoding"][channel]["field"] for channel in ("x", "y", "y2")]
    corners = [tuple(round(each[field], 6) for field in fields) for each in spec["datasets"]["modes"]]
    assert corners == [(10, 0.4, 0.7), (20, 0.65, 0.95)]


def test_the_checkpoint_is_marked_in_every_panel():
    spec = picture([row("both", 10, 0.5, 0.3)], step=10)
    for panel in spec["hconcat"]:
        (rule,) = layers(panel, "rule")
        assert (rule["data"], rule["encoding"]["x"]["field"]) == ({"name": "checkpoint"}, "x")
    assert spec["datasets"]["checkpoint"] == [{"x": 10}]
    assert spec["title"]["subtitle"] == "dotted: this checkpoint, step 10"


def test_a_runs_page_marks_no_checkpoint():
    spec = run_modes_spec([row("both", 10, 0.5, 0.3)])
    assert spec is not None and not any(layers(panel, "rule") for panel in spec["hconcat"])


def test_a_reward_without_ground_truth_has_no_hack_panel():
    spec = picture([row("both", 10, 0.5, None), row("base", 10, 0.2, None)])
    assert [panel["layer"][1]["encoding"]["y"]["title"] for panel in spec["hconcat"]] == ["mean reward"]


def test_a_mode_without_hack_rates_has_no_hack_curve():
    spec = picture([row("both", 10, 0.5, 0.3), row("base", 10, 0.2, None)])
    assert curves(spec, 1) == {"both": [(10, 0.3)]}


def test_every_mode_has_a_look_of_its_own():
    assert set(names.MODES) == {mode for modes in MODES.values() for mode in modes}
    (line,) = layers(picture([row(mode, 10, 0.5, 0.3) for mode in MODES["dual_lora"]])["hconcat"][0], "line")
    scales = [line["encoding"][channel]["scale"] for channel in ("color", "shape", "strokeDash")]
    assert [set(scale["domain"]) for scale in scales] == [set(MODES["dual_lora"])] * 3
    assert all(len(set(scale["range"])) == len(MODES["dual_lora"]) for scale in scales[:2])


@pytest.mark.parametrize("hacked", [0.3, None])
def test_the_title_is_whole_and_the_picture_is_written(tmp_path: Path, hacked: float | None):
    assert "".join(picture([row("both", 10, 0.5, hacked)], title=LONG)["title"]["text"]) == LONG
    checkpoint = tmp_path / LONG / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    write_modes_picture([row("both", 10, 0.5, hacked)], checkpoint, 20)
    pixels = pixels_of(checkpoint / "evaluation.png")
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000 and pixels.std() > 0.01
    assert [path.name for path in checkpoint.iterdir()] == ["evaluation.png"]
