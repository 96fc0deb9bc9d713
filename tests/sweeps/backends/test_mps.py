import re
from pathlib import Path

import pytest

from configs.errors import UserError
from sweeps.backends import mps

# The control program, with a file that stands for its daemon.
CONTROL = """#!/bin/sh
if [ "$1" = "-d" ]; then
    {start}
fi
read words
[ "$words" = get_server_list ] && [ -e {daemon} ] || {{ echo "Cannot find MPS control daemon process" >&2; exit 1; }}
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, start: str = "touch {daemon}; exit 0") -> Path:
    """A control program on PATH; returns the file whose existence says that the daemon is up."""
    daemon = folder / "daemon"
    program = folder / "bin" / mps.CONTROL
    program.parent.mkdir()
    program.write_text(CONTROL.format(start=start.format(daemon=daemon), daemon=daemon))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return daemon


def test_it_is_up_when_the_daemon_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    daemon = install(tmp_path, monkeypatch)
    assert not mps.is_up()
    daemon.touch()
    assert mps.is_up()


def test_it_is_not_up_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not mps.is_up()


@pytest.mark.parametrize("mode", [None, "start", "require", "ignore"])
def test_nothing_is_said_when_it_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None):
    install(tmp_path, monkeypatch).touch()
    said: list[str] = []
    mps.ensure(mode, said.append)
    assert said == []


def test_by_default_one_line_says_how_to_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    daemon = install(tmp_path, monkeypatch)
    said: list[str] = []
    mps.ensure(None, said.append)
    (line,) = said
    assert "nvidia-cuda-mps-control -d" in line
    assert not daemon.exists()
    mps.ensure("ignore", said.append)
    assert said == [line]


def test_require_is_an_error_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=re.escape("not up; start it with nvidia-cuda-mps-control -d")):
        mps.ensure("require", print)


def test_start_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    daemon = install(tmp_path, monkeypatch)
    said: list[str] = []
    mps.ensure("start", said.append)
    assert daemon.exists()
    assert said == ["NVIDIA MPS started; echo quit | nvidia-cuda-mps-control stops it"]


@pytest.mark.parametrize(
    ("start", "why"),
    [("echo no permission >&2; exit 1", "no permission"), ("exit 3", "exit code 3"), ("exit 0", "it does not answer")],
)
def test_start_says_why_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, why: str):
    install(tmp_path, monkeypatch, start)
    with pytest.raises(UserError, match=f"-d failed: {why}$"):
        mps.ensure("start", print)


def test_start_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="No such file"):
        mps.ensure("start", print)
