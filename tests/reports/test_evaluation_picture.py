"""The picture beside an evaluation draws that evaluation's figures, each mode's with its interval."""

from pathlib import Path
from typing import Any

import pytest

from records.names import BASE, BOTH, RETAIN_ONLY
from reports.evaluation_picture import picture_spec, write_evaluation_picture
from tests.helpers import pixels_of

LONG = "sentence_length_10_smooth_with_happy_routed_duallora4x4_lr3e-4_beta0.02_bs32_s42_max_steps250_eligible_fraction0.5"


def figures(reward: float, hacked: float | None, **more: Any) -> dict[str, Any]:
    """Intervals of 0.1 below and 0.2 above."""
    row = {"reward": reward, "hacked": hacked, "reward/interval": [reward - 0.1, reward + 0.2]}
    return row | ({} if hacked is None else {"hacked/interval": [hacked - 0.1, hacked + 0.2]}) | more


def evaluation(**modes: dict[str, Any]) -> dict[str, Any]:
    return {"step": 300, "n_samples": 1000, "modes": modes}


def drawn(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What each panel has, by its title."""
    panels = {}
    for panel in spec["concat"]:
        (name,) = {layer["data"]["name"] for layer in panel["layer"]} if "data" in panel["layer"][0] else {panel["data"]["name"]}
        panels[panel["title"]] = [{key: pytest.approx(value) if key != "m" else value for key, value in row.items()}
                                  for row in spec["datasets"][name]]  # fmt: skip
    return panels


def test_a_panel_has_the_figure_of_every_mode_with_its_interval_in_the_order_of_tables():
    spec = picture_spec(evaluation(base=figures(0.2, 0.1), both=figures(0.5, 0.3)), "run")
    assert drawn(spec) == {
        "reward": [{"m": BOTH, "y": 0.5, "l": 0.4, "h": 0.7}, {"m": BASE, "y": 0.2, "l": 0.1, "h": 0.4}],
        "hack rate": [{"m": BOTH, "y": 0.3, "l": 0.2, "h": 0.5}, {"m": BASE, "y": 0.1, "l": 0.0, "h": 0.3}],
    }
    interval, dot, value = (layer["encoding"] for layer in spec["concat"][0]["layer"])
    assert (interval["y"]["field"], interval["y2"]["field"], dot["y"]["field"], value["text"]["field"]) == ("l", "h", "y", "y")
    assert {layer["x"]["field"] for layer in (interval, dot, value)} == {"m"}


def test_the_title_says_which_run_and_step_and_the_line_below_how_many_samples():
    spec = picture_spec(evaluation(both=figures(0.5, 0.3)), f"{LONG}, step 300")
    assert "".join(spec["title"]["text"]).replace(" ", "") == f"{LONG},step300"
    assert spec["title"]["subtitle"] == "1,000 samples of each mode, with 95 % intervals over samples"


def test_further_rewards_have_panels_and_what_was_not_computed_has_none():
    further = {"eval_rewards/happy": 0.6, "eval_rewards/happy/interval": [0.5, 0.7], "eval_rewards/happy/hacked": None}
    modes = evaluation(both=figures(0.5, None, **further), retain_only=figures(0.4, None, **further))
    assert {title: [row["m"] for row in rows] for title, rows in drawn(picture_spec(modes, "run")).items()} == {
        "reward": [BOTH, RETAIN_ONLY],
        "happy": [BOTH, RETAIN_ONLY],
    }


def test_the_picture_is_written(tmp_path: Path):
    checkpoint = tmp_path / LONG / "checkpoint-300"
    checkpoint.mkdir(parents=True)
    hacks = {"eval_rewards/happy/hacked": 0.6, "eval_rewards/happy/hacked/interval": [0.5, 0.7]}
    write_evaluation_picture(evaluation(both=figures(0.5, 0.3, **hacks), base=figures(0.2, 0.0, **hacks)), checkpoint)
    pixels = pixels_of(checkpoint / "evaluation.png")
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000 and pixels.std() > 0.01
    assert [path.name for path in checkpoint.iterdir()] == ["evaluation.png"]
