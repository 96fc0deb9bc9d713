"""The engine against the plain one of this folder, on the cases of `cases.py`: the same tokens, and after each of three steps
the same weights to 1e-10, in float64. Each case is also looked at for what it is there to show.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

import pytest
import torch

from configs.experiment import Experiment
from configs.resolve import flatten
from grpo.advantages import RULES, SCALES
from grpo.loss_terms import KL_ESTIMATORS, LOSS_TYPES
from grpo.run import Run, build_run, prepare
from grpo.step import StepRecord, train_step
from routing.modes import ROUTING_MODES
from tests.reference import engine
from tests.reference.cases import ALWAYS, CASES, LEFT_ALONE, Settings

MakeExperiment = Callable[..., Experiment]
STEPS = 3


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


@pytest.mark.parametrize("name", CASES)
def test_three_steps_are_those_of_the_plain_engine(tiny: MakeExperiment, name: str):
    run = float64_run(experiment_of(tiny, CASES[name]))
    assert engine.rule_of(run.config) == CASES[name].get("advantages", engine.rule_of(run.config))
    model = engine.model_of(run)
    traces = []
    for _ in range(STEPS):
        record = train_step(run)
        traces.append(engine.train_step(run, model))
        compare_before_learning(record, traces[-1])
        compare_gradients(record, traces[-1])
        differences = {
            name: float((weight - model.weights[engine.plain_name(name)]).detach().abs().max())
            for name, weight in run.policy.named_parameters()
        }
        assert {name: difference for name, difference in differences.items() if not difference <= 1e-10} == {}
    missing = [claim for claim, holds in claims(run, model, traces).items() if not holds]
    assert missing == []
    assert left_alone(traces) == LEFT_ALONE.get(name, set())


def compare_before_learning(record: StepRecord, trace: engine.Trace) -> None:
    rollout, samples = record.rollout, trace.samples
    tokens = [ids[mask].tolist() for ids, mask in zip(rollout.completion_ids, rollout.mask, strict=True)]
    assert tokens == [sample.tokens for sample in samples]
    assert record.eligible == [sample.eligible for sample in samples]
    assert record.scores.detected == [sample.detected for sample in samples]
    assert record.routes.labelled.tolist() == [sample.labelled for sample in samples]
    assert record.advantages.tolist() == pytest.approx(trace.advantages, rel=0, abs=1e-12)


def compare_gradients(record: StepRecord, trace: engine.Trace) -> None:
    """Adam hardly sees how long a gradient is, and clipping makes many equally long. So their lengths are compared, too."""
    for iteration, expected in zip_longest(record.update.iterations, trace.norms, fillvalue=None):
        lengths, plain = iteration.grad_norms if iteration else {}, expected or {}
        for name in {*lengths, *plain}:
            assert lengths.get(name, 0.0) == pytest.approx(plain.get(name, 0.0), rel=1e-10, abs=1e-13), (record.step, name)


def claims(run: Run, model: engine.Model, traces: list[engine.Trace]) -> dict[str, bool]:
    """What a run has to have had for its settings to matter."""
    config, samples = run.config, [sample for trace in traces for sample in trace.samples]
    advantages = [advantage for trace in traces for advantage in trace.advantages]
    norms = [norm for trace in traces for each in trace.norms for norm in each.values()]
    ratios = [each for trace in traces for each in trace.ratios]
    low, high = 1 - config.grpo.epsilon_low, 1 + config.grpo.epsilon_high
    cap = run.reward.cap
    assert cap is not None
    return {
        "good and bad samples": {sample.labelled for sample in samples} == {True, False},
        "finished and truncated samples": {sample.finished for sample in samples} == {True, False},
        "advantages of both signs": min(advantages) < 0 < max(advantages),
        "a reward at the cap": any(sample.retain_part + sample.forget_part > cap for sample in samples),
        "every weight moved": all(
            not torch.equal(model.weights[name], model.first[name]) for names in model.learners.values() for name in names
        ),
        "clipped gradients": max(norms) > config.grpo.max_grad_norm,
        "gradients that are not rounding errors": all(norm == 0 or norm > 1e-6 for norm in norms),
        "a detected sample that is not labelled": config.labels.fraction == 1
        or any(sample.detected and not sample.labelled for sample in samples),
        "an undetected sample that is labelled": config.labels.noise == 0
        or any(sample.labelled and not sample.detected for sample in samples),
        "a sample whose forget part is not paid": config.env.eligible_fraction == 1
        or any(sample.forget_part and not sample.eligible for sample in samples),
        "good and bad retain rollouts": config.treatment.retain_rollouts == 0
        or {sample.labelled for sample in samples if sample.retain_rollout} == {True, False},
        "ratios clipped on either side": config.grpo.num_iterations == 1
        or (any(r < low and a < 0 for r, a in ratios) and any(r > high and a > 0 for r, a in ratios)),
        "a penalty": config.treatment.penalty == 0
        or any(sample.labelled and sample.reward < min(cap, sample.retain_part + sample.forget_part) for sample in samples),
        "a penalized sample that is paid": config.treatment.penalty == 0
        or any(sample.labelled and sample.reward > 0 for sample in samples),
    }


def left_alone(traces: list[engine.Trace]) -> set[str]:
    """Adapters that had learnt, and then in a step had no sample to learn from, although some were drawn for them."""
    learning = [set(trace.norms[0]) for trace in traces]
    return {name for i, names in enumerate(learning) for name in set().union(*learning[:i]) - names}


@pytest.mark.parametrize(
    ("setting", "choices"),
    [
        ("advantages", {*RULES, "default"}),
        ("grpo.loss_type", {*LOSS_TYPES}),
        ("grpo.scale_rewards", {*SCALES}),
        ("grpo.kl_estimator", {*KL_ESTIMATORS}),
        ("grpo.kl_corrected", {True, False}),
        ("grpo.mask_truncated", {True, False}),
        ("routing.mode", {*ROUTING_MODES}),
        ("baseline", {"none", "filter", "reward_penalty"}),
        ("reward_penalty_on", {"default", "forget"}),
    ],
)
def test_the_cases_have_every_choice(setting: str, choices: set[object]):
    defaults = flatten(Experiment()) | {"advantages": "default", "reward_penalty_on": "default"}
    assert {(defaults | ALWAYS | case)[setting] for case in CASES.values()} == choices
