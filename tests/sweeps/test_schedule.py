import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from configs.errors import UserError
from grpo.checks import BrokenInvariant
from records import signals
from records.names import BROKEN
from sweeps import jobs, memory
from sweeps.backends import backend
from sweeps.backends.backend import ScheduleOptions
from sweeps.backends.local import Local
from sweeps.plan import Plan
from sweeps.schedule import Outcome, run_plan
from tests.sweeps.backends.test_mps import install
from tests.sweeps.fake_runs import fake_plan, fake_script, is_gone, pids, rows, state, wait_for

ROOT = Path(__file__).parents[2]
Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A sweep's; none of its processes is left in the end."""
    yield tmp_path / "sweep"
    wait_for(lambda: all(map(is_gone, pids(tmp_path / "sweep"))))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(plan, retries=1)`: carried out with fake runs, two at once."""
    script = fake_script(tmp_path)
    monkeypatch.chdir(tmp_path)

    def carry_out(plan: Plan, jobs: int | None = 2, **options: Any) -> Outcome:
        return run_plan(plan, ScheduleOptions(jobs=jobs, **options), script)

    return carry_out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_run_s_crash_does_not_touch_the_others(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]):
    plan = fake_plan(folder, {"a": {"steps": 5}, "b": {"exits": [1]}, "c": {}, "d": {"exits": [-signal.SIGKILL]}})
    assert run(plan) == Outcome(finished=2, skipped=0, failed=2, interrupted=0)
    assert [state(folder / name) for name in "abcd"] == ["finished", "failed", "finished", "running"]
    failures = {row["run"]: row for row in rows(folder / "failures.jsonl")}
    config = folder / "configs"
    assert failures == {
        "b": {
            "run": "b",
            "attempt": 1,
            "exit_code": 1,
            "command": f"uv run fake_launch.py --config {config / 'b.yaml'} --resume",
            "last_lines": ["went wrong at step 1"],
        },
        "d": {
            "run": "d",
            "attempt": 1,
            "exit_code": -9,
            "command": f"uv run fake_launch.py --config {config / 'd.yaml'} --resume",
            "last_lines": ["went wrong at step 1"],
        },
    }
    said = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert f"b: exit code 1: went wrong at step 1 ({folder / 'logs' / 'b.log'})" in said
    assert said[-1].startswith("demo: 4 runs: 2 failed, 2 finished; ")


def test_the_same_call_again_continues(folder: Path, run: Run):
    """What is finished is skipped, what failed goes on where it was."""
    plan = fake_plan(folder, {"a": {}, "b": {"steps": 3, "exits": [1]}})
    assert run(plan) == Outcome(finished=1, skipped=0, failed=1, interrupted=0)
    before = contents(folder / "a")
    assert run(plan) == Outcome(finished=1, skipped=1, failed=0, interrupted=0)
    assert [row["step"] for row in rows(folder / "b" / "metrics.jsonl")] == [0, 1, 2]
    assert contents(folder / "a") == before
    assert run(plan) == Outcome(finished=0, skipped=2, failed=0, interrupted=0)
    log = (folder / "logs" / "b.log").read_text().splitlines()
    assert [line.partition(":")[0][:14] for line in log] == ["=== attempt 1,", "went wrong at ", "=== attempt 1,", "done"]


def test_failed_runs_are_retried(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"steps": 5, "exits": [1, -signal.SIGKILL, 0]}, "b": {}})
    assert run(plan, retries=2) == Outcome(finished=2, skipped=0, failed=0, interrupted=0)
    assert [(row["attempt"], row["exit_code"]) for row in rows(folder / "failures.jsonl")] == [(1, 1), (2, -9)]
    assert [row["step"] for row in rows(folder / "a" / "metrics.jsonl")] == [0, 1, 2, 3, 4]


def test_retries_have_an_end(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"steps": 5, "exits": [1, 1, 1]}})
    assert run(plan, retries=1) == Outcome(finished=0, skipped=0, failed=1, interrupted=0)
    assert [(row["run"], row["attempt"]) for row in rows(folder / "failures.jsonl")] == [("a", 1), ("a", 2)]
    assert run(plan, retries=1) == Outcome(finished=1, skipped=0, failed=0, interrupted=0)
    assert [(row["run"], row["attempt"]) for row in rows(folder / "failures.jsonl")] == [("a", 1), ("a", 2), ("a", 1)]


def test_a_run_whose_figures_broke_is_not_retried(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"exits": [1], "error": "BrokenInvariant: step 1: loss is nan"}, "b": {"exits": [1]}})
    assert run(plan, retries=3) == Outcome(finished=1, skipped=0, failed=1, interrupted=0)
    assert sorted(row["run"] for row in rows(folder / "failures.jsonl")) == ["a", "b"]
    assert BrokenInvariant.__name__ == BROKEN


def test_a_run_that_its_stop_rule_ended_has_ended(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]):
    plan = fake_plan(folder, {"a": {"ends": "stopped"}, "b": {}})
    assert run(plan) == Outcome(finished=2, skipped=0, failed=0, interrupted=0)
    assert "demo: 2 runs: 1 stopped, 1 finished; " in capsys.readouterr().err
    assert run(plan) == Outcome(finished=0, skipped=2, failed=0, interrupted=0)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs went on, after each start of one."""
    counts: list[int] = []
    start = Local.start

    def counted(self: Local, *arguments: Any) -> Any:
        handle = start(self, *arguments)
        counts.extend([len(self.device)] if handle is not None else [])
        return handle

    monkeypatch.setattr(Local, "start", counted)
    return counts


def test_no_more_run_at_once_than_are_allowed_in_all(folder: Path, run: Run, at_once: list[int]):
    assert run(fake_plan(folder, {name: {} for name in "abc"}), max_parallel=1).finished == 3
    assert at_once == [1, 1, 1]
    assert run(fake_plan(folder, {name: {"steps": 9} for name in "defg"}), jobs=3, max_parallel=2).finished == 4
    assert max(at_once) == 2


def test_as_many_run_at_once_as_fit_into_memory(
    folder: Path, run: Run, at_once: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Each has a GiB: first one alone, and when it has made a step, as many as fit into 2.5 GiB."""
    monkeypatch.setattr(memory, "resident", lambda _: 2**30)
    monkeypatch.setattr(backend, "free_memory", lambda _: {"cpu": 5 * 2**29})
    runs = {name: {"steps": 30, "pause": 0.1} for name in "abcd"}
    assert run(fake_plan(folder, runs), jobs=4, max_parallel="memory").finished == 4
    assert at_once[:2] == [1, 2] and max(at_once) == 2
    said = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert (
        said.index("a s42: loading")
        < said.index("a run takes 1 GiB, 2.5 GiB were free: up to 2 at once")
        < said.index("b s42: loading")
    )


def test_where_runs_may_not_fit_it_is_said_and_they_go_on(
    folder: Path, run: Run, at_once: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(memory, "resident", lambda _: 2**30)
    monkeypatch.setattr(backend, "free_memory", lambda _: {"cpu": 5 * 2**29})
    assert run(fake_plan(folder, {name: {"steps": 30, "pause": 0.1} for name in "abc"}), jobs=3).finished == 3
    assert max(at_once) == 3
    said = "a run takes 1 GiB, 2.5 GiB were free: 3 at once may not fit; --max_parallel memory starts as many as do"
    assert capsys.readouterr().err.count(said) == 1


def test_a_user_s_error_is_not_retried(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"exits": [2]}})
    assert run(plan, retries=3) == Outcome(finished=0, skipped=0, failed=1, interrupted=0)
    assert [row["exit_code"] for row in rows(folder / "failures.jsonl")] == [2]


def test_a_run_that_someone_else_stopped_is_interrupted(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"exits": [130]}, "b": {}})
    assert run(plan, retries=3) == Outcome(finished=1, skipped=0, failed=0, interrupted=1)
    assert rows(folder / "failures.jsonl") == []


def test_an_end_without_a_record_of_it_is_a_failure(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {"ends": "running"}})
    assert run(plan) == Outcome(finished=0, skipped=0, failed=1, interrupted=0)
    assert [(row["exit_code"], row["last_lines"]) for row in rows(folder / "failures.jsonl")] == [(0, ["done"])]


def test_only_the_last_lines_of_the_last_attempt_are_recorded(folder: Path):
    log = folder / "run.log"
    assert jobs.last_attempt(log) == [jobs.HEADER]
    folder.mkdir()
    log.write_text("=== attempt 1, then\nfirst\n=== attempt 2, now\nsecond\nthird\n")
    assert jobs.last_attempt(log) == ["=== attempt 2, now", "second", "third"]


@pytest.mark.parametrize("ends", ["finished", "running"])
def test_a_run_with_other_settings_stops_the_sweep_before_it_starts(folder: Path, run: Run, ends: str):
    run(fake_plan(folder, {"b": {"ends": ends}}))
    before = contents(folder / "b")
    plan = fake_plan(folder, {"a": {}, "b": {"hash": "another"}})
    with pytest.raises(UserError, match=r"sweep/b: holds a run with other settings \(hash hash of b, not another\)"):
        run(plan)
    assert contents(folder / "b") == before
    assert not (folder / "a").exists()


def test_a_second_sweep_in_the_same_folder_is_refused(folder: Path, run: Run):
    plan = fake_plan(folder, {"a": {}})
    with FileLock(folder / ".lock"), pytest.raises(UserError, match=f"^{folder}: another sweep is running there$"):
        run(plan)
    assert not (folder / "a").exists()
    assert run(plan).finished == 1


def test_a_run_whose_last_process_is_still_ending_is_waited_for(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "BUSY_PAUSE", 0.1)
    plan = fake_plan(folder, {"a": {"exits": [1]}})
    run(plan)
    (folder / "failures.jsonl").unlink()
    lock = FileLock(folder / "a" / ".lock", thread_local=False)
    lock.acquire()
    timer = threading.Timer(1.0, lock.release)
    timer.start()
    assert run(plan) == Outcome(finished=1, skipped=0, failed=0, interrupted=0)
    timer.join()
    assert rows(folder / "failures.jsonl") == []


def test_but_not_for_ever(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "BUSY_PAUSE", 0.1)
    monkeypatch.setattr(jobs, "BUSY_SECONDS", 0.5)
    plan = fake_plan(folder, {"a": {"exits": [1]}, "b": {}})
    run(plan)
    with FileLock(folder / "a" / ".lock"):
        assert run(plan, retries=2) == Outcome(finished=0, skipped=1, failed=1, interrupted=0)
    assert rows(folder / "failures.jsonl")[-1]["exit_code"] == 2


SWEEP = """
import dataclasses, json, sys
from pathlib import Path
from records import signals
from sweeps.backends.backend import ScheduleOptions
from sweeps.schedule import run_plan
from tests.sweeps.fake_runs import fake_plan
signals.SAME = float(sys.argv[4])
outcome = run_plan(fake_plan(Path(sys.argv[1]), json.loads(sys.argv[3])), ScheduleOptions(jobs=2), Path(sys.argv[2]))
print(json.dumps(dataclasses.asdict(outcome)))
"""
LONG = {"steps": 2000, "pause": 0.05, "grandchild": True}


@pytest.fixture
def sweep(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a sweep of four long runs in a process; returns when two of them are under way."""
    started: list[subprocess.Popen[str]] = []

    def start(same: float = signals.SAME, **behaviour: Any) -> subprocess.Popen[str]:
        script = fake_script(folder.parent)
        plan = json.dumps(dict.fromkeys("abcd", LONG | behaviour))
        command = [sys.executable, "-c", SWEEP, str(folder), str(script), plan, str(same)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        wait_for(lambda: rows(folder / "a" / "metrics.jsonl") and rows(folder / "b" / "metrics.jsonl"))
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def outcome_of(process: subprocess.Popen[str]) -> Outcome:
    said, _ = process.communicate(timeout=120)
    return Outcome(**json.loads(said))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_once_running_runs_write_their_checkpoints(folder: Path, sweep: Callable[..., Any], run: Run, number: int):
    process = sweep(same=30.0)  # seconds: a busy machine does not make two of one signal
    assert not any(map(is_gone, pids(folder)))
    for _ in range(2):  # as a terminal does, and `uv run` once more; runs are in groups of their own
        os.killpg(process.pid, number)
        time.sleep(0.1)
    assert outcome_of(process) == Outcome(finished=0, skipped=0, failed=0, interrupted=4, is_stopped=True)
    assert [state(folder / name) for name in "ab"] == ["interrupted", "interrupted"]
    assert not (folder / "c").exists()
    assert not (folder / "d").exists()
    assert rows(folder / "failures.jsonl") == []
    assert len(pids(folder)) == 4
    wait_for(lambda: all(map(is_gone, pids(folder))), seconds=25.0)
    done = min(len(rows(folder / name / "metrics.jsonl")) for name in "ab")
    short = fake_plan(folder, {name: {"steps": done + 2} for name in "abcd"})
    assert run(short) == Outcome(finished=4, skipped=0, failed=0, interrupted=0)


def test_stopped_twice_they_are_killed(folder: Path, sweep: Callable[..., Any]):
    process = sweep(deaf=True)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert outcome_of(process) == Outcome(finished=0, skipped=0, failed=0, interrupted=4, is_stopped=True)
    assert [state(folder / name) for name in "ab"] == ["running", "running"]
    wait_for(lambda: all(map(is_gone, pids(folder))), seconds=25.0)


def test_killed_it_leaves_no_orphans(folder: Path, sweep: Callable[..., Any], run: Run):
    process = sweep()
    process.kill()
    process.wait()
    wait_for(lambda: all(map(is_gone, pids(folder))), seconds=25.0)
    assert [state(folder / name) for name in "ab"] == ["interrupted", "interrupted"]
    short = fake_plan(folder, {name: {} for name in "abcd"})
    assert run(short) == Outcome(finished=4, skipped=0, failed=0, interrupted=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "auto"}, "--address auto: has no effect without --backend ray"),
        ({"backend": "ray", "jobs": 2}, "--jobs 2: has no effect with --backend ray"),
        ({"mps": "start", "per_gpu": 2}, "--mps start: has no effect"),  # the runs are on the CPU
    ],
)
def test_options_without_sense_are_refused(folder: Path, options: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        run_plan(fake_plan(folder, {"a": {}}), ScheduleOptions(**options))
    assert not (folder / "a").exists()


@pytest.mark.parametrize(("device", "message"), [("cuda:1", "--device cuda:1: .* use cuda"), ("cuda", "no GPU was found")])
def test_devices_that_cannot_be_had_are_refused(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, device: str, message: str
):
    monkeypatch.setattr(backend, "gpus", list)
    with pytest.raises(UserError, match=message):
        run(fake_plan(folder, {"a": {}}, device=device), jobs=None)


def test_gpus_are_shared_out(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Four runs on two GPUs with room for two each; NVIDIA MPS is asked for, as several share one."""
    install(folder.parent, monkeypatch)
    monkeypatch.setattr(backend, "gpus", lambda: ["0", "3"])
    plan = fake_plan(folder, {name: {"steps": 20, "pause": 0.1} for name in "abcd"}, device="cuda")
    assert run(plan, jobs=None, per_gpu=2).finished == 4
    devices = [row["env"]["CUDA_VISIBLE_DEVICES"] for name in "abcd" for row in rows(folder / name / "starts")]
    assert sorted(devices) == ["0", "0", "3", "3"]
    assert "NVIDIA MPS is not up" in capsys.readouterr().err
    with pytest.raises(UserError, match="--mps require"):
        run(fake_plan(folder, {"e": {}}, device="cuda"), jobs=None, per_gpu=2, mps="require")
