"""A run taken up again ends with the bytes of one that was never interrupted; what would not is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import launch
import runs.trainer
from configs.errors import UserError
from configs.experiment import Experiment
from records.folder import RunFolder, read_json_file, read_rows
from records.signals import StopRequest, stop_request
from runs.trainer import resume, train
from tests.helpers import failing

MakeExperiment = Callable[..., Experiment]
ROOT = Path(launch.__file__).parent
DETECTOR = {"env.detector": "happy_count(threshold=2)", "log_all_samples": True}
KINDS: dict[str, dict[str, Any]] = {
    "routed": {"routing.enabled": True, "lr": 0.02} | DETECTOR,
    "lora": {"adapter.kind": "lora", "lr": 0.02} | DETECTOR,
    "full": {"lr": 1e-3, "grpo.num_iterations": 2} | DETECTOR,
}
LONG = {"max_steps": 6, "save_steps": 2, "eval_every": 2, "logging_steps": 3}


MANY_STEPS = ["--routing.enabled", "--max_steps=40", "--save_steps=10", "--logging_steps=1"]


class Crash(Exception):
    pass


def contents(folder: Path) -> dict[str, bytes]:
    """Everything but wall-clock figures, by file; the folder's place is cut out of train.log."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    found["train.log"] = found["train.log"].replace(str(folder.parent).encode(), b"")
    config = found.pop("config.yaml").decode().splitlines()
    found["config.yaml"] = "\n".join(line for line in config if not line.startswith("output_dir")).encode()
    assert [row["step"] for row in read_rows(folder, "timing.jsonl")] == [
        row["step"] for row in read_rows(folder, "metrics.jsonl")
    ]
    return {name: content for name, content in found.items() if name != "timing.jsonl"}


@pytest.fixture
def undisturbed(tiny: MakeExperiment, tmp_path: Path) -> Callable[[str], dict[str, bytes]]:
    return lambda kind: contents(train(tiny(output_dir=tmp_path / "whole", **LONG, **KINDS[kind]), quiet=True).folder)


@pytest.fixture
def crashed(tiny: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`crashed(kind, function, call)`: the folder of a run in which that call of a trainer's function raised."""

    def run(kind: str, name: str = "train_step", call: int = 5) -> Path:
        with monkeypatch.context() as patch:
            failing(patch, runs.trainer, name, Crash(), call)
            with pytest.raises(Crash):
                train(tiny(output_dir=tmp_path / "cut", **LONG, **KINDS[kind]), quiet=True)
        (folder,) = (tmp_path / "cut").iterdir()
        return folder

    return run


# The same end


@pytest.mark.parametrize(
    ("kind", "name", "call", "start"),
    [
        ("routed", "train_step", 1, 0),  # before the first checkpoint
        ("routed", "train_step", 3, 2),
        ("routed", "save_checkpoint", 1, 2),  # the step's rows stand, its checkpoint does not
        ("routed", "report_evaluation", 2, 2),
        ("routed", "report_evaluation", 3, 6),  # the evaluation at the end
        ("routed", "summarize", 0, 6),
        ("lora", "train_step", 5, 4),
        ("full", "train_step", 5, 4),
    ],
)
def test_after_a_crash_the_end_is_the_same(
    crashed: Callable[..., Path], undisturbed: Callable[[str], dict[str, bytes]], kind: str, name: str, call: int, start: int
):
    folder = crashed(kind, name, call)
    assert read_json_file(folder / "status.json")["state"] == "failed"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "rew')  # a row that the machine's end tore
    steps: list[int] = []
    works = runs.trainer.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.trainer, "train_step", lambda run: (steps.append(run.step), works(run))[1])
        record = resume(folder, quiet=True)
    assert steps == list(range(start, 6))
    assert contents(folder) == undisturbed(kind)
    assert record.metrics == read_rows(folder, "metrics.jsonl")
    assert len(record.metrics) == 6


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(
    crashed: Callable[..., Path], undisturbed: Callable[[str], dict[str, bytes]], capsys: pytest.CaptureFixture[str]
):
    folder = crashed("routed")
    weights = folder / "checkpoint-4" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    (folder / "checkpoint-5.tmp").mkdir()
    resume(folder)
    said = capsys.readouterr().err
    assert f"{folder}/checkpoint-4.damaged: set aside: " in said
    assert f"{folder}: resumed at step 2 of 6" in said
    after = {name: content for name, content in contents(folder).items() if "damaged" not in name}
    assert after == undisturbed("routed")


def test_a_finished_run_is_only_read(tiny: MakeExperiment, capsys: pytest.CaptureFixture[str]):
    record = train(tiny(), quiet=True)
    before = contents(record.folder)
    capsys.readouterr()
    again = resume(record.folder)
    assert capsys.readouterr().err == f"{record.folder}: is finished\n"
    assert (again.metrics, again.evaluation, again.summary) == (record.metrics, record.evaluation, record.summary)
    assert contents(record.folder) == before


def test_the_threads_are_those_it_began_with(crashed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    folder = crashed("routed")
    made_of = read_json_file(folder / "run.json")
    (folder / "run.json").write_text(json.dumps(made_of | {"threads": 3}))
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    with pytest.raises(UserError, match=f"threads was 3, is {made_of['threads']}"):
        resume(folder, quiet=True)
    assert asked == [3]


# From the command line, by signals


@pytest.fixture
def started(tiny_words: Callable[..., list[str]], tmp_path: Path):
    """`started(*words)`: `launch.py` as a process of its own, with the settings of a run of many steps."""
    processes: list[subprocess.Popen] = []

    def start(*words: str) -> subprocess.Popen:
        settings = tiny_words(*MANY_STEPS, f"--output_dir={tmp_path / 'cut'}")
        command = [sys.executable, str(ROOT / "launch.py"), *settings, *words]
        environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_for_step(folder: Path, step: int) -> Path:
    """Until the one run in `folder` has written that many rows."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for run in folder.glob("*/metrics.jsonl"):
            if run.read_text().count("\n") > step:
                return run.parent
        time.sleep(0.01)
    raise TimeoutError(f"no run in {folder} came to step {step}")


def test_killed_and_interrupted_and_resumed_it_ends_as_if_nothing_had_been(
    started: Callable[..., subprocess.Popen], tiny_words: Callable[..., list[str]], tmp_path: Path
):
    killed = started()
    folder = wait_for_step(tmp_path / "cut", 15)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert read_json_file(folder / "status.json")["state"] == "running"  # nobody was there to say otherwise

    interrupted = started("--resume")
    wait_for_step(tmp_path / "cut", 25)
    interrupted.send_signal(signal.SIGINT)
    said = interrupted.communicate(timeout=60)[1]
    assert interrupted.returncode == 130
    status = read_json_file(folder / "status.json")
    assert status["state"] == "interrupted"
    assert 25 < status["step"] < 40
    assert f"{folder}: resumed at step 10 of 40" in said
    assert said.splitlines()[-1] == (
        f"interrupted: asked to stop after {status['step']} of 40 steps; --resume goes on from the last checkpoint"
    )
    assert (folder / f"checkpoint-{status['step']}").is_dir()

    assert launch.main(["--resume", str(folder)]) == 0
    assert launch.main(tiny_words(*MANY_STEPS)) == 0
    (undisturbed,) = (tmp_path / "output").iterdir()
    one, other = contents(folder), contents(undisturbed)
    extra = f"checkpoint-{status['step']}/"
    assert {name: content for name, content in one.items() if not name.startswith(extra)} == other


def test_a_run_that_is_being_trained_is_left_alone(
    started: Callable[..., subprocess.Popen], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    running = started()
    folder = wait_for_step(tmp_path / "cut", 1)
    assert launch.main(["--resume", str(folder)]) == 2
    assert capsys.readouterr().err == f"error: {folder}: is being trained by another process\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 130
    assert read_json_file(folder / "status.json")["state"] == "interrupted"


def test_the_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch):
    """Unless it is the first, passed on twice."""
    before = signal.getsignal(signal.SIGINT)
    with stop_request() as request, request.deferred():
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.requested
        now += 0.4
        os.kill(os.getpid(), signal.SIGINT)
        now += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_a_step_the_first_signal_stops():
    request = StopRequest()
    with pytest.raises(KeyboardInterrupt):
        request.handle(signal.SIGINT, None)
    assert not request.requested


# What is refused


def test_other_settings_are_refused_and_listed(crashed: Callable[..., Path], tiny: MakeExperiment, tmp_path: Path):
    folder = crashed("routed")
    before = contents(folder)
    asked = tiny(output_dir=tmp_path / "cut", **LONG, **KINDS["routed"])
    with pytest.raises(UserError) as error:
        resume(folder, replace(asked, beta=0.01, seed=7, log_all_samples=False))
    listed = "seed 42, not 7, beta 0.02, not 0.01, log_all_samples True, not False"
    assert str(error.value) == f"--resume {folder}: is a run with other settings: {listed}"
    assert contents(folder) == before
    shown = replace(asked, overwrite=True, wandb=replace(asked.wandb, project="another"), output_dir=tmp_path / "elsewhere")
    assert resume(folder, shown, quiet=True).folder == folder


@pytest.mark.parametrize("name", ["base_fingerprint", "train_prompts_fingerprint", "torch", "device"])
def test_what_it_was_made_of_must_be_there_still(crashed: Callable[..., Path], name: str):
    folder = crashed("routed")
    (folder / "run.json").write_text(json.dumps(read_json_file(folder / "run.json") | {name: "another"}))
    before = contents(folder)
    with pytest.raises(UserError, match=f"made of other things than are found now: {name} was another, is "):
        resume(folder, quiet=True)
    assert contents(folder) == before


def test_from_the_command_line_mistakes_are_one_line(
    crashed: Callable[..., Path], tiny_words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = crashed("routed")

    def refused(*words: str) -> str:
        assert launch.main(list(words)) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said.removeprefix("error: ").rstrip("\n")

    assert (
        refused("--resume", str(folder), "--lr", "1e-4")
        == f"--resume {folder}: is a run with other settings: lr 0.02, not 0.0001"
    )
    assert refused("--resume", str(tmp_path)).startswith(f"--resume {tmp_path}: is not a run's folder: it has no config")
    assert refused("--resume", str(folder), "b") == f"--resume: {folder} b: takes one run folder or none"
    words = tiny_words(f"--output_dir={tmp_path / 'cut'}", "--routing.enabled", "--resume", "--lr=0.02", "--max_steps=6")
    said = refused(*words)
    assert said.startswith(f"--resume: there is no run {tmp_path / 'cut'}/happy_binary_routed_")
    assert f"; the nearest, {folder.name}, has save_steps 2, not 500, " in said or "logging_steps 3, not 10" in said
    assert not (tmp_path / "output").exists()


def test_files_shorter_than_a_checkpoint_tells_are_no_place_to_go_on_from(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.append("metrics.jsonl", {"step": 0})
    folder.log("a\nb")
    lines = folder.sync()
    assert lines["metrics.jsonl"] == 1
    assert lines["train.log"] == 2
    folder.append("metrics.jsonl", {"step": 1})
    folder.append("samples.jsonl", {"step": 1})
    folder.cut_back(lines)
    assert read_rows(tmp_path, "metrics.jsonl") == [{"step": 0}]
    assert (tmp_path / "train.log").read_text() == "a\nb\n"
    assert (tmp_path / "samples.jsonl").read_text() == ""
    with pytest.raises(ValueError, match=r"metrics.jsonl: 1 lines, where there were 2$"):
        folder.cut_back(lines | {"metrics.jsonl": 2})
    assert read_rows(tmp_path, "metrics.jsonl") == [{"step": 0}]
