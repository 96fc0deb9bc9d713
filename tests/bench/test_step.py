"""The figures of bench.step from steps made up by hand, and the phases of a step that is run; no time is compared."""

import pytest

from bench.step import Step, StepOptions, middle, report, run_steps
from configs.experiment import EnvironmentSettings, Experiment, RoutingSettings, SamplingSettings, WandbSettings


def step(seconds: float) -> Step:
    phases = {"prefill": 0.1 * seconds, "decode": 0.3 * seconds, "other": 0.6 * seconds}
    return Step(seconds, phases, tokens=100, flops=4_000_000_000)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [([3.0], [3]), ([1, 2, 3], [1, 2, 3]), ([50, 2, 1, 3], [2, 3]), ([9, 1, 8, 2, 7, 3, 6, 4, 5], [3, 4, 5, 6, 7])],
)
def test_the_slowest_and_the_fastest_quarter_are_left_out(seconds, kept):
    assert [each.seconds for each in middle([*map(step, seconds)])] == kept


def test_figures_by_hand():
    """Of 1, 2, 4 and 100 s the middle ones are kept: 6 s, 200 tokens, 8 GFLOP; a tenth and three tenths sampled them: 2.4 s."""
    figures = report([step(1), step(2), step(4), step(100)], peak=10e9, memory=3 * 2**30, machine="abacus")
    assert figures["steps"] == 4
    assert figures["steps_averaged"] == 2
    assert figures["step_ms"] == pytest.approx(3_000)
    assert figures["phases"]["decode"] == pytest.approx({"ms": 900, "percent": 30})
    assert sum(phase["ms"] for phase in figures["phases"].values()) == pytest.approx(3_000)
    assert figures["tokens_per_second"] == pytest.approx(200 / 6)
    assert figures["sampled_tokens_per_second"] == pytest.approx(200 / 2.4)
    assert figures["gflop_per_second"] == pytest.approx(8 / 6)
    assert figures["percent_of_peak"] == pytest.approx(100 * 8 / 6 / 10)
    assert figures["peak_memory_gib"] == 3


def test_a_phase_that_some_steps_lack_counts_as_nothing_there():
    without = Step(2.0, {"prefill": 1.0, "decode": 1.0}, 1, 1)
    with_bad = Step(4.0, {"prefill": 1.0, "decode": 1.0, "bad pass": 2.0}, 1, 1)
    assert report([without, with_bad], 1.0, 1, "")["phases"]["bad pass"] == {"ms": 1_000, "percent": pytest.approx(100 / 3)}


@pytest.mark.parametrize("beta", [0.02, 0.0])
def test_a_step_calls_every_phase(beta):
    """A function that PHASES names and the step does not reach raises MissedPhase."""
    experiment = Experiment(
        batch_size=4, num_generations=2, beta=beta, device="cpu", env=EnvironmentSettings(num_prompts=8, num_eval_prompts=2),
        routing=RoutingSettings(enabled=True), sampling=SamplingSettings(max_completion_length=4),
        wandb=WandbSettings("disabled"),
    )  # fmt: skip
    figures = run_steps(StepOptions(experiment, steps=1, warmup=0))
    expected = {"prefill", "decode", "scoring", "good pass", "optimizer", "logging", "other"}
    assert set(figures["phases"]) == expected | ({"reference"} if beta else set())
    assert 4 <= figures["tokens_a_step"] <= 16
    assert min(phase["ms"] for phase in figures["phases"].values()) > 0
