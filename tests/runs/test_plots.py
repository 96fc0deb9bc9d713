"""What is drawn is what the rows say; nothing is drawn of what they do not say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import imread

from grpo.run import MODES
from runs.plots import STYLES, plot_modes

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


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`draw(rows)`: the figure as it was saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *args: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)

    def plot(rows: list[dict[str, Any]], title: str = "run", step: int = 20) -> Figure:
        plot_modes(rows, title, step, tmp_path / "plot.png")
        return saved[-1]

    return plot


def curves(axes) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): list(map(tuple, np.asarray(line.get_data()).T.tolist())) for line in axes.lines}


def test_curves_hold_the_rows_of_their_mode(draw):
    rows = [row("base", 0, 0.2, 0.1), row("both", 10, 0.5, 0.3), row("base", 10, 0.2, 0.1), row("both", 20, 0.75, 0.6)]
    reward, hacked = draw(rows).axes
    assert curves(reward)["both"] == [(10, 0.5), (20, 0.75)]
    assert curves(reward)["base"] == [(0, 0.2), (10, 0.2)]
    assert curves(hacked)["both"] == [(10, 0.3), (20, 0.6)]


def test_bands_are_the_intervals(draw):
    reward, _ = draw([row("both", 10, 0.5, 0.3), row("both", 20, 0.75, 0.6)]).axes
    (band,) = [each for each in reward.collections if isinstance(each, PolyCollection)]
    corners = {(round(x, 6), round(y, 6)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(10, 0.4), (10, 0.7), (20, 0.65), (20, 0.95)}


def test_the_checkpoint_is_marked(draw):
    reward, _ = draw([row("both", 10, 0.5, 0.3)], step=10).axes
    assert [x for x, _ in curves(reward)["this checkpoint"]] == [10, 10]


def test_a_reward_without_ground_truth_has_no_hack_panel(draw):
    axes = draw([row("both", 10, 0.5, None), row("base", 10, 0.2, None)]).axes
    assert [each.get_ylabel() for each in axes] == ["mean reward"]


def test_a_mode_without_hack_rates_has_no_hack_curve(draw):
    _, hacked = draw([row("both", 10, 0.5, 0.3), row("base", 10, 0.2, None)]).axes
    assert set(curves(hacked)) == {"both", "this checkpoint"}


def test_every_mode_has_a_look_of_its_own(draw):
    assert set(STYLES) == {mode for modes in MODES.values() for mode in modes}
    reward, _ = draw([row(mode, 10, 0.5, 0.3) for mode in MODES["dual_lora"]]).axes
    looks = {(line.get_color(), line.get_marker()) for line in reward.lines}
    assert len(looks) == 5


def test_the_title_is_whole_and_the_picture_is_written(draw, tmp_path: Path):
    figure = draw([row("both", 10, 0.5, 0.3)], title=LONG)
    assert figure.get_suptitle().replace("\n", "") == LONG
    pixels = imread(tmp_path / "plot.png")
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000 and pixels[..., :3].std() > 0.01
