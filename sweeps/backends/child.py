"""One attempt at a run, as a process that can not outlive the sweep's. The standard library alone, so that it starts at once.

    python sweeps/backends/child.py SCRIPT ARGS

becomes the script, leaving behind a guard: a process that does nothing but wait for the end of a pipe, which the sweep's
process holds open and never writes to. When that process is gone, in whatever way, the script gets SIGINT (a run then
writes its checkpoint and stops); when it has ended, or after SWEEP_GRACE seconds, its process group, which is its own, is
killed with all that it started. A thread of the script would not do: Ray kills a lost worker's child, and only the child.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GRACE = "SWEEP_GRACE"  # environment variable
GRACE_SECONDS = 30.0
HEADER = "=== attempt "


@dataclass(frozen=True)
class Attempt:
    """What a backend runs, on whichever machine; absolute paths."""

    script: Path
    config: Path
    folder: Path  # the run's
    log: Path
    directory: Path  # where relative paths in the config start
    number: int = 1

    def words(self) -> list[str]:
        """The script's arguments: with `--resume` as soon as the run's folder exists."""
        resume = ["--resume"] if self.folder.is_dir() else []
        return ["--config", str(self.config), *resume]

    def shell_command(self) -> str:
        """For a user to paste."""
        script = self.script.relative_to(self.directory) if self.script.is_relative_to(self.directory) else self.script
        return shlex.join(["uv", "run", str(script), *self.words()])


def start(attempt: Attempt, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process in a session of its own, its output appended to the log under a header. `environment` adds to the present one."""
    attempt.log.parent.mkdir(parents=True, exist_ok=True)
    with attempt.log.open("ab") as log:
        header = f"{HEADER}{attempt.number}, {time.strftime('%Y-%m-%d %H:%M:%S')}: {attempt.shell_command()}\n"
        log.write(header.encode())
        log.flush()
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(attempt.script), *attempt.words()],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            cwd=attempt.directory,
            start_new_session=True,
        )


def interrupt(child: subprocess.Popen[bytes]) -> None:
    """Asks the script, and nothing else that it started, to stop."""
    child.send_signal(signal.SIGINT)


def kill(child: subprocess.Popen[bytes]) -> None:
    """The whole process group; waits for the child's own end."""
    with suppress(ProcessLookupError, PermissionError):  # the latter where all of the group has ended
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def exit_code(child: subprocess.Popen[bytes]) -> int | None:
    """None while it runs. At its end, nothing that it started is left."""
    code = child.poll()
    if code is not None:
        kill(child)
    return code


def wait(child: subprocess.Popen[bytes]) -> int:
    """By short sleeps, so that an exception from another thread gets through."""
    while (code := exit_code(child)) is None:
        time.sleep(0.1)
    return code


def run_attempt(attempt: Attempt, environment: dict[str, str]) -> int:
    """From start to end; a KeyboardInterrupt is passed on to the child. Returns its exit code."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs in the background may have it ignored
    child = start(attempt, environment)
    try:
        return wait(child)
    except KeyboardInterrupt:
        interrupt(child)
        return wait(child)
    finally:
        kill(child)


def guard(leader: int, grace: float) -> None:
    """Waits for the end of the pipe on standard input, then for that of the leader, and ends the group with itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    end = time.monotonic() + grace
    if os.getppid() == leader:  # it lives
        os.kill(leader, signal.SIGINT)
    while os.getppid() == leader and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(leader, signal.SIGKILL)


def main(words: list[str]) -> None:
    """Becomes the script, with a guard beside it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell has ignored by what it runs in the background,
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # and Ray blocked
    leader = os.getpid()
    if os.getpgrp() == leader and os.fork() == 0:
        guard(leader, float(os.environ.get(GRACE, GRACE_SECONDS)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # of the pipe, the script and its children know nothing
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    main(sys.argv[1:])
