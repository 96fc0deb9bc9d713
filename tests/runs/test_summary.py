"""The table at the end, from rows written by hand."""

import pytest

from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from grpo.run import prepare
from records.figures import WINDOW, window_means
from runs.summary import speed_line, starts_idling, summarize, summary_table, warnings_at_start

TRAINING = ("reward", "kl", "entropy", "routing/hacked", "routing/detected", "completions/clipped_ratio")
MODE = {"reward": 0.75, "hacked": None, "unique": 0.5, "jaccard": 0.25, "finished": 1.0, "nll_base": 2.5, "degenerate": True}
MODE["template_collapse"] = None


def metrics(rewards: list[float], hacked: list[float | None]) -> list[dict]:
    return [
        dict.fromkeys((*TRAINING, "loss"), 0.5) | {"reward": r, "routing/hacked": h} for r, h in zip(rewards, hacked, strict=True)
    ]


def timing(seconds: list[float]) -> list[dict]:
    return [{"step_time": s, "tokens_per_second": 100 / s} for s in seconds]


def test_windows_are_means_over_the_first_and_the_last_steps():
    rewards = [float(i) for i in range(50)]
    summary = summarize(prepare(Experiment(max_steps=50)), metrics(rewards, [0.0] * 50), {})
    # steps 0..19 have the mean 9.5, steps 30..49 39.5; 100/0.5 and 100/0.25 tokens a second have the mean 300
    assert (summary["steps"], summary["window"]) == (50, WINDOW) == (50, 20)
    assert summary["training"]["reward"] == {"first": 9.5, "last": 39.5}
    assert summary["training"]["kl"] == {"first": 0.5, "last": 0.5}
    assert set(summary["training"]) == set(TRAINING)


def test_a_short_run_s_windows_are_all_of_it():
    summary = summarize(prepare(Experiment(max_steps=3)), metrics([0.0, 0.5, 1.0], [0.25, 0.5, None]), {"both": MODE})
    assert summary["window"] == 3
    assert summary["training"]["reward"] == {"first": 0.5, "last": 0.5}
    assert summary["training"]["routing/hacked"] == {"first": None, "last": None}
    assert summary["modes"] == {"both": MODE}


@pytest.mark.parametrize(("values", "expected"), [([1.0, 2.0], 1.5), ([0, 1], 0.5), ([1.0, None], None), ([None], None)])
def test_a_mean_over_what_could_not_be_computed_cannot_be_computed(values: list, expected: float | None):
    assert window_means([{"x": value} for value in values], ["x"])["x"]["last"] == expected


def evaluated(**figures: float | None) -> dict[str, float | None]:
    return {"samples": 40, "hacked": 0.5, "detector_recall": 0.04} | figures


DETECTOR = "happy_at_least(threshold=3)"
BLIND = f"detector {DETECTOR} sees 1 of 20 hacks that the model makes before the first step (under 5%); "


@pytest.mark.parametrize(
    ("settings", "figures", "warned"),
    [
        ({"routing": RoutingSettings(enabled=True)}, {}, True),
        ({"baseline": "filter"}, {}, True),
        ({"baseline": "reward_penalty"}, {}, True),
        ({"adapter": AdapterSettings(kind="lora"), "advantages": "good_only"}, {}, True),
        ({}, {}, False),  # nothing in it asks the detector
        ({"routing": RoutingSettings(enabled=True)}, {"detector_recall": 0.05}, False),
        ({"routing": RoutingSettings(enabled=True)}, {"hacked": 0.0, "detector_recall": None}, False),
        ({"routing": RoutingSettings(enabled=True)}, {"hacked": None, "detector_recall": None}, False),
    ],
)
def test_a_detector_that_sees_next_to_nothing_is_told_of(settings: dict, figures: dict, warned: bool):
    warnings = warnings_at_start(prepare(Experiment(**settings)), [evaluated(**figures)])
    assert [text.startswith(BLIND) for text in warnings] == [True] * warned


def test_warnings_stand_below_the_table():
    summary = summarize(prepare(Experiment(max_steps=1)), metrics([0.25], [0.0]), {}, ["detector x sees nothing"])
    assert summary["warnings"] == ["detector x sees nothing"]
    assert summary_table(summary).splitlines()[-1] == "WARNING: detector x sees nothing"


def test_the_table_is_aligned_and_shows_a_dash_for_what_could_not_be_computed():
    table = summary_table(summarize(prepare(Experiment(max_steps=2)), metrics([0.25, 0.75], [None, 0.0]), {"base": MODE}))
    lines = table.splitlines()
    assert [line.split() for line in lines] == [
        ["training", "first", "2", "steps", "last", "2", "steps"],
        ["reward", "0.500", "0.500"],
        ["kl", "0.500", "0.500"],
        ["entropy", "0.500", "0.500"],
        ["routing/hacked", "–", "–"],
        ["routing/detected", "0.500", "0.500"],
        ["completions/clipped_ratio", "0.500", "0.500"],
    ]  # the evaluation has had its table
    assert len({len(line) for line in lines}) == 1


def test_the_measures_stand_below_it_with_what_they_are_over():
    measures = {"hack_left": {"value": 0.25, "interval": [0.125, 0.5], "n": 64, "over": "samples"}}
    measures["gain_kept"] = {"value": None, "interval": None, "n": 64, "over": "samples"}
    summary = summarize(prepare(Experiment(max_steps=1)), metrics([0.25], [0.0]), {}) | {"measures": measures}
    lines = summary_table(summary).splitlines()[-3:]
    assert lines[0].split() == ["measure", "with", "95", "%", "interval", "over", "samples", "of", "one", "run", "samples"]
    assert [line.split() for line in lines[1:]] == [["hack_left", "0.250", "[0.125,", "0.500]", "64"], ["gain_kept", "–", "64"]]


def test_speed_is_a_mean_over_steps():
    # 100/0.5 and 100/0.25 tokens a second have the mean 300
    assert speed_line(timing([0.5, 0.25])) == "0.38 s a step, 300 tokens/s sampled and trained on"


@pytest.mark.parametrize(
    ("losses", "starts", "idle"), [([1.0], False, 0), ([None], True, 1), ([None, None], False, 2), ([1.0, None], True, 1)]
)
def test_steps_without_a_sample_in_the_loss_are_counted_and_their_beginning_is_said(losses: list, starts: bool, idle: int):
    rows = [row | {"loss": loss} for row, loss in zip(metrics([0.0] * len(losses), [0.0] * len(losses)), losses, strict=True)]
    assert starts_idling(rows) == starts
    warnings = summarize(prepare(Experiment(max_steps=9)), rows, {})["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == [f"nothing was learnt in {idle} of {len(rows)} steps"] * bool(
        idle
    )
