"""A run of the engine and the plain engine of this folder, side by side in float64: what they have to share."""

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

import pytest
import torch

from configs.experiment import Experiment
from grpo.run import Run, build_run, prepare
from grpo.step import StepRecord, train_step
from tests.reference import engine
from tests.reference.cases import ALWAYS, Settings

MakeExperiment = Callable[..., Experiment]


def experiment_of(tiny: MakeExperiment, settings: Settings) -> Experiment:
    return tiny(**(ALWAYS | settings))


def float64_run(experiment: Experiment) -> Run:
    """A run whose adapters do something from the first, and whose prompts differ in length."""
    run = build_run(prepare(experiment))
    run.policy.double()
    if run.reference is not None:
        run.reference.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in run.policy.named_parameters():
            if ".B." in name:
                weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.05)
    prompts = run.environment.train_prompts
    cut = tuple(replace(prompt, token_ids=prompt.token_ids[: 2 + i % 4]) for i, prompt in enumerate(prompts))
    run.environment = replace(run.environment, train_prompts=cut)
    return run


def step_of_both(run: Run, model: engine.Model) -> engine.Trace:
    """One step of either engine, with the same tokens and advantages, gradients and weights."""
    record, trace = train_step(run), engine.train_step(run, model)
    compare_before_learning(record, trace)
    compare_gradients(record, trace)
    differences = {
        name: float((weight - model.weights[engine.plain_name(name)]).detach().abs().max())
        for name, weight in run.policy.named_parameters()
    }
    assert {name: difference for name, difference in differences.items() if not difference <= 1e-10} == {}
    return trace


def compare_before_learning(record: StepRecord, trace: engine.Trace) -> None:
    rollout, samples = record.rollout, trace.samples
    tokens = [ids[mask].tolist() for ids, mask in zip(rollout.completion_ids, rollout.mask, strict=True)]
    assert tokens == [sample.tokens for sample in samples]
    assert record.eligible == [sample.eligible for sample in samples]
    assert record.scores.detected == [sample.detected for sample in samples]
    assert record.routes.labelled.tolist() == [sample.labelled for sample in samples]
    assert record.scores.rewards == pytest.approx([sample.earned for sample in samples], abs=1e-12)
    assert record.trained_rewards.tolist() == pytest.approx([sample.reward for sample in samples], abs=1e-12)
    assert record.kl == (trace.kl if trace.kl is None else pytest.approx(trace.kl, abs=1e-12))
    assert record.advantages.tolist() == pytest.approx(trace.advantages, rel=0, abs=1e-12)


def compare_gradients(record: StepRecord, trace: engine.Trace) -> None:
    """Adam hardly sees how long a gradient is, and clipping makes many equally long. So their lengths are compared, too."""
    for iteration, expected in zip_longest(record.update.iterations, trace.norms, fillvalue=None):
        lengths, plain = iteration.grad_norms if iteration else {}, expected or {}
        for name in {*lengths, *plain}:
            assert lengths.get(name, 0.0) == pytest.approx(plain.get(name, 0.0), rel=1e-10, abs=1e-13), (record.step, name)
