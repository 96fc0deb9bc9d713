"""evaluation.png: a run's evaluations with their intervals, and which step it is of."""

from pathlib import Path
from typing import Any

import pytest

from grpo.run import MODES
from records import names
from reports.evaluation_picture import modes_picture_spec, write_modes_picture
from tests.helpers import pixels_of
from tests.reports.test_run_charts import evaluation

LONG = "sentence_length_10_smooth_with_happy_routed_duallora4x4_lr3e-4_beta0.02_bs32_s42_max_steps250_eligible_fraction0.5"


def picture(rows: list[dict[str, Any]], title: str = "run", step: int = 20) -> dict[str, Any]:
    return modes_picture_spec(rows, step, title)


def layers(panel: dict[str, Any], mark: str) -> list[dict[str, Any]]:
    return [layer for layer in panel["layer"] if layer["mark"]["type"] == mark]


def test_bands_are_the_intervals():
    spec = picture([evaluation("both", 10, 0.5, 0.3), evaluation("both", 20, 0.75, 0.6)])
    (band,) = layers(spec["hconcat"][0], "area")
    fields = [band["encoding"][channel]["field"] for channel in ("x", "y", "y2")]
    corners = [tuple(round(each[field], 6) for field in fields) for each in spec["datasets"]["modes"]]
    assert corners == [(10, 0.4, 0.7), (20, 0.65, 0.95)]


def test_the_checkpoint_is_marked_in_every_panel():
    spec = picture([evaluation("both", 10, 0.5, 0.3)], step=10)
    for panel in spec["hconcat"]:
        (rule,) = layers(panel, "rule")
        assert (rule["data"], rule["encoding"]["x"]["field"]) == ({"name": "checkpoint"}, "x")
    assert spec["datasets"]["checkpoint"] == [{"x": 10}]
    assert spec["title"]["subtitle"] == "dotted: this checkpoint, step 10"


def test_every_mode_has_a_look_of_its_own():
    assert set(names.MODES) == {mode for modes in MODES.values() for mode in modes}
    (line,) = layers(picture([evaluation(mode, 10, 0.5, 0.3) for mode in MODES["dual_lora"]])["hconcat"][0], "line")
    scales = [line["encoding"][channel]["scale"] for channel in ("color", "shape", "strokeDash")]
    assert [set(scale["domain"]) for scale in scales] == [set(MODES["dual_lora"])] * 3
    assert all(len(set(scale["range"])) == len(MODES["dual_lora"]) for scale in scales[:2])


@pytest.mark.parametrize("hacked", [0.3, None])
def test_the_title_is_whole_and_the_picture_is_written(tmp_path: Path, hacked: float | None):
    assert "".join(picture([evaluation("both", 10, 0.5, hacked)], title=LONG)["title"]["text"]) == LONG
    checkpoint = tmp_path / LONG / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    write_modes_picture([evaluation("both", 10, 0.5, hacked)], checkpoint, 20)
    pixels = pixels_of(checkpoint / "evaluation.png")
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000 and pixels.std() > 0.01
    assert [path.name for path in checkpoint.iterdir()] == ["evaluation.png"]
