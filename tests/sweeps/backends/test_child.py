import _thread
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeps.backends import child
from sweeps.backends.child import Attempt
from tests.sweeps.fake_runs import fake_plan, fake_script, is_gone, pids, rows, state, wait_for

ROOT = Path(__file__).parents[3]
MakeAttempt = Callable[..., Attempt]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[MakeAttempt]:
    """`fake(pause=1.0)`: an attempt at such a run; of its processes, none is left in the end."""
    script = fake_script(tmp_path)

    def make(name: str = "run", **behaviour: object) -> Attempt:
        folder = tmp_path / "sweep"
        fake_plan(folder, {name: behaviour})
        log = folder / "logs" / f"{name}.log"
        return Attempt(script, folder / "configs" / f"{name}.yaml", folder / name, log, tmp_path)

    yield make
    wait_for(lambda: all(map(is_gone, pids(tmp_path / "sweep"))))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Attempt]:
    """An attempt at a script with this text."""

    def make(text: str) -> Attempt:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        return Attempt(path, tmp_path / "config.yaml", tmp_path / "run", tmp_path / "log", tmp_path)

    return make


def test_a_script_runs_as_if_it_had_been_started_itself(script: Callable[[str], Attempt], tmp_path: Path):
    (tmp_path / "neighbour.py").write_text("NAME = 'beside the script'")
    attempt = script("""
        import neighbour, os, sys
        print(__name__, sys.argv, neighbour.NAME, repr(sys.stdin.read()), os.getcwd(), os.environ["OMP_NUM_THREADS"])
        print("and errors", file=sys.stderr)
    """)
    assert child.run_attempt(attempt, {"OMP_NUM_THREADS": "7"}) == 0
    header, *rest = attempt.log.read_text().splitlines()
    assert header.startswith("=== attempt 1, 20")
    assert header.endswith(f": uv run script.py --config {tmp_path}/config.yaml")
    argv = [str(attempt.script), "--config", str(attempt.config)]
    assert rest == [f"__main__ {argv} beside the script '' {tmp_path} 7", "and errors"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_its_exit_code_is_the_script_s(script: Callable[[str], Attempt], text: str, code: int):
    assert child.run_attempt(script(text), {}) == code


def test_resume_is_asked_for_as_soon_as_there_is_something_to_resume(fake: MakeAttempt, tmp_path: Path):
    attempt = fake(exits=[1])
    config = tmp_path / "sweep" / "configs" / "run.yaml"
    assert attempt.words() == ["--config", str(config)]
    assert [child.run_attempt(attempt, {}) for _ in range(2)] == [1, 0]
    assert attempt.words() == ["--config", str(config), "--resume"]
    assert attempt.shell_command() == f"uv run fake_launch.py --config {config} --resume"
    headers = [line for line in attempt.log.read_text().splitlines() if line.startswith(child.HEADER)]
    assert [line.endswith("--resume") for line in headers] == [False, True]


def test_a_command_names_the_script_in_full_from_elsewhere():
    attempt = Attempt(Path("/here/launch.py"), Path("/there/a b.yaml"), Path("/no/run"), Path("/log"), Path("/there"))
    assert attempt.shell_command() == "uv run /here/launch.py --config '/there/a b.yaml'"


PARENT = """
import sys, time
from pathlib import Path
from sweeps.backends import child
children = []
for words in sys.argv[1:]:
    *paths, grace = words.split("|")
    children.append(child.start(child.Attempt(*map(Path, paths)), {child.GRACE: grace}))
time.sleep(600)
"""


@contextmanager
def parent_of(graces: dict[Attempt, float]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that starts each attempt with its time of grace. Waited for even where the test fails: a Popen that is
    collected earlier is a ResourceWarning, and so an error, in whichever test runs then."""
    words = ["|".join(map(str, (a.script, a.config, a.folder, a.log, a.directory, grace))) for a, grace in graces.items()]
    with subprocess.Popen([sys.executable, "-c", PARENT, *words], cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def test_when_the_parent_is_killed_children_and_grandchildren_end(fake: MakeAttempt):
    """Those that listen to SIGINT write their checkpoint, those that do not are killed."""
    obedient = fake("obedient", steps=10_000, grandchild=True)
    deaf = fake("deaf", steps=10_000, grandchild=True, deaf=True)
    grace = 3.0
    with parent_of({obedient: 1000.0, deaf: grace}):  # the obedient one ends long before, however busy the machine is
        wait_for(lambda: rows(obedient.folder / "metrics.jsonl") and rows(deaf.folder / "metrics.jsonl"))
        everyone = pids(deaf.folder.parent)
        assert len(everyone) == 4
        assert not any(map(is_gone, everyone))
        killed_at = time.time()
    wait_for(lambda: all(map(is_gone, everyone)))
    assert state(obedient.folder) == "interrupted"
    assert state(deaf.folder) == "running"
    assert (deaf.folder / "metrics.jsonl").stat().st_mtime > killed_at + grace / 2  # it went on for its time of grace


def test_one_child_s_pipe_is_not_held_open_by_another(fake: MakeAttempt):
    attempts = fake("first", steps=10_000), fake("second", steps=10_000)
    first, second = (child.start(attempt, {}) for attempt in attempts)
    wait_for(lambda: rows(attempts[0].folder / "metrics.jsonl"))
    assert first.stdin is not None
    first.stdin.close()
    assert first.wait(timeout=120) == 130
    assert state(attempts[0].folder) == "interrupted"
    assert child.exit_code(second) is None
    child.kill(second)
    assert second.returncode == -signal.SIGKILL


def test_what_a_script_leaves_running_is_killed_when_it_ends(fake: MakeAttempt):
    attempt = fake(grandchild=True)
    assert child.run_attempt(attempt, {}) == 0
    (grandchild,) = rows(attempt.folder / "grandchildren")
    wait_for(lambda: is_gone(grandchild))


def test_a_keyboard_interrupt_is_passed_on(fake: MakeAttempt):
    """Also where SIGINT is blocked, as it is beneath Ray."""
    attempt = fake(steps=10_000)

    def stop() -> None:
        wait_for(lambda: rows(attempt.folder / "metrics.jsonl"))
        _thread.interrupt_main()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        assert child.run_attempt(attempt, {}) == 130
    finally:
        stopper.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert state(attempt.folder) == "interrupted"
