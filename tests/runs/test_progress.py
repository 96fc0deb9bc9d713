"""What a screen shows of a run: a bar at a time on a terminal, lines elsewhere."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from records.folder import RunFolder
from runs import progress
from runs.progress import Display


def terminal() -> Display:
    return Display(Console(file=io.StringIO(), force_terminal=True, width=80, _environ={"TERM": "xterm"}))


def bars(display: Display) -> list[tuple[str, float, float | None]]:
    """Of those that are seen."""
    return [(str(task.description), task.completed, task.total) for task in display.bars.tasks if task.visible]


def status(folder: Path) -> dict[str, object]:
    return json.loads((folder / "status.json").read_text())


def test_one_bar_is_seen_at_a_time_and_says_what_is_done(tmp_path: Path):
    display, seen = terminal(), []
    display.follow(RunFolder(tmp_path))
    with display.preparing("loading", "loading the model and the prompts"):
        seen.append(bars(display))
    display.start_training(30)
    seen.append(bars(display))
    display.step_done(10, "reward 0.5")
    with display.evaluating(["both", "base"], 64) as watch:
        seen.append(bars(display))
        watch("base", 0)
        watch("base", 64)
        seen.append(bars(display))
        watch("both", 0)
        watch("both", 32)
        seen.append(bars(display))
    seen.append(bars(display))
    assert seen == [
        [("loading the model and the prompts", 0, None)],
        [("training", 0, 30)],
        [("evaluating", 0, 128)],
        [("evaluating base 1/2", 64, 128)],
        [("evaluating both 2/2", 96, 128)],
        [("reward 0.5", 10, 30)],
    ]


def test_before_training_an_evaluation_leaves_no_bar(tmp_path: Path):
    display = terminal()
    display.follow(RunFolder(tmp_path))
    with display.evaluating(["base"], 8):
        pass
    assert bars(display) == []


def test_a_terminal_shows_the_name_while_it_lasts_and_no_line():
    display = terminal()
    with display.bars, display.preparing("rehearsing", "rehearsing a step"):
        display.bars.refresh()
    screen = display.console.file
    assert isinstance(screen, io.StringIO)
    assert "rehearsing a step" in screen.getvalue()
    assert "rehearsing a step: " not in screen.getvalue()
    assert (display.width, Display(Console(file=io.StringIO())).width) == (80, None)


def test_elsewhere_what_is_done_is_a_line_and_what_fails_is_none():
    screen = io.StringIO()
    display = Display(Console(file=screen))
    with display.bars, pytest.raises(ValueError, match="no model"), display.preparing("loading", "loading the model"):
        raise ValueError("no model")
    assert screen.getvalue() == ""
    with display.bars, display.preparing("rehearsing", "rehearsing a step"):
        assert screen.getvalue() == ""
    assert screen.getvalue() == "rehearsing a step: 0.0 s\n"
    with display.bars, display.evaluating(["both", "base"], 8):
        assert screen.getvalue().splitlines()[1:] == ["evaluating both, base: 8 completions each"]


def test_steps_are_told_about_once_a_second_and_phases_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    display = terminal()
    display.follow(RunFolder(tmp_path), step=4)
    display.start_training(30)
    assert status(tmp_path) == {"state": "running", "step": 4, "phase": "training"}
    now += 0.9
    display.step_done(5, "")
    assert status(tmp_path)["step"] == 4
    now += 0.1
    display.step_done(6, "")
    assert status(tmp_path)["step"] == 6
    display.step_done(7, "")
    with display.evaluating(["base"], 8):
        assert status(tmp_path) == {"state": "running", "step": 7, "phase": "evaluating"}
    assert status(tmp_path) == {"state": "running", "step": 7, "phase": "training"}
