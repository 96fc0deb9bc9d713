"""How threads wait is chosen before PyTorch is loaded, unless somebody has chosen; and said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runs.threads import CHOICES, POLICY, let_threads_sleep, note_on_threads, threads_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("chosen", CHOICES)
def test_what_somebody_has_chosen_stays(chosen: str):
    environment = {chosen: "x"}
    let_threads_sleep(environment, is_too_late=False)
    assert environment == {chosen: "x"}


def test_where_torch_is_loaded_nothing_is_changed_and_it_is_said():
    environment: dict[str, str] = {}
    let_threads_sleep(environment, is_too_late=True)
    assert environment == {}
    said = "2 threads, which spin while they wait: PyTorch was loaded first; beside busy programs fewer may be faster"
    assert note_on_threads(2, environment) == said
    let_threads_sleep(environment, is_too_late=False)
    assert environment == POLICY
    assert note_on_threads(2, environment) == "2 threads (OMP_WAIT_POLICY PASSIVE, GOMP_SPINCOUNT 1000)"
    assert note_on_threads(1, environment) == "1 thread"


@pytest.mark.parametrize(("first", "expected"), [("", "1000"), ("import torch, ", "None")])
def test_a_door_and_a_script_load_torch_with_it_unless_they_did_before(first: str, expected: str):
    code = f"import {first[7:]}os, runs.trainer; print(os.environ.get('GOMP_SPINCOUNT'))"
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with threads_of(before + 2):
        assert torch.get_num_threads() == before + 2
    with threads_of(None):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
