"""The base's completions that runs of a folder share: the same bytes whoever sampled them, and never another experiment's."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import runs.base_samples
import runs.evaluation
import runs.restore
from configs.errors import UserError
from configs.experiment import Experiment, SamplingSettings
from configs.sweep import Sweep, checked
from envs.prepare import folder_of
from grpo.rollout import Rollout
from grpo.run import Run, build_run, prepare
from records.names import BASE
from records.reader import read_sweep
from records.rows import read_object
from runs.base_samples import base_samples, code_digest, ingredients, key_of
from runs.evaluation import evaluate_modes, evaluation_samples, evaluation_uniforms, sample_mode
from runs.resume import run_to_resume
from runs.trainer import train
from sweeps.costs import recorded_costs, signature_of
from sweeps.plan import make_plan
from sweeps.plan_files import strangers, write_plan
from tests.helpers import only_run

MakeExperiment = Callable[..., Experiment]
ROUTED: dict[str, Any] = {"routing.enabled": True, "lr": 0.05, "eval_every": 2}
KINDS: dict[str, dict[str, Any]] = {"routed": ROUTED, "lora": {"adapter.kind": "lora"}, "full": {"adapter.kind": "none"}}
EVALUATIONS = ("routing_eval.jsonl", "evaluation.json", "evaluation_samples.jsonl", "summary.json")


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def kept(output: Path) -> list[Path]:
    return sorted((output / ".base_samples").glob("*.safetensors"))


def evaluations(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in EVALUATIONS}


def same_bits(one: Rollout, other: Rollout) -> bool:
    return all(torch.equal(value, getattr(other, name)) for name, value in vars(one).items())


def no_sampling(*_: Any) -> None:
    raise AssertionError("the base is sampled")


# What they depend on


def key(run: Run, count: int = 8) -> str:
    prompts, generations = evaluation_samples(run, count)
    return key_of(ingredients(run, prompts, evaluation_uniforms(run.config, prompts, generations)))


def sampling(name: str, value: Any) -> Callable[[Run, pytest.MonkeyPatch], object]:
    def change(run: Run, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(run, "config", replace(run.config, sampling=replace(run.config.sampling, **{name: value})))

    return change


def draws(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run, "config", replace(run.config, eval=replace(run.config.eval, seed=1)))


def prompts_changed(**change: Any) -> Callable[[Run, pytest.MonkeyPatch], object]:
    def apply(run: Run, patch: pytest.MonkeyPatch) -> None:
        first, *rest = run.environment.eval_prompts
        patch.setattr(run, "environment", replace(run.environment, eval_prompts=(replace(first, **change), *rest)))

    return apply


SAMPLING = {"temperature": 0.5, "max_completion_length": 11, "top_k": 3, "top_p": 0.5}
CHANGES: dict[str, Callable[[Run, pytest.MonkeyPatch], object]] = {
    "weights": lambda run, patch: patch.setattr(run, "fingerprint", "0"),
    "architecture": lambda run, patch: patch.setattr(run.policy, "config", replace(run.policy.config, rope_theta=3.0)),
    "dtype": lambda run, _: run.policy.double(),
    "tokens of a prompt": prompts_changed(token_ids=(7, 8, 9)),
    "draws of a prompt": prompts_changed(index=5),
    "draws": draws,
    **{f"sampling.{name}": sampling(name, value) for name, value in SAMPLING.items()},
    "rows at once": lambda _, patch: patch.setattr(runs.evaluation, "ROWS_AT_ONCE", 100),
    "code": lambda _, patch: patch.setattr(runs.base_samples, "CODE", "0"),
    "torch": lambda _, patch: patch.setattr(torch, "__version__", "0.0"),
    "threads": lambda _, patch: patch.setattr(torch, "get_num_threads", lambda: 77),
    "processor": lambda _, patch: patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS"),
    "device": lambda _, patch: patch.setattr(runs.restore, "device_name", lambda _: "an accelerator"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_key_is_another_for_whatever_makes_other_bits(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch, change: str):
    run = built(tiny(**ROUTED))
    before = key(run)
    assert key(run) == before
    CHANGES[change](run, monkeypatch)
    assert key(run) != before


def test_all_settings_of_sampling_and_the_number_of_samples_are_in_the_key(tiny: MakeExperiment):
    assert SAMPLING.keys() == {field.name for field in fields(SamplingSettings)}
    run = built(tiny(**ROUTED))
    assert len({key(run, count) for count in (7, 8, 9)}) == 3


def test_the_code_is_all_of_the_engine_s(tmp_path: Path):
    for package in ("grpo", "models", "routing", "runs", "envs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("x = 1\n")
    digests = [code_digest(tmp_path)]
    for package in ("grpo", "models", "routing", "runs"):
        (tmp_path / package / "a.py").write_text("x = 2\n")
        digests.append(code_digest(tmp_path))
    assert len({*digests}) == 5
    (tmp_path / "envs" / "a.py").write_text("x = 2\n")
    assert code_digest(tmp_path) == digests[-1]


def test_runs_that_differ_in_what_is_trained_or_scored_share_them(tiny: MakeExperiment):
    """Of every kind of adapter the base is the same model to the last bit."""
    settings = [*KINDS.values(), {"seed": 7, "reward": "sentence_length_5", "beta": 0.1, "env.eligible_fraction": 1.0, "lr": 0.1}]
    shared = [built(tiny(**setting)) for setting in settings]
    assert len({key(run) for run in shared}) == 1
    rollouts = []
    for run in shared:
        prompts, generations = evaluation_samples(run, 12)
        rollouts.append(sample_mode(run, BASE, prompts, evaluation_uniforms(run.config, prompts, generations)))
    assert all(same_bits(rollouts[0], other) for other in rollouts[1:])


# One run and another


def test_an_evaluation_is_the_same_bytes_with_samples_found_and_without(
    tiny: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cold = train(tiny(**ROUTED, output_dir=tmp_path / "cold"), quiet=True).folder
    train(tiny(output_dir=tmp_path / "warm", seed=7, reward="happy_count"), quiet=True)
    assert [file.name for file in kept(tmp_path / "cold")] == [file.name for file in kept(tmp_path / "warm")]
    sizes = sorted(len(load_file(file)["finished"]) for file in kept(tmp_path / "warm"))
    assert sizes == [4, 8]  # the further ones of the evaluation at the end, and those of evaluations during training
    monkeypatch.setattr(runs.base_samples, "sample_mode", no_sampling)
    warm = train(tiny(**ROUTED, output_dir=tmp_path / "warm"), quiet=True).folder
    assert evaluations(warm) == evaluations(cold)


def test_they_are_what_the_base_says(tiny: MakeExperiment):
    run = built(tiny(**ROUTED))
    for count in (5, 8, 12):
        kept_ones = evaluate_modes(run, [BASE], count, sampled=base_samples(run, count))[BASE]
        anew = evaluate_modes(run, [BASE], count)[BASE]
        assert kept_ones.completions == anew.completions
        assert kept_ones.metrics == pytest.approx(anew.metrics, abs=1e-5)


def test_without_the_base_s_weights_there_are_none(tiny: MakeExperiment):
    run = built(tiny(beta=0.0))
    assert base_samples(run, 8) == {}
    assert kept(run.config.output_dir) == []


def test_runs_that_want_them_at_once_sample_them_once(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []

    def slow(run: Run, mode: str, *rest: Any) -> Rollout:
        calls.append(mode)
        time.sleep(0.3)  # long enough for the others to come
        return sample_mode(run, mode, *rest)

    monkeypatch.setattr(runs.base_samples, "sample_mode", slow)
    four = [built(tiny(**ROUTED, seed=seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        rollouts = [found[BASE] for found in pool.map(base_samples, four, [8] * 4)]
    assert calls == [BASE]
    assert all(same_bits(rollouts[0], other) for other in rollouts[1:])


def test_a_run_that_fails_while_it_samples_leaves_nothing_behind(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    run = built(tiny(**ROUTED))
    with monkeypatch.context() as patch:
        patch.setattr(runs.base_samples, "sample_mode", no_sampling)
        with pytest.raises(AssertionError, match="the base is sampled"):
            base_samples(run, 8)
    assert kept(run.config.output_dir) == []
    assert len(base_samples(run, 8)[BASE]) == 8


# Damage


def flipped(content: bytes) -> bytes:
    """One bit of the last tensor."""
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[:-3], "damaged: .*"),
    "empty": (lambda _: b"", "damaged: .*"),
    "a bit": (flipped, "damaged: it is not as it was written"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_stops_the_run_and_is_named(tiny: MakeExperiment, damage: str):
    experiment = tiny(**ROUTED)
    base_samples(built(experiment), 8)
    (file,) = kept(experiment.output_dir)
    change, fault = DAMAGES[damage]
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=f"{file}: {fault}; without this file the base's completions are sampled anew"):
        train(experiment, quiet=True)
    assert read_object(only_run(experiment.output_dir) / "status.json")["state"] == "failed"
    file.unlink()
    assert train(replace(experiment, overwrite=True), quiet=True).summary["steps"] == 3


def test_a_file_under_another_s_name_stops_the_run(tiny: MakeExperiment):
    run = built(tiny(**ROUTED))
    base_samples(run, 8)
    (file,) = kept(run.config.output_dir)
    file.rename(file.with_name(f"{key(run, 7)}.safetensors"))
    with pytest.raises(UserError, match=f"damaged: it holds the samples of {key(run, 8)}; "):
        base_samples(run, 7)


# Those who read folders of runs


def test_a_sweep_s_folder_with_them_is_read_as_without(tiny: MakeExperiment):
    """Whoever looks into every folder of it finds the runs alone."""
    plan = make_plan(checked(Sweep(tiny(**ROUTED, name="mine"), {"seed": [1, 2]})), prepare, folder_of)
    write_plan(plan)
    first, second = plan.runs
    folder = train(tiny(**ROUTED, seed=1, output_dir=plan.folder), quiet=True).folder
    assert folder == plan.folder / first.name
    assert kept(plan.folder)
    assert strangers(plan) == []
    assert [(run.name, run.state) for run in read_sweep(plan.folder).runs] == [(first.name, "finished"), (second.name, "waiting")]
    wanted = {signature_of(first.experiment)}
    assert recorded_costs(plan.folder.parent, plan.folder, wanted).keys() == wanted
    with pytest.raises(UserError, match=f"; the nearest, {folder.name}, has seed 1, not 2$"):
        run_to_resume("", tiny(**ROUTED, seed=2, output_dir=plan.folder))
