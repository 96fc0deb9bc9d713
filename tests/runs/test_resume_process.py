"""`launch.py` as a process, killed and asked to stop: what it leaves, and that it goes on from there."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import launch
from records.rows import read_object
from tests.helpers import FEW_STORIES, only_run
from tests.runs.resumed import contents, during_steps

ROOT = Path(launch.__file__).parent
MANY_STEPS = ["--routing.enabled", "--max_steps=10", "--save_steps=3", "--logging_steps=1"]
WAITS_IN_STEP_4 = """
import time
import launch
from runs import trainer

train_step = trainer.train_step
trainer.train_step = lambda run: time.sleep(600) if run.step == 4 else train_step(run)
launch.main()
"""


@pytest.fixture
def running(tiny_words: Callable[..., list[str]], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`launch.py` as a process of its own, in the middle of step 4 of MANY_STEPS until it is killed, and its run's folder."""
    words = tiny_words(*MANY_STEPS, f"--output_dir={tmp_path / 'cut'}")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    (tmp_path / "waits.py").write_text(WAITS_IN_STEP_4)
    process = subprocess.Popen([*FEW_STORIES, str(tmp_path / "waits.py"), *words], env=environment, cwd=tmp_path)
    try:
        yield process, wait_for_rows(tmp_path / "cut", 4)
    finally:
        process.kill()
        process.wait()


def wait_for_rows(folder: Path, rows: int) -> Path:
    """Until the one run in `folder` has written that many."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for run in folder.glob("*/metrics.jsonl"):
            if run.read_text().count("\n") >= rows:
                return run.parent
        time.sleep(0.05)
    raise TimeoutError(f"no run in {folder} came to {rows} rows")


def test_left_alone_killed_and_interrupted_and_resumed_it_ends_as_if_nothing_had_been(
    running: tuple[subprocess.Popen[bytes], Path],
    tiny_words: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    process, folder = running
    assert launch.main(["--resume", str(folder)]) == 2
    assert capsys.readouterr().err == f"error: {folder}: is being trained by another process\n"

    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert read_object(folder / "status.json")["state"] == "running"  # nobody was there to say otherwise

    again = tiny_words(*MANY_STEPS, f"--output_dir={tmp_path / 'cut'}", "--resume")
    for number, start, step in ((signal.SIGTERM, 3, 5), (signal.SIGINT, 5, 8)):
        with during_steps(lambda run, number=number, step=step: run.step == step - 1 and os.kill(os.getpid(), number)):
            assert launch.main(again) == 130
        screen = capsys.readouterr().err
        assert f"{folder}: resumed at step {start} of 10" in screen
        assert screen.splitlines()[-1] == (
            f"interrupted: asked to stop after {step} of 10 steps; "
            f"to go on from the last checkpoint: uv run launch.py --resume {folder}"
        )
        status = read_object(folder / "status.json")
        assert (status["state"], status["step"]) == ("interrupted", step)
        assert (folder / f"checkpoint-{step}").is_dir()

    assert launch.main(["--resume", str(folder)]) == 0
    assert launch.main(tiny_words(*MANY_STEPS)) == 0
    whole = only_run(tmp_path / "output")
    extra = ("checkpoint-5/", "checkpoint-8/")
    assert {name: content for name, content in contents(folder).items() if not name.startswith(extra)} == contents(whole)
