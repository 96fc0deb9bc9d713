"""A short sample of `uv run python -m tests.mutations`: all changes apply, and ten quick ones are caught."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutations.change import Change
from tests.mutations.changes import CHANGES

ROOT = Path(__file__).parents[1]
SAMPLE = [
    "bad-against-good",
    "rule-of-good-only",
    "penalty-raises-debts",
    "control-with-its-own-rule",
    "detector-of-the-reward-not-used",
    "single-lora-keeps-alpha",
    "penalty-never-trained",
    "epsilons-swapped-at-the-call",
    "trained-reward-as-reward",
    "warned-when-routed-alone",
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_applies_and_has_tests(change: Change):
    assert change.fault(ROOT) is None
    assert change.search != change.replacement
    assert [test for test in change.tests if not (ROOT / test.partition("::")[0]).is_file()] == []


def test_no_two_changes_have_one_name_or_are_the_same():
    assert len(CHANGES) >= 60
    assert max(Counter(change.name for change in CHANGES).values()) == 1
    assert max(Counter((change.file, change.search, change.replacement) for change in CHANGES).values()) == 1


# A process of its own, which holds nothing of the project when it forks.
PROGRAM = f"""
import sys
from tests.mutations import __main__ as mutations
from tests.mutations.change import Change

caught = mutations.main({SAMPLE})
harmless = Change("harmless", "grpo/choices.py", "error that lists", "error which lists", ("tests/grpo/test_checks.py",))
gone = Change("gone", "grpo/choices.py", "nothing like it", "", ("tests/grpo/test_checks.py",))
mutations.CHANGES = [harmless, gone]
sys.exit(10 * caught + mutations.main([]))
"""


def test_ten_of_them_are_caught_and_one_that_changes_nothing_is_not():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    assert [line.split(": caught by ")[0] for line in lines[:10]] == [f"[{i}/10] {name}" for i, name in enumerate(SAMPLE, 1)], (
        lines
    )
    assert lines[10].startswith("10 of 10 changes are caught; ")
    assert lines[11:13] == [
        "[1/2] harmless: SURVIVED",
        "[2/2] gone: does not apply: 'nothing like it' occurs 0 times in grpo/choices.py",
    ]
    assert lines[13].startswith("0 of 2 changes are caught; ")
    assert lines[14:] == ["not caught: harmless", "not caught: gone"]
    assert ended.returncode == 1
