"""A run that wandb is to have online needs a login, which is looked for as wandb looks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.login import check_login

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 3
HELP = "accepted with `uv run wandb login` or WANDB_API_KEY; --wandb.mode offline needs neither"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user whose home is `home`, with nothing of wandb's in the environment. The server is one that nobody can reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_") and name != "NETRC"}
    return kept | {"HOME": str(home), "WANDB_BASE_URL": "http://localhost:9", "WANDB_CONFIG_DIR": str(home)} | more


@pytest.mark.parametrize(
    ("variables", "netrc", "expected"),
    [
        ({}, "", f"--wandb.mode online: is not logged in at http://localhost:9; {HELP}"),
        ({"WANDB_API_KEY": KEY}, "", ""),
        ({"WANDB_API_KEY": "short"}, "", "--wandb.mode online: cannot log in: WANDB_API_KEY invalid: "),
        ({}, f"machine localhost:9 login user password {KEY}", ""),
        ({}, f"machine another.host login user password {KEY}", "--wandb.mode online: is not logged in at http://localhost:9"),
    ],
)
def test_a_key_is_found_in_the_environment_and_in_netrc(tmp_path: Path, variables: dict[str, str], netrc: str, expected: str):
    (tmp_path / ".netrc").write_text(netrc)
    code = "from configs.login import check_login\ntry: check_login(['online'])\nexcept Exception as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(tmp_path, **variables), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().startswith(expected)
    assert done.stdout.count("\n") == bool(expected)
    assert done.stderr == ""


def test_a_run_that_stays_here_needs_no_login():
    check_login({"offline", "disabled"})


@pytest.mark.parametrize("script", ["launch.py", "sweep.py"])
def test_a_run_and_a_sweep_without_a_login_say_so_in_one_line_and_make_nothing(tmp_path: Path, script: str):
    words = ["--wandb.mode=online", f"--output_dir={tmp_path / 'output'}", "--model=nowhere"]
    more = ["--grid", "seed=1,2"] if script == "sweep.py" else []
    done = subprocess.run([sys.executable, script, *words, *more], cwd=ROOT, env=environment(tmp_path), capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --wandb.mode online: is not logged in at http://localhost:9; {HELP}\n"
    assert not (tmp_path / "output").exists()
