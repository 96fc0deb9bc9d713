"""Where a run came from: the commit of the code and the command. For people; nothing is compared with it."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 10  # that git may take


def provenance(command: Sequence[str] | None) -> dict[str, Any]:
    """Entries of run.json. `command` is a door's words, None for a run from Python."""
    return {"git": git_state(ROOT), "command": None if command is None else [*command]}


@cache
def git_state(root: Path) -> dict[str, Any] | None:
    """`commit`, and whether the tree was `clean`, when it is first asked for; None where the code lies in no repository of its
    own, or git does not answer.
    """
    if not (root / ".git").exists():
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), "--no-optional-locks", "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")), "")
    return {"commit": commit, "clean": all(line.startswith("#") for line in lines)} if commit.isalnum() else None
