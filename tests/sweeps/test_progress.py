import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from configs.naming import to_dict
from records import rows
from records.figures import duration
from records.folder import write_yaml
from records.rows import last_rows
from sweeps import board as boards
from sweeps.board import Board, progress_table, run_label
from sweeps.progress import Progress, RunProgress, progress_line, read_progress, time_left, totals_line
from tests.sweeps.fake_runs import fake_plan

NOTHING = Progress()


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A sweep's folder: runs beside it are told from its own."""
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


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


def status(run: Path, state: str = "running", written: float | None = None, **more: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "status.json").write_text(json.dumps({"state": state} | more))
    if written is not None:
        os.utime(run / "status.json", (written, written))


def test_step_and_phase_are_those_of_the_status(tmp_path: Path):
    train(tmp_path, 3)
    status(tmp_path, step=5, phase="evaluating")
    assert (read_progress(tmp_path).steps, read_progress(tmp_path).phase) == (5, "evaluating")
    status(tmp_path, step=2, phase="training")
    assert (read_progress(tmp_path).steps, read_progress(tmp_path).phase) == (3, "training")
    status(tmp_path, "interrupted", step=4, phase="training")
    assert (read_progress(tmp_path).steps, read_progress(tmp_path).phase) == (4, None)
    status(tmp_path, step=4)  # of an earlier version
    assert read_progress(tmp_path).phase is None
    (tmp_path / "status.json").write_text("{")
    assert read_progress(tmp_path) == Progress(3, None, None, None, 2.0)


def test_a_process_that_has_not_written_its_status_is_loading(tmp_path: Path):
    assert read_progress(tmp_path / "run", since=100.0) == Progress(phase="loading")
    status(tmp_path, step=4, phase="evaluating", written=99.0)  # of the process before
    assert read_progress(tmp_path, since=100.0) == Progress(4, phase="loading")
    status(tmp_path, step=4, phase="evaluating", written=101.0)
    assert read_progress(tmp_path, since=100.0) == Progress(4, phase="evaluating")


@pytest.mark.parametrize(
    ("state", "phase", "shown"),
    [
        ("running", "loading", "loading"),
        ("running", "rehearsing", "rehearsing"),
        ("resumed", "evaluating", "evaluating"),
        ("running", "training", "running"),
        ("resumed", "training", "resumed"),
        ("running", None, "running"),
        ("finished", "evaluating", "finished"),
        ("waiting", None, "waiting"),
    ],
)
def test_a_running_run_is_shown_by_what_it_does(state: str, phase: str | None, shown: str):
    assert RunProgress("a", state, 20, Progress(phase=phase)).shown_state == shown


def test_time_left_by_steps_alone_by_hand():
    """Two runs at once, 2 and 4 seconds a step: 10 steps are 20 s, 5 steps are 20 s; a waiting one's 20 steps at 3 s are 60 s."""
    rows = [
        RunProgress("a", "running", 20, Progress(steps=10, step_time=2.0)),
        RunProgress("b", "resumed", 20, Progress(steps=15, step_time=4.0)),
        RunProgress("c", "waiting", 20, NOTHING),
        RunProgress("d", "finished", 20, NOTHING),
    ]
    assert time_left(rows) == 20 + 60  # a slot is free after 20 s
    rows += [RunProgress("e", "waiting", 20, NOTHING), RunProgress("f", "waiting", 20, NOTHING)]
    assert time_left(rows) == 20 + 60 + 60  # three on two slots


def test_time_left_by_what_is_expected_by_hand():
    """Of 100 s each: one has 30 s of its evaluation left, one more steps than that, 10 of 4 s; then three on two slots."""
    rows = [
        RunProgress("a", "running", 20, Progress(steps=20, step_time=2.0, phase="evaluating"), elapsed=70.0, expected=100.0),
        RunProgress("b", "running", 20, Progress(steps=10, step_time=4.0), elapsed=80.0, expected=100.0),
        *(RunProgress(name, "waiting", 20, NOTHING, expected=100.0) for name in "cde"),
    ]
    assert [run.seconds_left() for run in rows] == [30.0, 40.0, 100.0, 100.0, 100.0]
    assert time_left(rows) == 30 + 100 + 100
    late = RunProgress("a", "running", 20, Progress(steps=20, step_time=2.0), elapsed=130.0, expected=100.0)
    assert late.seconds_left() == 0.0


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
    said = "demo: 4 runs: 2 running, 1 failed, 1 skipped; 70 s so far, at least 40 s left"
    assert totals_line("demo", rows, 70.0) == said
    assert totals_line("demo", rows[1:], 70.0) == "demo: 3 runs: 1 running, 1 failed, 1 skipped; 70 s so far, – left"
    assert totals_line("demo", rows[2:], 300.0) == "demo: 2 runs: 1 failed, 1 skipped; 5 min"
    expected = [replace(run, expected=100.0, elapsed=50.0) for run in rows]
    assert totals_line("demo", expected, 70.0) == "demo: 4 runs: 2 running, 1 failed, 1 skipped; 70 s so far, 50 s left"


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
    running = RunProgress("a", "running", 20, Progress(5, 0.51234, 0.0101, None, 2.0), elapsed=25.0)
    assert progress_line(running) == "a: running (step 5/20, reward 0.512, KL 0.0101, s/step 2, elapsed 25 s, left 30 s)"
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


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_table_shows_running_runs_first_with_what_they_have_reached(tmp_path: Path):
    plan = fake_plan(tmp_path, {name: {"steps": 20} for name in ("done", "next", "now", "new", "gone")})
    train(tmp_path / "done", 20, reward=0.75, kl=0.02)
    clock = Clock()
    board = Board(plan, terminal(), clock)
    states = {"done": "skipped", "next": "waiting", "gone": "failed"}
    with board:
        board.update(states | {"now": "resumed", "new": "waiting"})
        train(tmp_path / "now", 5, reward=0.5, kl=0.01, **{"routing/hacked": 0.25})
        status(tmp_path / "now", step=6, phase="training", written=1001.0)
        clock.now = 1010.0
        board.update(states | {"now": "resumed", "new": "running"})
        clock.now = 1025.0
        board.last_table = 0.0
        board.update(states | {"now": "resumed", "new": "running"})
        lines = shown(board, 120)
        console = Console(file=StringIO(), width=80)
        console.print(progress_table([*board.runs.values()], 80, 30))
    heads = ["run", "state", "step", "reward", "KL", "hacked", "s/step", "elapsed", "left"]
    assert [text.split() for text in lines[:-1]] == [
        heads,
        ["new", "s42", "loading", "–/20", "–", "–", "–", "–", "15", "s", "–"],
        ["now", "s42", "resumed", "6/20", "0.5", "0.01", "0.25", "2", "25", "s", "28", "s"],
        ["next", "s42", "waiting", "–/20", "–", "–", "–", "–", "–", "–"],
        ["gone", "s42", "failed", "–/20", "–", "–", "–", "–", "–", "–"],
        ["done", "s42", "skipped", "20/20", "0.75", "0.02", "–", "2", "–", "–"],
    ]
    assert lines[-1] == "demo: 5 runs: 1 running, 1 resumed, 1 waiting, 1 failed, 1 skipped; 25 s so far, at least 68 s left"
    assert isinstance(console.file, StringIO)
    narrow = console.file.getvalue().splitlines()
    assert narrow[0].split() == [head for head in heads if head not in ("s/step", "KL")]
    assert narrow[2].split() == ["now", "s42", "resumed", "6/20", "0.5", "0.25", "25", "s", "28", "s"]


SPENT = {"loading": 20.0, "training": 400.0, "evaluating": 50.0}


def test_the_estimate_learns_from_the_runs_that_have_finished(tmp_path: Path):
    """By hand: 20 s, 20 s a step, and 0.5 s each of 100 completions; the settings have 1,000, so 20 + 400 + 500 s."""
    clock = Clock()
    board = Board(fake_plan(tmp_path, {name: {"steps": 20} for name in "abcd"}), terminal(), clock)
    board.update({"a": "running", "b": "running", "c": "waiting", "d": "waiting"})
    assert board.totals() == "demo: 4 runs: 2 running, 2 waiting; 0 s so far, – left"
    clock.now, board.last_table = 1470.0, -1.0
    train(tmp_path / "a", 20, step_time=19.0)
    write(tmp_path / "a" / "routing_eval.jsonl", [{"step": 20, "mode": mode, "samples": 100} for mode in ("policy", "base")])
    status(tmp_path / "a", "finished", step=20, seconds=SPENT)
    board.update({"a": "finished", "b": "running", "c": "running", "d": "waiting"})
    assert board.runs["c"].expected == 20 + 400 + 500
    assert board.runs["b"].seconds_left() == 920 - 470
    assert board.totals() == "demo: 4 runs: 2 running, 1 waiting, 1 finished; 8 min so far, 23 min left"  # 450 + 920 s
    clock.now = 1490.0
    train(tmp_path / "b", 20, step_time=19.0)
    write(tmp_path / "b" / "routing_eval.jsonl", [{"step": 20, "mode": "policy", "samples": 100}])
    status(tmp_path / "b", "stopped", step=20, seconds=SPENT | {"loading": 40.0})
    board.update({"a": "finished", "b": "stopped", "c": "running", "d": "waiting"})
    assert board.runs["d"].expected == 30 + 400 + 500  # the median of both starts
    assert board.runs["a"].elapsed == 470.0


def test_before_any_has_finished_earlier_runs_tell(tmp_path: Path):
    earlier = tmp_path.parent / "earlier"
    plan = fake_plan(tmp_path, {"a": {"steps": 20}})
    train(earlier, 20, step_time=19.0)
    write_yaml(earlier / "config.yaml", to_dict(plan.runs[0].experiment))
    write(earlier / "routing_eval.jsonl", [{"step": 20, "mode": "policy", "samples": 100}])
    status(earlier, "finished", step=20, seconds=SPENT)
    board = Board(plan, terminal(), Clock())
    board.update({"a": "running"})
    assert board.totals() == "demo: 1 run: 1 running; 0 s so far, 15 min left"


def test_of_a_resumed_run_only_the_rest_is_expected(tmp_path: Path):
    plan = fake_plan(tmp_path, {name: {"steps": 20} for name in "ab"})
    train(tmp_path / "a", 20, step_time=19.0)
    write(tmp_path / "a" / "routing_eval.jsonl", [{"step": 20, "mode": "policy", "samples": 100}])
    status(tmp_path / "a", "finished", step=20, seconds=SPENT)
    train(tmp_path / "b", 15)
    board = Board(plan, terminal(), Clock())
    board.update({"a": "finished", "b": "resumed"})
    assert board.runs["b"].expected == 20 + 5 * 20 + 500


def test_only_as_many_rows_as_fit_are_shown(tmp_path: Path):
    names = [f"{'settings_' * 12}{i}" for i in range(20)]
    board = Board(fake_plan(tmp_path, {name: {} for name in names}), terminal(80, 10))
    board.update(dict.fromkeys(names, "waiting") | {names[13]: "running"})
    lines = shown(board, 80)
    assert len(lines) <= 9
    assert lines[1].split()[:3] == ["…ttings_13", "s42", "loading"]
    assert lines[-2:] == ["… 14 more", "demo: 20 runs: 1 running, 19 waiting; 0 s so far, – left"]


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
    with Board(fake_plan(tmp_path, {"a": {"steps": 20}, "b": {}}), console, Clock()) as board:
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
        "a s42: loading",
        "a s42: finished (step 20/20, reward 0.5, s/step 2, elapsed 0 s)",
        "demo: 2 runs: 1 waiting, 1 finished; 0 s so far, – left",
        "b s42: loading",
        "demo: 2 runs: 1 running, 1 finished; 0 s so far, at least 4 s left",
    ]


def test_output_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with Board(fake_plan(tmp_path, {"a": {}})) as board:
        board.update({"a": "running"})
    said = capsys.readouterr()
    assert said.out == ""
    assert "a s42: loading" in said.err
