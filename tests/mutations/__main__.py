"""`uv run python -m tests.mutations`: makes each change of `changes.py` by itself to a copy of the tree and runs the tests that
matter. Ends with 1 if one survives or does not apply, or if a test fails without any change.

The process holds torch and the other libraries and nothing of the project. For each change it forks, and the child imports the
changed project and runs pytest. So a change costs about a second, and no child sees what another one imported.
"""

import argparse
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Those without which a child would need seconds to begin.
import hypothesis.strategies  # noqa: F401
import jaxtyping  # noqa: F401
import PIL.Image  # noqa: F401
import pytest
import rich.progress  # noqa: F401
import safetensors.torch  # noqa: F401
import scipy.stats  # noqa: F401
import tokenizers  # noqa: F401
import torch.distributed.tensor
import torch.optim.adamw  # noqa: F401
import tyro  # noqa: F401

from tests.mutations.change import Change
from tests.mutations.changes import CHANGES

ROOT = Path(__file__).parents[2]
LONGEST = 120  # seconds of CPU of one change's tests; a change may make a loop endless
TESTS_FAILED = pytest.ExitCode.TESTS_FAILED
# None of pyproject.toml's options and no plugin: checks of array shapes and hypothesis' own reports take longer than most tests.
OPTIONS = ("-x", "-q", "-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider")


def copy_tree(target: Path) -> None:
    """What git knows of or would take: the working tree without what is built or downloaded."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(root: Path, tests: Sequence[str], output: Path, longest: int = 0) -> int:
    """pytest's exit status in a child that imports the project from `root`; above 128 when it was killed. 0: however long."""
    gc.freeze()  # the child need not look through what the libraries made
    if (child := os.fork()) == 0:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        signal.setitimer(signal.ITIMER_PROF, longest)  # which ends the process
        os.chdir(root)
        sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        try:
            status = int(pytest.main([*OPTIONS, f"--basetemp={output.with_suffix('')}", *tests]))
        except BaseException as error:  # noqa: BLE001 -- the child must not go on as its parent
            print(repr(error))
            status = int(pytest.ExitCode.INTERNAL_ERROR)
        sys.stdout.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256


def try_change(change: Change, number: int, root: Path, output: Path) -> tuple[bool, str]:
    """Whether it is as it should be, and what is said of it. The file is put back afterwards."""
    if fault := change.fault(root):
        return False, f"does not apply: {fault}"
    if change.equivalent:
        return True, f"equivalent: {change.equivalent}"
    path = root / change.file
    before, stamp = path.read_bytes(), path.stat().st_mtime
    change.apply(root)
    os.utime(path, (stamp, stamp + number + 1))  # of its own, so that compiled code of another state is not taken for its
    try:
        status = run_tests(root, change.tests, output, LONGEST)
    finally:
        path.write_bytes(before)
        os.utime(path, (stamp, stamp))
    if status == pytest.ExitCode.OK:
        return False, "SURVIVED"
    text = output.read_text()
    if status != TESTS_FAILED:
        return status == 256 - signal.SIGPROF, f"did not come to an end of the tests (status {status})\n{text[-1000:]}"
    failed = next((line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    return True, f"caught by {failed.partition(' ')[2].partition(' - ')[0]}"


def chosen(names: Sequence[str]) -> list[Change]:
    known = {change.name: change for change in CHANGES}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no such change: {', '.join(unknown)}; --list has their names")
    return [known[name] for name in names] if names else CHANGES


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    parser.add_argument("--list", action="store_true", help="names and what is changed, and no test")
    options = parser.parse_args(words)
    changes = chosen(options.names)
    if options.list:
        print("\n".join(f"{change.name}  {change.file}: {change.search!r} -> {change.replacement!r}" for change in changes))
        return 0
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root, output = Path(folder) / "tree", Path(folder) / "output.txt"
        copy_tree(root)
        if run_tests(root, sorted({test for change in changes for test in change.tests}), output):
            print(f"{output.read_text()[-3000:]}\nthe tests fail without any change")
            return 1
        for number, change in enumerate(changes, 1):
            right, said = try_change(change, number, root, output)
            print(f"[{number}/{len(changes)}] {change.name}: {said}", flush=True)
            wrong += [] if right else [change.name]
    times = os.times()
    print(f"{len(changes) - len(wrong)} of {len(changes)} changes are caught; {sum(times[:4]):.0f} s of CPU")
    print("\n".join(f"not caught: {name}" for name in wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
