"""What a run says: rows and log lines."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from configs.experiment import Experiment
from envs.types import Audit, Completion, Prompt, Scores
from grpo.loss import RatioFigures
from grpo.rollout import Rollout
from grpo.run import prepare
from grpo.step import StepRecord
from grpo.update import Iteration, Pass, Update
from records.folder import RunFolder, create
from records.rows import read_rows
from routing.router import route
from runs.progress import Display
from runs.reporting import Reporter, headline, speed, timing_row
from runs.samples import step_sample_rows
from tests.helpers import log_lines

PASS = Pass(
    loss=0.25,
    policy=0.125,
    kl=0.5,
    ratios=RatioFigures(5, clip_low=0.0, clip_high=0.0, ratio_mean=1.0, ratio_min=1.0, ratio_max=1.0),
    tokens=5,
    entropy_sum=10.0,
    logp_difference_sum=0.0,
    logp_difference_max=0.0,
    grad_norms={"retain": 0.5},
)
SCRIPT = "<script>alert(1)</script>"


def record(step: int = 0, text: str = "a\nhappy   cat", hacked: list[bool] | None = None) -> StepRecord:
    """One group of two: a finished completion of three tokens, and one cut at two."""
    prompts = [Prompt(11, 'said\n"no" &', (5, 6))] * 2
    mask = torch.tensor([[True, True, True], [True, True, False]])
    rollout = Rollout(
        ids=torch.full((2, 5), 9),
        prompt_lengths=torch.tensor([2, 2]),
        completion_ids=torch.full((2, 3), 9),
        mask=mask,
        logprobs=torch.zeros(2, 3),
        finished=torch.tensor([True, False]),
    )
    return StepRecord(
        step=step,
        prompts=prompts,
        completions=[
            Completion(text, (9, 9), ("x", "x"), prompts[0], True),
            Completion("the end", (9, 9), ("x", "x"), prompts[1], False),
        ],
        rollout=rollout,
        eligible=[True, True],
        scores=Scores([1.0, 0.25], {"task": [1.0, 0.0], "bonus": [0.0, 0.25]}, [True, False]),
        audit=Audit(hacked),
        routes=route(torch.tensor([False, True]), "classic"),
        trained_rewards=torch.tensor([1.0, 0.25], dtype=torch.float64),
        advantages=torch.tensor([0.5, -0.5], dtype=torch.float64),
        kl=0.125,
        update=Update(1e-3, (Iteration({"good": PASS}, {"retain": 0.5}, {}),)),
        seconds={"sampling": 1.5, "update": 1.0},
    )


def reporter(folder: Path, screen: io.StringIO, **settings: Any) -> Reporter:
    config = prepare(Experiment(num_generations=2, batch_size=2, **settings))
    return Reporter(RunFolder(folder), config, None, Display(Console(file=screen, width=40)))


def test_the_ledger_has_one_row_a_completion():
    rows = step_sample_rows(record(step=7, hacked=[False, True]))
    first = {
        "step": 7,
        "prompt_index": 11,
        "prompt": 'said\n"no" &',
        "completion": "a\nhappy   cat",
        "reward": 1.0,
        "components": {"task": 1.0, "bonus": 0.0},
        "eligible": True,
        "detected": True,
        "labelled": False,
        "routed": False,
        "hacked": False,
        "finished": True,
        "advantage": 0.5,
        "length": 3,
    }
    second = {"completion": "the end", "reward": 0.25, "components": {"task": 0.0, "bonus": 0.25}, "detected": False}
    second |= {"labelled": True, "routed": True, "hacked": True, "finished": False, "advantage": -0.5, "length": 2}
    assert rows == [first, first | second]
    assert [row["hacked"] for row in step_sample_rows(record())] == [None, None]


def test_timing_is_by_phase_and_by_token_sampled():
    # 5 tokens in 2.5 seconds
    expected = {"step": 3, "step_time": 2.5, "tokens_per_second": 2.0, "seconds/sampling": 1.5, "seconds/update": 1.0}
    assert timing_row(record(step=3)) == expected


def test_the_headline_shows_a_dash_for_what_could_not_be_computed():
    assert headline({"reward": 0.5, "kl": 0.01234, "routing/hacked": None}) == "reward 0.500  kl 0.0123  hacked –"
    assert headline({"reward": 0.5, "kl": None, "routing/hacked": 0.25}) == "reward 0.500  kl –  hacked 0.250"
    assert speed({"tokens_per_second": 1234.5}) == "1234 tok/s"


def test_metrics_and_timing_have_every_step_and_samples_the_logged_ones(tmp_path: Path):
    told = reporter(tmp_path, io.StringIO(), logging_steps=2, max_steps=6)
    for step in range(6):
        told.step(record(step))
    assert [row["step"] for row in read_rows(tmp_path, "metrics.jsonl")] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in read_rows(tmp_path, "timing.jsonl")] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in read_rows(tmp_path, "samples.jsonl")] == [0, 0, 2, 2, 4, 4, 5, 5]
    # 4 prompt tokens and 5 completion tokens a step
    assert [row["num_tokens"] for row in told.metrics] == [9, 18, 27, 36, 45, 54]
    assert read_rows(tmp_path, "metrics.jsonl") == told.metrics


def test_on_request_the_samples_have_every_step(tmp_path: Path):
    told = reporter(tmp_path, io.StringIO(), logging_steps=2, max_steps=4, log_all_samples=True)
    for step in range(4):
        told.step(record(step))
    assert [row["step"] for row in read_rows(tmp_path, "samples.jsonl")] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (tmp_path / "train.log").read_text().count("[Sample @") == 3


def test_no_wall_clock_figure_stands_in_metrics_samples_or_log(tmp_path: Path):
    written = []
    for name, seconds in (("one", {"sampling": 1.5, "update": 1.0}), ("two", {"sampling": 9.0, "update": 9.0})):
        folder = create(tmp_path / name, {}, {}, overwrite=False).path
        reporter(folder, io.StringIO()).step(replace(record(), seconds=seconds))
        written.append([(folder / file).read_bytes() for file in ("metrics.jsonl", "samples.jsonl", "timing.jsonl")])
        written[-1].insert(0, log_lines(folder))
    assert written[0][:3] == written[1][:3]
    assert written[0][3] != written[1][3]


def test_a_sample_is_one_line_that_grep_finds(tmp_path: Path):
    screen = io.StringIO()
    reporter(tmp_path, screen).step(record(step=30))
    lines = log_lines(tmp_path)
    assert lines == [
        "step 30: reward 0.625  kl 0.1250  hacked –",
        '[Sample @ 30] reward 1.000 | said "no" & >> a happy cat',
    ]
    assert screen.getvalue() == lines[0] + "  2 tok/s\n"


def test_what_is_said_is_on_the_screen_and_in_the_log_unchanged(tmp_path: Path):
    screen = io.StringIO()
    text = "[red]no markup[/red] " + "and no line broken at the screen's width " * 3
    reporter(tmp_path, screen).say(text)
    assert screen.getvalue() == text + "\n"
    assert log_lines(tmp_path) == [text]
