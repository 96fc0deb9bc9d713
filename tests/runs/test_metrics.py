"""The row of a step, number by number, from a step written by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from envs.types import Audit, Completion, Prompt, Scores
from grpo.loss import RatioFigures
from grpo.rollout import Rollout
from grpo.step import StepRecord
from grpo.update import Iteration, Pass, Update
from records.figures import mean, share, std, where
from routing.router import route
from runs.metrics import correlation, step_metrics, update_metrics

ON_POLICY = RatioFigures(3, clip_low=0.0, clip_high=0.0, ratio_mean=1.0, ratio_min=1.0, ratio_max=1.0)
# Two optimizer steps, each of a good pass of 6 tokens and a bad one of 3; in the last, 1 good and 3 bad tokens are in the loss.
SAMPLING = Iteration(
    passes={
        "good": Pass(9.0, 9.0, 9.0, ON_POLICY, 6, 12.0, 0.5, 0.25, {"retain": 9.0, "forget": 9.0}),
        "bad": Pass(9.0, 9.0, 9.0, ON_POLICY, 3, 7.5, 0.25, 0.125, {"retain": 9.0, "forget": 9.0}),
    },
    grad_norms={"retain": 9.0, "forget": 9.0},
    grad_cosines={"retain": 9.0, "forget": 9.0},
)
LAST = Iteration(
    passes={
        "good": Pass(
            0.5, 0.25, 0.375, RatioFigures(1, 1.0, 0.0, 0.5, 0.5, 0.5), 6, 99.0, 99.0, 99.0, {"retain": 1.0, "forget": 2.0}
        ),
        "bad": Pass(
            -0.25, 0.5, -0.25, RatioFigures(3, 0.0, 1 / 3, 1.5, 1.0, 2.0), 3, 99.0, 99.0, 99.0, {"retain": 0.0, "forget": 3.0}
        ),
    },
    grad_norms={"retain": 3.0, "forget": 4.0},
    grad_cosines={"retain": -0.5, "forget": None},
)
PROMPTS = [Prompt(3, "one", (5, 6)), Prompt(4, "two", (7, 8, 9))]


def record(**changes: Any) -> StepRecord:
    """Two groups of two. Lengths with EOS 2, 3, 1, 3; the last two samples of length 3 hit the limit."""
    rows = [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2
    lengths, finished = torch.tensor([2, 3, 1, 3]), torch.tensor([True, False, True, False])
    mask = torch.arange(3) < lengths[:, None]
    rollout = Rollout(
        ids=torch.ones(4, 6, dtype=torch.long),
        prompt_lengths=torch.tensor([2, 2, 3, 3]),
        completion_ids=torch.ones(4, 3, dtype=torch.long),
        mask=mask,
        logprobs=torch.zeros(4, 3),
        finished=finished,
    )
    completions = [
        Completion(f"text {i}", (5,) * (int(n) - int(done)), ("x",) * (int(n) - int(done)), prompt, bool(done))
        for i, (n, done, prompt) in enumerate(zip(lengths, finished, rows, strict=True))
    ]
    made = StepRecord(
        step=7,
        prompts=rows,
        completions=completions,
        rollout=rollout,
        eligible=[True, True, True, False],
        scores=Scores([1.0, 0.0, 0.5, 0.5], {"happy": [1.0, 0.0, 0.5, 0.5]}, [True, False, False, True]),
        audit=Audit([True, False, True, True]),
        routes=route(torch.tensor([True, False, False, False]), "classic"),
        trained_rewards=torch.tensor([0.25, 0.25, 0.5, 0.0], dtype=torch.float64),
        advantages=torch.tensor([1.0, -1.0, 0.0, 4.0], dtype=torch.float64),
        kl=0.0625,
        update=Update(1e-3, (SAMPLING, LAST)),
        seconds={"sampling": 1.0},
    )
    return replace(made, **changes)


ROW = {
    "step": 7,
    "num_tokens": 100 + 10 + 9,  # before, of prompts 2+2+3+3, of completions 2+3+1+3
    "entropy": 19.5 / 9,  # over the tokens sampled, under the policy that sampled them
    "sampling/sampling_logp_difference/mean": 0.75 / 9,
    "sampling/sampling_logp_difference/max": 0.25,
    "loss": 0.25,
    "loss/policy": 0.75,
    "loss/kl": 0.125,
    "clip_ratio/low_mean": 1 / 4,  # the good token
    "clip_ratio/high_mean": 1 / 4,  # one of the bad ones
    "clip_ratio/region_mean": 2 / 4,
    "ratio/mean": (0.5 + 3 * 1.5) / 4,
    "ratio/min": 0.5,
    "ratio/max": 2.0,
    "grad_norm/good/retain": 1.0,
    "grad_norm/good/forget": 2.0,
    "grad_norm/bad/retain": 0.0,
    "grad_norm/bad/forget": 3.0,
    "grad_norm": 5.0,  # (9 + 16)^(1/2)
    "grad_norm/retain": 3.0,
    "grad_norm/forget": 4.0,
    "grad_cosine/retain": -0.5,
    "grad_cosine/forget": None,
    "learning_rate": 1e-3,
    "kl": 0.0625,
    "reward": 2 / 4,
    "reward_std": 0.5**0.5 / 2,  # of the groups' (1, 0) and (0.5, 0.5), Bessel-corrected
    "frac_reward_zero_std": 1 / 2,
    "trained_reward": 1 / 4,
    "trained_reward_std": (2 * 0.25**2) ** 0.5 / 2,  # (0.25, 0.25) and (0.5, 0)
    "frac_trained_reward_zero_std": 1 / 2,
    "rewards/happy/mean": 2 / 4,
    "rewards/happy/std": (2 * 0.5**2 / 3) ** 0.5,  # 1, 0, 0.5, 0.5 around 0.5, Bessel-corrected
    "rewards/happy/within_group_variance": (2 * 0.5**2 / 1 + 0.0) / 2,  # 1, 0 around 0.5; 0.5, 0.5
    "completions/mean_length": 9 / 4,
    "completions/min_length": 1,
    "completions/max_length": 3,
    "completions/clipped_ratio": 2 / 4,
    "completions/mean_terminated_length": 3 / 2,  # 2 and 1
    "completions/min_terminated_length": 1,
    "completions/max_terminated_length": 2,
    "routing/eligible": 3 / 4,
    "routing/detected": 2 / 4,
    "routing/labelled": 1 / 4,
    "routing/routed": 1 / 4,
    "routing/hacked": 3 / 4,
    "routing/hacked_given_undetected": 1 / 2,  # of rows 1 and 2 the latter
    "routing/hacked_and_undetected": 1 / 4,
    "advantage/good": (-1 + 0 + 4) / 3,
    "advantage/bad": 1.0,
    "advantage/retain_rollout": None,
    # advantages 1 -1 0 4 (mean 1), hacks 1 0 1 1 (mean 3/4): covariance 0 + (-2)(-3/4) + (-1)/4 + 3/4 = 2;
    # squares 0 + 4 + 1 + 9 = 14 and 3/16 + 9/16 = 3/4
    "advantage/hack_correlation": 2 / (14 * 0.75) ** 0.5,
    "detector/precision": 2 / 2,
    "detector/recall": 2 / 3,
}


def test_every_number_of_a_step():
    row = step_metrics(record(), group_size=2, tokens_before=100)
    assert {name: row.get(name) for name in ROW} == pytest.approx(ROW, abs=1e-15)
    assert list(row) == list(ROW)


def test_an_update_of_no_sample_has_no_figures_but_its_rate():
    figures = update_metrics(Update(1e-3, ()))
    assert figures.pop("learning_rate") == 1e-3
    assert set(figures.values()) == {None}
    by_adapter = ("grad_norm/", "grad_cosine/")
    of_every_run = {name for name in update_metrics(Update(1e-3, (SAMPLING, LAST))) if not name.startswith(by_adapter)}
    assert {*figures, "learning_rate"} == of_every_run


def test_retain_rollouts_have_an_advantage_of_their_own():
    """Of the last two samples, which are retain rollouts, the bad one is dropped: a class has those that are learnt from."""
    routes = route(torch.tensor([False, False, True, False]), "classic", torch.tensor([False, False, True, True]))
    row = step_metrics(record(routes=routes), 2, 0)
    names = ("advantage/good", "advantage/bad", "advantage/retain_rollout")
    assert [row[name] for name in names] == [pytest.approx((1 - 1 + 4) / 3), 0.0, 4.0]


def test_the_kl_of_the_loss_is_none_without_a_reference():
    alone = replace(LAST, passes={"good": replace(LAST.passes["good"], kl=None)})
    assert update_metrics(Update(1e-3, (alone,)))["loss/kl"] is None


def test_hacks_of_a_reward_without_a_predicate_are_none():
    row = step_metrics(record(audit=Audit(None)), 2, 0)
    undetected = ("routing/hacked_given_undetected", "routing/hacked_and_undetected")
    assert {row[name] for name in ("routing/hacked", *undetected, "advantage/hack_correlation")} == {None}
    assert row.get("detector/precision") is row.get("detector/recall") is None
    assert row["routing/detected"] == 0.5


def with_flags(detected: bool, hacked: bool) -> StepRecord:
    scores = Scores([1.0, 0.0, 0.5, 0.5], {"happy": [1.0, 0.0, 0.5, 0.5]}, [detected] * 4)
    return record(scores=scores, audit=Audit([hacked] * 4), routes=route(torch.tensor([detected] * 4), "classic"))


@pytest.mark.parametrize(
    ("detected", "hacked", "expected"),
    [
        (False, False, {"detector/precision": None, "detector/recall": None, "routing/hacked_given_undetected": 0.0}),
        (False, True, {"detector/precision": None, "detector/recall": 0.0, "routing/hacked_and_undetected": 1.0}),
        (True, False, {"detector/precision": 0.0, "detector/recall": None, "routing/hacked_given_undetected": None}),
        (True, True, {"detector/precision": 1.0, "detector/recall": 1.0, "routing/hacked_and_undetected": 0.0}),
        (False, False, {"advantage/good": 1.0, "advantage/bad": None, "advantage/hack_correlation": None}),
        (True, True, {"advantage/good": None, "advantage/bad": 1.0, "advantage/hack_correlation": None}),
    ],
)
def test_what_cannot_be_computed_is_none_and_never_zero(detected: bool, hacked: bool, expected: dict):
    row = step_metrics(with_flags(detected, hacked), 2, 0)
    assert {name: row[name] for name in expected} == expected


def test_lengths_of_terminated_completions_without_any_are_none():
    rollout = replace(record().rollout, finished=torch.tensor([False] * 4))
    row = step_metrics(record(rollout=rollout), 2, 0)
    names = [f"completions/{kind}_terminated_length" for kind in ("mean", "min", "max")]
    assert [row[name] for name in names] == [None] * 3
    assert row["completions/clipped_ratio"] == 1.0


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (mean, ([],), None),
        (mean, ([1, 2, 6],), 3.0),
        (std, ([4.0],), None),
        (std, ([1.0, 3.0],), 2**0.5),
        (share, ([],), None),
        (share, ([True, False, False, True],), 0.5),
        (where, ([1, 2, 3], [True, False, True]), [1, 3]),
        (where, ([1, 2, 3], [True, False, True], False), [2]),
        (correlation, ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 1.0),
        (correlation, ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0]), 0.0),
        (correlation, ([1.0, 2.0], [1.0, -5.0]), -1.0),
        (correlation, ([1.0, 1.0], [1.0, 2.0]), None),
        (correlation, ([1.0, 2.0], [0.0, 0.0]), None),
    ],
)
def test_small_statistics(function, arguments, expected):
    assert function(*arguments) == (expected if expected is None else pytest.approx(expected, abs=1e-15))


def test_flags_of_another_length_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        where([1, 2, 3], [True])
