import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from records import rows
from records.figures import duration
from records.rows import last_rows
from sweeps import board as boards
from sweeps.board import Board, run_label
from sweeps.progress import Progress, RunProgress, progress_line, read_progress, time_left, totals_line
from tests.sweeps.fake_runs import fake_plan

NOTHING = Progress()


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def train(run: Path, steps: int, step_time: float = 2.0, **metrics: float | None) -> None:
    write(run / "metrics.jsonl", [{"step": i} | metrics for i in range(steps)])
    write(run / "timing.jsonl", [{"step": i, "step_time": step_time} for i in range(steps)])


def test_progress_is_read_from_the_last_rows(tmp_path: Path):
    train(tmp_path, 30, step_time=2.0, reward=0.5, kl=0.125, **{"routing/hacked": 0.25})
    assert read_progress(tmp_path) == Progress(30, 0.5, 0.125, 0.25, 2.0)


def test_what_is_not_there_is_not_known(tmp_path: Path):
    assert read_progress(tmp_path / "run") == NOTHING
    train(tmp_path, 1, reward=0.5, kl=None)  # no reference: no KL, and no routing
    assert read_progress(tmp_path) == Progress(1, 0.5, None, None, 2.0)


def test_speed_is_that_of_the_recent_steps(tmp_path: Path):
    write(tmp_path / "timing.jsonl", [{"step_time": 100.0}] * 5 + [{"step_time": 1.0}, {"step_time": 3.0}] * 10)
    assert read_progress(tmp_path).step_time == 2.0


def test_only_whole_rows_count(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}')
    assert [row["step"] for row in last_rows(tmp_path, file.name)] == [0, 1]
    file.write_text('{"step": 0')
    assert last_rows(tmp_path, file.name) == []
    file.write_text('{"step": 0}\nnot a row\n{"step": 2}\n')
    assert [row["step"] for row in last_rows(tmp_path, file.name)] == [0, 2]


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    write(file, [{"step": i, "text": "x" * 1000} for i in range(100)])
    steps = [row["step"] for row in last_rows(tmp_path, file.name)]
    assert steps == [*range(100 - len(steps), 100)]
    assert 10 < len(steps) <= rows.TAIL / 1000


def test_time_left_by_hand():
    """Two runs at once, 2 and 4 seconds a step: 10 steps are 20 s, 5 steps are 20 s; a waiting one's 20 steps at 3 s are 60 s."""
    rows = [
        RunProgress("a", "running", 20, Progress(steps=10, step_time=2.0)),
        RunProgress("b", "resumed", 20, Progress(steps=15, step_time=4.0)),
        RunProgress("c", "waiting", 20, NOTHING),
        RunProgress("d", "finished", 20, NOTHING),
    ]
    assert time_left(rows) == 60.0  # not less than the longest
    rows += [RunProgress("e", "waiting", 20, NOTHING)]
    assert time_left(rows) == (20 + 20 + 60 + 60) / 2


def test_time_left_is_not_guessed():
    assert time_left([RunProgress("a", "running", 20, NOTHING)]) is None
    assert (
        time_left([RunProgress("a", "waiting", 20, NOTHING), RunProgress("b", "finished", 20, Progress(20, step_time=1.0))])
        is None
    )


def test_totals():
    rows = [
        RunProgress("a", "running", 20, Progress(steps=10, step_time=2.0)),
        RunProgress("b", "running", 20, NOTHING),
        RunProgress("c", "failed", 20, NOTHING),
        RunProgress("d", "skipped", 20, NOTHING),
    ]
    assert totals_line("demo", rows) == "demo: 4 runs: 2 running, 1 failed, 1 skipped; 40 s left"
    assert totals_line("demo", rows[1:]) == "demo: 3 runs: 1 running, 1 failed, 1 skipped; – left"
    assert totals_line("demo", rows[2:]) == "demo: 2 runs: 1 failed, 1 skipped"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (600, "10 min"),
        (89 * 60, "89 min"),
        (3 * 3600 + 300, "3 h 05 min"),
    ],
)
def test_durations(seconds: float | None, text: str):
    assert duration(seconds) == text


def test_a_line_tells_what_is_known():
    assert progress_line(RunProgress("a", "waiting", 20, NOTHING)) == "a: waiting"
    running = RunProgress("a", "running", 20, Progress(5, 0.51234, 0.0101, None, 2.0))
    assert progress_line(running) == "a: running (step 5/20, reward 0.512, KL 0.0101, s/step 2, left 30 s)"
    finished = RunProgress("a", "finished", 20, Progress(20, 0.9, 0.5, 0.25, 2.0))
    assert progress_line(finished) == "a: finished (step 20/20, reward 0.9, KL 0.5, hacked 0.25, s/step 2)"


def terminal(width: int = 100, height: int = 30) -> Console:
    return Console(file=StringIO(), force_terminal=True, width=width, height=height, color_system=None, legacy_windows=False)


def shown(board: Board, width: int = 100) -> list[str]:
    """The screen's lines."""
    console = Console(file=StringIO(), width=width)
    console.print(board.screen())
    assert isinstance(console.file, StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_a_run_is_called_by_what_tells_it_from_the_others(tmp_path: Path):
    (run,) = fake_plan(tmp_path, {"a_long_name_s7": {}}).runs
    run = replace(run, configuration="routed beta=0.01", experiment=replace(run.experiment, seed=7))
    assert run_label(run) == "routed beta=0.01 s7"


def test_the_table_shows_running_runs_first_with_what_they_have_reached(tmp_path: Path):
    plan = fake_plan(tmp_path, {name: {"steps": 20} for name in ("done", "next", "now", "gone")})
    train(tmp_path / "now", 5, reward=0.5, kl=0.01, **{"routing/hacked": 0.25})
    train(tmp_path / "done", 20, reward=0.75, kl=0.02)
    board = Board(plan, terminal())
    with board:
        board.update({"done": "skipped", "next": "waiting", "now": "resumed", "gone": "failed"})
        lines = shown(board)
    assert [text.split() for text in lines[:-1]] == [
        ["run", "state", "step", "reward", "KL", "hacked", "s/step", "left"],
        ["now", "s42", "resumed", "5/20", "0.5", "0.01", "0.25", "2", "30", "s"],
        ["next", "s42", "waiting", "–/20", "–", "–", "–", "–", "–"],
        ["gone", "s42", "failed", "–/20", "–", "–", "–", "–", "–"],
        ["done", "s42", "skipped", "20/20", "0.75", "0.02", "–", "2", "–"],
    ]
    assert lines[-1] == "demo: 4 runs: 1 resumed, 1 waiting, 1 failed, 1 skipped; 70 s left"


def test_only_as_many_rows_as_fit_are_shown(tmp_path: Path):
    names = [f"{'settings_' * 12}{i}" for i in range(20)]
    board = Board(fake_plan(tmp_path, {name: {} for name in names}), terminal(80, 10))
    board.update(dict.fromkeys(names, "waiting") | {names[13]: "running"})
    lines = shown(board, 80)
    assert len(lines) <= 9
    assert lines[1].split()[:3] == ["…ings_13", "s42", "running"]
    assert lines[-2:] == ["… 14 more", "demo: 20 runs: 1 running, 19 waiting; – left"]


def test_a_terminal_sees_the_last_state(tmp_path: Path):
    console = terminal()
    with Board(fake_plan(tmp_path, {"a": {}}), console) as board:
        board.update({"a": "running"})
        board.say("a line that stays")
        board.update({"a": "finished"})
    assert isinstance(console.file, StringIO)
    written = console.file.getvalue()
    assert "a line that stays" in written
    assert "demo: 1 run: 1 running" in written
    assert written.rindex("demo: 1 run: 1 finished") > written.rindex("1 running")


def test_elsewhere_a_line_tells_each_change_and_the_totals_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    console = Console(file=StringIO(), width=20)
    with Board(fake_plan(tmp_path, {"a": {"steps": 20}, "b": {}}), console) as board:
        board.update({"a": "running", "b": "waiting"})
        train(tmp_path / "a", 20, reward=0.5)
        for _ in range(3):
            board.update({"a": "finished", "b": "waiting"})
        monkeypatch.setattr(boards, "TOTALS", 0.0)
        board.update({"a": "finished", "b": "waiting"})
        monkeypatch.setattr(boards, "TOTALS", 30.0)
        board.update({"a": "finished", "b": "running"})
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(text[2] == text[5] == ":" and text[8] == " " for text in lines)
    assert [text[9:] for text in lines] == [
        "a s42: running",
        "a s42: finished (step 20/20, reward 0.5, s/step 2)",
        "demo: 2 runs: 1 waiting, 1 finished; – left",
        "b s42: running",
        "demo: 2 runs: 1 running, 1 finished; 4 s left",
    ]


def test_output_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with Board(fake_plan(tmp_path, {"a": {}})) as board:
        board.update({"a": "running"})
    said = capsys.readouterr()
    assert said.out == ""
    assert "a s42: running" in said.err
