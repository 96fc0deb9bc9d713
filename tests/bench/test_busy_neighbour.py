"""Ratios by hand, which environment a run gets, and a neighbour that is there within and gone afterwards."""

import io
import os
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from rich.console import Console

from bench import busy_neighbour
from bench.busy_neighbour import ALL, DEFAULT, ONE, Figures, Options, measure, neighbour, show, step_times
from configs.errors import UserError
from sweeps.backends.local import cores

FIGURES = Figures({ONE: 0.5, ALL: 5.0, DEFAULT: 0.6}, {ONE: 0.5, ALL: 0.4, DEFAULT: 0.41})


def test_the_default_is_compared_with_the_better_of_the_others():
    assert FIGURES.to_the_better == pytest.approx(1.2)
    assert FIGURES.cost == pytest.approx(1.025)
    console = Console(file=(screen := io.StringIO()), width=120)
    show(FIGURES, console)
    show(Figures(FIGURES.busy | {DEFAULT: 0.7}, FIGURES.quiet), console)
    lines = [line for line in screen.getvalue().splitlines() if line.startswith("default over the better")]
    assert [line.rpartition(": ")[0][-17:] + line.rpartition(": ")[2] for line in lines] == [
        "1.20 (at most 1.3held)",
        "1.40 (at most 1.3not held)",
    ]


def test_ways_take_turns_and_medians_are_over_all_steps(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    times = {ONE: [1.0, 3.0], ALL: [5.0, 5.0], DEFAULT: [2.0, 4.0]}
    monkeypatch.setattr(busy_neighbour, "neighbour", lambda is_there: (asked.append(str(is_there)), neighbour(False))[1])
    monkeypatch.setattr(busy_neighbour, "step_times", lambda way, _: (asked.append(way), times[way])[1])
    assert measure(Options(repetitions=2)) == Figures(*[{ONE: 2.0, ALL: 5.0, DEFAULT: 3.0}] * 2)
    one_turn = [word for busy in ("True", "False") for way in (ONE, ALL, DEFAULT) for word in (busy, way)]
    assert asked == one_turn * 2


def test_only_the_way_decides_how_many_threads_a_run_has(monkeypatch: pytest.MonkeyPatch):
    found: list[tuple[list[str], set[str]]] = []

    def run(words: list[str], env: dict[str, str], **__: Any) -> CompletedProcess[str]:
        threads = [word for before, word in pairwise(words) if before == "--threads"]
        found.append((threads, {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & {*env}))
        return CompletedProcess([], 1, "", "no model")

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(busy_neighbour.subprocess, "run", run)
    for way in (ONE, ALL, DEFAULT):
        with pytest.raises(UserError, match="a run failed: no model"):
            step_times(way, 2)
    assert found == [(["1"], set()), ([str(cores())], set()), ([], set())]


def test_the_neighbour_is_there_within_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(busy_neighbour, "SPIN", "import time; time.sleep(600)")
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text().split()
    with neighbour(False):
        assert children.read_text().split() == before
    with neighbour(True):
        assert len(children.read_text().split()) == len(before) + 1
    assert children.read_text().split() == before
