"""`report.py` over two runs and over many: how they differ."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from reports import write_comparison
from tests.report_door import charts, refusal, run_door, text_of
from tests.reports.report_runs import (
    MADE_OF,
    metric_rows,
    mode_figures,
    sample,
    write_rows,
    write_run,
    write_sweep,
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


def two_runs(folder: Path) -> tuple[Path, Path]:
    """Equal until step 2, where the reward differs; the first sample of step 1 is scored differently, the second says else."""
    a = [sample("same", step=0), sample("same", step=1, advantage=0.5), sample("A says <b>", step=1)]
    b = [sample("same", step=0), sample("same", step=1), sample("B says", step=1, prompt="the dog")]
    first = write_run(folder / "a", metric_rows([0.1, 0.2, 0.3, 0.4]), samples=a)
    return first, write_run(folder / "b", metric_rows([0.1, 0.2, 0.35, 0.5]), samples=b, config={"beta": 0.5, "lr": 1})


def test_two_runs_are_compared(tmp_path: Path, capsys):
    a, b = two_runs(tmp_path)
    assert run_door(capsys, a, b) == f"{tmp_path / 'report_compare.html'}\n"
    text = text_of(tmp_path / "report_compare.html")
    assert "beta 0.01 0.5 lr – 1" in text and "max_steps" not in text
    assert "The first step that differs: 2" in text and "reward 0.3 0.35 0.05" in text
    assert "1 of 5 metrics differ there" in text
    assert "Step 1, sample 0 of that step (from 0). It differs in: advantage." in text
    assert "Step 1, sample 1 of that step (from 0). It differs in: prompt, completion." in text
    assert "A says <b>" in text and "B says" in text and "the dog" in text


def test_their_curves_and_differences(tmp_path: Path):
    page = write_comparison(two_runs(tmp_path), tmp_path / "out.html")
    rows = charts(page, "training")["rows"]
    assert [row["y0"] for row in rows if row.get("r") == "B"] == [0.1, 0.2, 0.35, 0.5]
    assert [round(row["d0"], 9) for row in rows if "r" not in row] == [0, 0, 0.05, 0.1]
    assert page == tmp_path / "out.html"


def test_equal_runs_are_said_to_be_equal(tmp_path: Path):
    a, _ = two_runs(tmp_path)
    text = text_of(write_comparison([a, shutil.copytree(a, tmp_path / "c")], tmp_path / "out.html"))
    assert "all 4 steps that both have are equal in every metric" in text
    assert "all 3 logged samples that both have are equal" in text
    assert "Settings that differ none" in text


def test_runs_that_share_nothing_are_said_to_share_nothing(tmp_path: Path):
    text = text_of(write_comparison([write_run(tmp_path / "a"), write_run(tmp_path / "b")], tmp_path / "out.html"))
    assert "no step that both have" in text and "no logged sample that both have" in text
    assert "neither has trained a step" in text


def evaluated_run(folder: Path, hacks: int, **more: Any) -> Path:
    """Of 4 samples so many hack; each has a task reward of 0.5 or, where it hacks, of 1."""
    rewards = [1.0 if i < hacks else 0.5 for i in range(4)]
    finals = [
        sample(f"s{i}", "both", prompt_index=i, hacked=i < hacks, components={"task": r, "hack": 0.0})
        for i, r in enumerate(rewards)
    ]
    modes = {"both": mode_figures(0.25, hacks / 4, **{"rewards/task": sum(rewards) / 4}), "base": mode_figures(0.125, 0.0)}
    made_of = MADE_OF | {"eval_prompts_fingerprint": "abcdef0123456789", **more.pop("made_of", {})}
    return write_run(folder, metric_rows([0.1]), finals=finals, modes=modes, made_of=made_of, **more)


def test_two_runs_show_their_final_evaluations_by_mode_with_differences_that_are_paired(tmp_path: Path):
    config = {"eval": {"seed": 0}}
    a, b = evaluated_run(tmp_path / "a", 1, config=config), evaluated_run(tmp_path / "b", 3, config=config)
    text = text_of(write_comparison([a, b]))
    assert "task reward hack rate reward" in text
    row = text[text.index("both 0.625") :]
    assert re.match(r"both 0\.625 0\.875 0\.250 0\.000 to 0\.500 0\.250 0\.750 0\.500 0\.000 to 1\.000 0\.250 0\.250 0\.000", row)
    assert "base – – – 0.000 0.000 0.000 0.125 0.125 0.000" in text
    assert "A: a (routed, finished)" in text and "B: b (routed, finished)" in text, "samples of both"


def test_an_evaluation_of_one_alone_is_said_to_be_alone(tmp_path: Path):
    text = text_of(write_comparison([evaluated_run(tmp_path / "a", 1), write_run(tmp_path / "b", state="running")]))
    assert "Only one of them has been evaluated." in text and "both 0.625 – –" in text


def test_runs_on_other_prompts_are_not_paired(tmp_path: Path):
    config = {"eval": {"seed": 0}}
    other = {"eval_prompts_fingerprint": "fedcba9876543210"}
    a, b = evaluated_run(tmp_path / "a", 1, config=config), evaluated_run(tmp_path / "b", 3, config=config, made_of=other)
    text = text_of(write_comparison([a, b]))
    assert "Their samples are not paired." in text and "both 0.625 0.875 0.250 0.250 0.750 0.500" in text


def test_digests_differ_in_words(tmp_path: Path):
    first = {"config_hash": "a" * 12, "base_fingerprint": "b" * 64, "threads": 1, "git": {"commit": "c" * 40, "clean": True}}
    second = {"config_hash": "d" * 12, "base_fingerprint": "e" * 64, "threads": 2, "git": {"commit": "f" * 40, "clean": True}}
    runs = [
        evaluated_run(tmp_path / digit, 1, made_of=made_of, config={"plugins": [f"mine.py@{digit * 64}"]})
        for digit, made_of in (("1", first), ("2", second))
    ]
    text = text_of(write_comparison(runs))
    assert not re.search("[0-9a-f]{12,}", text)
    assert "Not the same in all: the weights of the base model." in text and "Not the same in all: the code." in text
    assert "threads: 1 (A), 2 (B)." in text


def loose_runs(folder: Path) -> list[Path]:
    """Three of one configuration, one with another beta, and a LoRA."""
    beta = [{"seed": 1}, {"seed": 2}, {"seed": 3}, {"seed": 1, "beta": 0.5}]
    lora = {"routing": {"enabled": False}, "adapter": {"kind": "lora"}}
    return [evaluated_run(folder / f"r{i}", i % 3, config=config) for i, config in enumerate([*beta, lora])]


def test_a_folder_of_runs_is_compared_as_a_sweep_is(tmp_path: Path, capsys):
    loose_runs(tmp_path / "runs")
    assert run_door(capsys, tmp_path / "runs") == f"{tmp_path / 'runs' / 'report_compare.html'}\n"
    text = text_of(tmp_path / "runs" / "report_compare.html")
    assert "Comparison of 5 runs" in text
    assert "routed beta=0.01 3 of 3 0.625" in text and "routed beta=0.5 1 of 1" in text and "lora beta=0.01 1 of 1" in text
    assert "Settings that differ" in text and "A against B" not in text
    assert "configurations 3 seeds 1, 2, 3 varied beta (2)" in text


def test_any_number_of_runs_is_compared_each_once(tmp_path: Path, capsys):
    runs = loose_runs(tmp_path / "runs")
    assert run_door(capsys, *runs[:3], tmp_path / "runs", runs[0]) == f"{tmp_path / 'runs' / 'report_compare.html'}\n"
    assert "Comparison of 5 runs" in text_of(tmp_path / "runs" / "report_compare.html")
    run_door(capsys, *runs[:3], "--out", tmp_path / "three.html")
    text = text_of(tmp_path / "three.html")
    assert "Comparison of 3 runs" in text and "none but the seed" in text


def test_a_folder_of_one_run_has_its_page_and_one_of_two_compares_them(tmp_path: Path, capsys):
    runs = loose_runs(tmp_path / "runs")
    for run in runs[2:]:
        shutil.rmtree(run)
    run_door(capsys, tmp_path / "runs")
    assert "A against B" in text_of(tmp_path / "runs" / "report_compare.html")
    shutil.rmtree(runs[1])
    assert run_door(capsys, tmp_path / "runs") == f"{runs[0] / 'report.html'}\n"


def test_runs_of_sweeps_may_be_compared_with_others(sweep: Path, tmp_path: Path, capsys):
    run_door(capsys, sweep, evaluated_run(tmp_path / "x", 2), "--out", tmp_path / "out.html")
    assert "Comparison of 6 runs" in text_of(tmp_path / "out.html")


def test_damaged_samples_of_a_comparison_are_named(tmp_path: Path, capsys):
    a, b = two_runs(tmp_path)
    write_rows(b / "samples.jsonl", [{"step": 0, "prompt": "x"}])
    assert refusal(capsys, a, b) == f"{b / 'samples.jsonl'}:1: completion is null, not a text"
