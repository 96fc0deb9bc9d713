import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.naming import config_hash, to_dict
from envs.prepare import folder_of
from grpo.run import prepare
from sweeps.backends import local
from sweeps.backends.backend import ScheduleOptions
from sweeps.backends.child import Attempt
from sweeps.backends.local import Local
from sweeps.plan import Plan, PlannedRun
from sweeps.schedule import LAUNCH, Outcome, run_plan
from tests.sweeps.fake_runs import fake_plan, fake_script, is_gone, pids, rows, wait_for

MakeExperiment = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Local, str, str], Any]]:
    """`start(backend, name, device)`: a long run; all are killed in the end."""
    script, folder = fake_script(tmp_path), tmp_path / "sweep"
    backends: set[Local] = set()

    def begin(backend: Local, name: str, device: str = "cuda") -> Any:
        backends.add(backend)
        (run,) = fake_plan(folder, {name: {"steps": 1000}}, device).runs
        config, log = folder / "configs" / f"{name}.yaml", folder / "logs" / f"{name}.log"
        return backend.start(run, Attempt(script, config, folder / name, log, tmp_path))

    yield begin
    for backend in backends:
        backend.close()
    assert all(map(is_gone, pids(folder)))


def test_runs_go_to_the_least_loaded_device_with_room(start: Callable[..., Any]):
    backend = Local(["0", "1"], per_gpu=2, jobs=1)
    handles = [start(backend, name) for name in "abcd"]
    assert [backend.device[handle] for handle in handles] == ["0", "1", "0", "1"]
    assert start(backend, "e") is None
    backend.kill(handles[1])
    assert backend.exit_code(handles[1]) == -signal.SIGKILL
    assert backend.device[start(backend, "e")] == "1"


def test_runs_on_the_cpu_and_on_gpus_have_room_of_their_own(start: Callable[..., Any]):
    backend = Local(["0"], per_gpu=1, jobs=1)
    assert backend.device[start(backend, "a", "cpu")] == "cpu"
    assert start(backend, "b", "cpu") is None
    assert backend.device[start(backend, "c")] == "0"
    assert start(backend, "d") is None


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "cores", lambda: 16)
    backend = Local(["0", "1"], per_gpu=2, jobs=5)
    assert backend.environment("cpu") == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}
    assert backend.environment("1") == {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "1"}
    assert Local([], per_gpu=1, jobs=20).environment("cpu")["OMP_NUM_THREADS"] == "1"


def test_a_run_sees_its_device_and_its_threads(start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "cores", lambda: 6)
    backend = Local(["5"], per_gpu=3, jobs=1)
    start(backend, "a")
    started = tmp_path / "sweep" / "a" / "starts"
    wait_for(lambda: rows(started))
    environment = rows(started)[0]["env"]
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["OMP_NUM_THREADS"]) == ("5", "2")
    assert rows(started)[0]["cwd"] == str(tmp_path)


def test_handles_tell_what_became_of_a_run(start: Callable[..., Any], tmp_path: Path):
    backend = Local([], per_gpu=1, jobs=1)
    handle = start(backend, "a", "cpu")
    assert backend.is_running(handle)
    assert backend.exit_code(handle) is None
    wait_for(lambda: rows(tmp_path / "sweep" / "a" / "metrics.jsonl"))
    backend.interrupt(handle)
    wait_for(lambda: backend.exit_code(handle) is not None)
    assert backend.exit_code(handle) == 130
    assert not backend.is_running(handle)


def planned(folder: Path, experiment: Any) -> PlannedRun:
    """A real run, its settings written down for launch.py."""
    config = prepare(experiment)
    name = folder_of(config).name
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(to_dict(config), sort_keys=False))
    return PlannedRun(name, config_hash(config), config, "full", "full", {"seed": config.seed})


def test_a_real_run_that_was_killed_goes_on(tmp_path: Path, tiny: MakeExperiment, first_stories: dict[str, list[str]]):
    """launch.py itself, on a dataset of few stories (real runs from their start to their end: tests/test_sweep.py)."""
    for split, stories in first_stories.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps({"story": story}) + "\n" for story in stories))
    folder, script = tmp_path / "sweep", tmp_path / "killed.py"
    run = planned(folder, tiny(dataset=str(tmp_path), output_dir=folder, save_steps=1))
    script.write_text(KILLED.format(root=str(LAUNCH.parent)))
    plan, options = Plan("real", folder, ("seed",), (run,)), ScheduleOptions(jobs=2)
    assert run_plan(plan, options, script).failed == 1
    assert [(row["run"], row["exit_code"]) for row in rows(folder / "failures.jsonl")] == [(run.name, -signal.SIGKILL)]
    assert run_plan(plan, options) == Outcome(finished=1, skipped=0, failed=0, interrupted=0)
    assert [row["step"] for row in rows(folder / run.name / "metrics.jsonl")] == [0, 1, 2]
    assert (folder / run.name / "evaluation.json").exists()
    assert "resumed at step 1 of 3" in (folder / "logs" / f"{run.name}.log").read_text()
    assert run_plan(plan, options) == Outcome(finished=0, skipped=1, failed=0, interrupted=0)


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
import launch
from runs import trainer

step = trainer.train_step
trainer.train_step = lambda run: os.kill(os.getpid(), signal.SIGKILL) if run.step == 1 else step(run)
launch.main()
"""
