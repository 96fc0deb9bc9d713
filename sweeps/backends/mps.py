"""NVIDIA's Multi-Process Service: with it, the kernels of several runs on one GPU run side by side; without, in turns."""

import subprocess
from collections.abc import Callable

from configs.errors import UserError

CONTROL = "nvidia-cuda-mps-control"
START = f"{CONTROL} -d"


def is_up() -> bool:
    """Whether its daemon answers."""
    return _control([CONTROL], "get_server_list\n") is None


def ensure(mode: str | None, say: Callable[[str], None]) -> None:
    """For several runs a GPU. `mode`: start, require (UserError unless it is up), ignore, or None: check and say."""
    if mode == "ignore" or is_up():
        return
    if mode == "require":
        raise UserError(f"--mps require: NVIDIA MPS is not up; start it with {START}, or use --mps start")
    if mode == "start":
        failure = _control([CONTROL, "-d"], "")
        if failure is None and not is_up():
            failure = "it does not answer"
        if failure is not None:
            raise UserError(f"--mps start: {START} failed: {failure}")
        say(f"NVIDIA MPS started; echo quit | {CONTROL} stops it")
    if mode is None:
        say(f"NVIDIA MPS is not up, so runs on one GPU take turns; start it with {START}, or use --mps start")


def _control(command: list[str], words: str) -> str | None:
    """What went wrong, in one line; None when nothing did."""
    try:
        ended = subprocess.run(command, input=words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())
    printed = " ".join((ended.stderr or ended.stdout).split())
    return None if ended.returncode == 0 else printed or f"exit code {ended.returncode}"
