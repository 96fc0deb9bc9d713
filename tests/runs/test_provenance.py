"""The commit of the code, in a repository made for it; and none where there is none."""

import subprocess
from pathlib import Path

import pytest

from runs import provenance
from runs.provenance import git_state


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "code")
    (tmp_path / "code" / "a.py").write_text("a = 1\n")
    git(tmp_path / "code", "add", ".")
    git(tmp_path / "code", "commit", "-qm", "first")
    return tmp_path / "code"


def state(root: Path) -> object:
    git_state.cache_clear()
    return git_state(root)


def test_the_commit_and_whether_the_tree_is_clean(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    commit = subprocess.run(
        ["git", "--git-dir", ".git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    first = commit.stdout.strip()
    assert state(repository) == {"commit": first, "clean": True}
    (repository / "b.py").write_text("")
    assert state(repository) == {"commit": first, "clean": False}
    (repository / "b.py").unlink()
    (repository / "a.py").write_text("a = 2\n")
    assert state(repository) == {"commit": first, "clean": False}


def test_outside_a_repository_of_its_own_there_is_none(repository: Path):
    (repository / "copied").mkdir()
    assert state(repository / "copied") is None


def test_without_a_commit_or_without_git_there_is_none(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch):
    git(tmp_path, "init", "-q", "empty")
    assert state(tmp_path / "empty") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state(repository) is None


def test_a_run_from_python_has_no_command():
    assert provenance.provenance(None)["command"] is None
    assert provenance.provenance(("launch.py", "--seed", "1"))["command"] == ["launch.py", "--seed", "1"]
