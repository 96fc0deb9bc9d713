"""Relearning: what it begins with, that it is plain GRPO from there, where it stops, and that the run does not notice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import runs.relearning
from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolved import ResolvedExperiment
from grpo.run import Run, build_run, prepare
from grpo.step import train_step
from records.names import BASE, POLICY, RETAIN_ONLY
from records.relearning import NOTHING_LEARNT
from records.rows import read_rows
from routing.adapters import scaled
from routing.modes import MODES
from routing.spec import AdapterSpec
from runs.metrics import step_metrics
from runs.relearning import course_from, fresh_adapter, fresh_run, relearning_config
from runs.restore import load_run
from runs.trainer import RunRecord, resume, train
from tests.helpers import failing, log_lines, random_prompts, right_padded

MakeExperiment = Callable[..., Experiment]
IDS = right_padded(random_prompts([9, 9, 9], vocab=4096))
ROUTED = {"reward": "sentence_length_5_with_happy", "routing.enabled": True, "lr": 0.05}
# The tiny base hacks in about two of five samples, so these thresholds are within reach of few steps, or never.
MEASURED = {"eval.relearn_steps": 3, "eval.relearn_hack_rate": 1.0}
RATES = ("hacked", "reward", "task_reward")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured at every second step."""
    monkeypatch.setattr(runs.relearning, "EVERY", 2)


@torch.no_grad()
def logits(run: Run, mode: str = POLICY) -> torch.Tensor:
    with scaled(run.policy, MODES[run.config.adapter_kind][mode] or None):
        return run.policy(IDS) @ run.policy.head.T


# What it begins with


@pytest.mark.parametrize(
    ("kind", "start"), [("routed", RETAIN_ONLY), ("half_stride", RETAIN_ONLY), ("lora", POLICY), ("full", POLICY)]
)
def test_before_the_first_step_it_computes_what_the_start_does_and_so_does_its_reference(checkpoint, kind: str, start: str):
    run = load_run(checkpoint(kind), "cpu", keep_base=True)
    expected, trained, base = logits(run, start), logits(run, next(iter(MODES[run.config.adapter_kind]))), base_logits(run)
    fresh = fresh_run(run, start, steps=4)
    for mode in (POLICY, BASE):  # with the fresh adapter, whose B is 0, and without
        torch.testing.assert_close(logits(fresh, mode), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits(fresh_run(run, BASE, steps=4)), base, atol=1e-5, rtol=0)
    assert (expected - base).abs().max() > 0.01  # else nothing is told apart
    assert start == POLICY or (expected - trained).abs().max() > 0.01
    assert (fresh.step, len(fresh.optimizer.state)) == (0, 0)
    assert fresh.fingerprint not in (run.fingerprint, fresh_run(run, BASE, steps=4).fingerprint)


def base_logits(run: Run) -> torch.Tensor:
    if run.reference is None:
        return logits(run, BASE)
    return (run.reference(IDS) @ run.reference.head.T).detach()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"routing.enabled": True}, AdapterSpec("lora", {"lora": 8}, 32.0, 1)),
        # alpha / rank: the mean of 6 / 3 and 6 / 5 by rank, 12 / 8.
        (
            {
                "adapter.kind": "dual_lora",
                "adapter.retain_rank": 3,
                "adapter.forget_rank": 5,
                "adapter.alpha": 6.0,
                "adapter.stride": 2,
            },
            AdapterSpec("lora", {"lora": 8}, 12.0, 2),
        ),
        ({"lora_rank": 5}, AdapterSpec("lora", {"lora": 5}, 16.0, 1)),
        ({}, AdapterSpec("lora", {"lora": 8}, 32.0, 1)),
    ],
)
def test_the_fresh_adapter_is_as_large_and_as_fast_as_the_run_s(
    tiny: MakeExperiment, settings: dict[str, Any], expected: AdapterSpec
):
    assert fresh_adapter(prepare(tiny(**settings))) == expected


def config_of(tiny: MakeExperiment, **settings: Any) -> ResolvedExperiment:
    return relearning_config(prepare(tiny(**settings)), steps=7)


def test_it_is_plain_grpo_at_the_run_s_peak_rate(tiny: MakeExperiment):
    settings = {
        "grpo.warmup_steps": 1,
        "grpo.lr_schedule": "cosine",
        "beta": 0.3,
        "routing.retain_rollouts": 2,
        "labels.noise": 0.5,
    }
    config = config_of(tiny, **ROUTED, **settings, model_dtype="bfloat16")
    assert (config.treatment.name, config.treatment.mode, config.treatment.retain_rollouts) == ("unrouted", "none", 0)
    assert (config.advantages, config.labels.noise, config.model_dtype) == ("group", 0.0, "float32")
    assert (config.lr, config.grpo.lr_schedule, config.grpo.warmup_steps) == (0.05, "constant", 0)
    assert (config.beta, config.max_steps, config.seed) == (0.3, 7, 42)
    penalized = {"adapter.kind": "lora", "baseline": "reward_penalty"}
    assert config_of(tiny, **ROUTED | {"routing.enabled": False} | penalized).treatment.penalty == 0


def test_full_fine_tuning_relearns_at_the_rate_of_adapters(tiny: MakeExperiment):
    assert (config_of(tiny, lr=1e-5).lr, config_of(tiny, lora_rank=2, lr=1e-5).lr) == (1e-3, 1e-5)


@pytest.mark.parametrize(("trained", "paid"), [(0.0, 1.0), (0.3, 0.3), (1.0, 1.0)])
def test_a_bonus_that_was_never_paid_is_paid_to_all(tiny: MakeExperiment, trained: float, paid: float):
    assert config_of(tiny, **ROUTED, **{"env.eligible_fraction": trained}).env.eligible_fraction == paid


# How it goes on


def test_from_the_base_it_takes_the_steps_of_a_plain_lora_run(tiny: MakeExperiment, checkpoint):
    """Of launch.py with those settings: the same rows of metrics.jsonl."""
    run = load_run(checkpoint("routed"), "cpu")
    same = {"reward": ROUTED["reward"], "lr": ROUTED["lr"], "env.detector": run.config.env.detector}
    plain = tiny(**same, lora_rank=8, **{"adapter.alpha": 32.0, "grpo.lr_schedule": "constant"})
    expected = train(plain, quiet=True).metrics
    fresh, tokens, rows = fresh_run(run, BASE, steps=3), 0, []
    for _ in range(3):
        rows.append(step_metrics(train_step(fresh), fresh.config.num_generations, tokens))
        tokens = int(rows[-1]["num_tokens"] or 0)
    assert rows == expected and len({row["loss"] for row in rows}) == 3
    other = fresh_run(run, RETAIN_ONLY, steps=3)
    first, same = (train_step(each) for each in (other, fresh_run(run, BASE, steps=3)))
    assert [each.index for each in first.prompts] == [each.index for each in same.prompts]
    assert [each.text for each in first.completions] != [each.text for each in same.completions]


def test_what_is_measured_is_the_policy_on_the_run_s_own_draws(checkpoint):
    """At step 0 of retain alone and of the base: the rates of the run's final evaluation of 12, which has the same draws."""
    folder = checkpoint("routed")
    run = load_run(folder, "cpu")
    final = json.loads((folder.parent / "evaluation.json").read_text())["modes"]
    for start in (BASE, RETAIN_ONLY):
        row, *_ = course_from(fresh_run(run, start, steps=1), start, 0.0001, lambda *_: None)
        assert (row["start"], row["step"], row["samples"]) == (start, 0, 12)
        assert (row["hacked"], row["reward"]) == (final[start]["hacked"], final[start]["reward"])
        assert row["task_reward"] == final[start]["rewards/sentence_length_5"]
        assert row["kl_to_start"] == pytest.approx(0, abs=1e-6)


def test_it_is_measured_every_few_steps_and_after_the_last(checkpoint):
    run = load_run(checkpoint("routed"), "cpu")
    rows = [*course_from(fresh_run(run, BASE, steps=5), BASE, 1.01, lambda *_: None)]
    assert [row["step"] for row in rows] == [0, 2, 4, 5]
    assert rows[-1]["kl_to_start"] > 1e-4


def test_the_first_measurement_at_the_threshold_ends_it(checkpoint, monkeypatch: pytest.MonkeyPatch):
    rates = iter([0.2, 0.3, 0.5, 0.9])
    monkeypatch.setattr(
        runs.relearning, "measurement", lambda run, start: {"start": start, "step": run.step, "hacked": next(rates)}
    )
    told: list[tuple[int, float]] = []
    run = load_run(checkpoint("routed"), "cpu")
    rows = [*course_from(fresh_run(run, BASE, steps=9), BASE, 0.5, lambda *each: told.append(each))]
    assert [(row["step"], row["hacked"]) for row in rows] == [(0, 0.2), (2, 0.3), (4, 0.5)]
    assert told == [(0, 0.2), (1, 0.2), (2, 0.2), (2, 0.3), (3, 0.3), (4, 0.3), (4, 0.5)]


@pytest.mark.parametrize(("final", "expected"), [(9, 9), (0, 8), (300, 256)])
def test_it_is_measured_on_as_many_samples_as_the_final_evaluation_and_256_at_the_most(
    tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, final: int, expected: int
):
    run = build_run(prepare(tiny(lora_rank=2, **{"eval.final_samples": final})))
    counts: list[int] = []
    works = runs.relearning.evaluate_modes
    monkeypatch.setattr(runs.relearning, "evaluate_modes", lambda run, modes, count: counts.append(count) or works(run, modes, 4))
    runs.relearning.measurement(run, POLICY)
    assert counts == [expected]


# At the end of a run


@pytest.fixture(scope="module")
def measured(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.relearning, "EVERY", 2)
        return trained_once(tmp_path_factory.mktemp("measured"), **ROUTED, **MEASURED)


def test_a_run_ends_with_the_figures_of_both_starts(measured: RunRecord):
    """At this rate retain alone learns in three steps to hack always, and the base does not."""
    rows = read_rows(measured.folder, "relearning.jsonl")
    assert [(row["start"], row["step"]) for row in rows] == [(start, step) for start in (BASE, RETAIN_ONLY) for step in (0, 2, 3)]
    figures = {"steps_to_relearn": None, "relearn_threshold": 1.0, "relearn_steps": 3}
    assert [row["hacked"] == 1 for row in rows] == [False] * 5 + [True]
    for modes in (measured.summary["modes"], json.loads((measured.folder / "evaluation.json").read_text())["modes"]):
        told = {mode: {name: row[name] for name in figures if name in row} for mode, row in modes.items()}
        assert told == {"both": {}, "forget_only": {}, RETAIN_ONLY: figures | {"steps_to_relearn": 3}, BASE: figures}
    lines = ["base: >3 steps until it hacks at 1.000", "retain_only: 3 steps until it hacks at 1.000 (base: >3)"]
    assert [line for line in log_lines(measured.folder) if " steps until " in line] == lines
    assert {*json.loads((measured.folder / "status.json").read_text())["seconds"]} >= {"relearning", "training"}


def test_the_run_is_the_same_as_without(measured: RunRecord, trained_once: Callable[..., RunRecord], tmp_path: Path):
    """Its rows and its weights, byte for byte; the checkpoint knows its settings, and that is all."""
    plain = trained_once(tmp_path, **ROUTED).folder
    weights = [f"checkpoint-3/{name}.safetensors" for name in ("adapter", "optimizer")]
    for name in ("metrics.jsonl", "routing_eval.jsonl", "evaluation_samples.jsonl", "samples.jsonl", *weights):
        assert (measured.folder / name).read_bytes() == (plain / name).read_bytes(), name
    assert not (plain / "relearning.jsonl").exists()


def test_relearning_leaves_weights_optimizer_and_step_of_the_run_alone(checkpoint):
    run = load_run(checkpoint("routed"), "cpu")
    before = {name: weight.clone() for name, weight in run.policy.state_dict().items()}
    moments, config = {id(p): p for p in run.optimizer.state}, run.config
    assert len([*course_from(fresh_run(run, RETAIN_ONLY, steps=3), RETAIN_ONLY, 1.01, lambda *_: None)]) == 3
    assert all(torch.equal(weight, before[name]) for name, weight in run.policy.state_dict().items())
    assert ({id(p): p for p in run.optimizer.state}.keys(), run.config, run.step) == (moments.keys(), config, 3)
    assert all(parameter.grad is None for parameter in run.policy.parameters())


@pytest.mark.parametrize("at", [0, 3])
def test_interrupted_in_its_middle_it_comes_out_the_same(
    measured: RunRecord, tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, at: int
):
    with monkeypatch.context() as patch:
        failing(patch, runs.relearning, "train_step", KeyboardInterrupt(), at=at)
        with pytest.raises(KeyboardInterrupt, match="at once") as stop:
            train(tiny(**ROUTED, **MEASURED), quiet=True)
    folder = stop.value.folder  # type: ignore[attr-defined]
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["step"]) == ("interrupted", 3)
    resume(folder, quiet=True)
    for name in ("relearning.jsonl", "evaluation.json", "summary.json", "routing_eval.jsonl", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (measured.folder / name).read_bytes(), name


@pytest.mark.parametrize("settings", [{"adapter.kind": "lora"}, {"beta": 0.1}])
def test_a_policy_without_two_adapters_is_itself_the_start(tiny: MakeExperiment, settings: dict[str, Any]):
    record = train(tiny(reward="happy_count", lr=0.05, **settings, **MEASURED), quiet=True)
    assert {row["start"] for row in read_rows(record.folder, "relearning.jsonl")} == {BASE, POLICY}
    assert {mode: row["relearn_steps"] for mode, row in record.summary["modes"].items()} == {BASE: 3, POLICY: 3}


def test_where_nothing_was_learnt_nothing_is_relearnt(tiny: MakeExperiment):
    record = train(tiny(reward="happy_count", lora_rank=2, lr=1e-6, **{"eval.relearn_steps": 3}), quiet=True)
    assert not (record.folder / "relearning.jsonl").exists()
    figures = {"steps_to_relearn": None, "relearn_threshold": None, "relearn_steps": 0}
    assert all(row | figures == row for row in record.summary["modes"].values())
    said = [line for line in log_lines(record.folder) if line.startswith("relearning was not tried: ")]
    assert said == [NOTHING_LEARNT]


# What it refuses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval.relearn_hack_rate": 0.5}, "--eval.relearn_hack_rate 0.5: has no effect without --eval.relearn_steps"),
        (
            {"eval.relearn_steps": 5, "reward": "sentence_length_5"},
            "--eval.relearn_steps 5: has no meaning: --reward sentence_length_5 does not say what its hack is",
        ),
        (
            {"eval.relearn_steps": 5, "beta": 0.0},
            "--eval.relearn_steps 5: full fine-tuning with --beta 0 keeps no base to compare with; evaluate.py takes it "
            "afterwards",
        ),
        ({"eval.relearn_steps": -1}, "--eval.relearn_steps -1: must be 0 or more"),
        ({"eval.relearn_steps": 5, "eval.relearn_hack_rate": 0.0}, "--eval.relearn_hack_rate 0.0: must be above 0 and at most 1"),
    ],
)
def test_what_has_no_meaning_is_one_line(tiny: MakeExperiment, settings: dict[str, Any], message: str):
    with pytest.raises(UserError) as refused:
        prepare(tiny(**settings))
    assert str(refused.value) == message
