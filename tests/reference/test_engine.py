"""The engine against the plain one of this folder, on the cases of `cases.py`: the same tokens, and after each of three steps
the same weights to 1e-10, in float64. Each case is also looked at for what it is there to show.
"""

import pytest
import torch

from configs.experiment import Experiment
from configs.resolve import flatten
from grpo.advantages import RULES, SCALES
from grpo.loss_terms import KL_ESTIMATORS, LOSS_TYPES
from grpo.run import Run
from grpo.schedules import SCHEDULES
from routing.modes import ROUTING_MODES
from tests.reference import engine
from tests.reference.cases import ALWAYS, CASES, LEFT_ALONE
from tests.reference.comparison import MakeExperiment, experiment_of, float64_run, step_of_both

STEPS = 3


@pytest.mark.parametrize("name", CASES)
def test_three_steps_are_those_of_the_plain_engine(tiny: MakeExperiment, name: str):
    run = float64_run(experiment_of(tiny, CASES[name]))
    assert engine.rule_of(run.config) == CASES[name].get("advantages", engine.rule_of(run.config))
    model = engine.model_of(run)
    traces = [step_of_both(run, model) for _ in range(STEPS)]
    missing = [claim for claim, holds in claims(run, model, traces).items() if not holds]
    assert missing == []
    assert left_alone(traces) == LEFT_ALONE.get(name, set())


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
        "good samples that differ, beside a bad one": engine.rule_of(config) == "group"
        or config.treatment.retain_rollouts > 0  # groups of two
        or any(is_mixed(group) for trace in traces for group in groups_of(trace, config.num_generations)),
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


def groups_of(trace: engine.Trace, size: int) -> list[list[engine.Sample]]:
    """What is compared with one another: retain rollouts have groups of their own."""
    groups = [trace.samples[start : start + size] for start in range(0, len(trace.samples), size)]
    return [[sample for sample in group if sample.retain_rollout is side] for group in groups for side in (False, True)]


def is_mixed(group: list[engine.Sample]) -> bool:
    """Whether it matters that good samples are compared with good ones alone."""
    return len({sample.reward for sample in group if not sample.labelled}) > 1 and any(sample.labelled for sample in group)


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
        ("grpo.lr_schedule", {*SCHEDULES}),
        ("grpo.weight_decay", {0.0, 0.5, 2.0}),
        ("grpo.adam_beta2", {0.999, 0.5}),
        ("routing.mode", {*ROUTING_MODES}),
        ("baseline", {"none", "filter", "reward_penalty"}),
        ("reward_penalty_on", {"default", "forget"}),
    ],
)
def test_the_cases_have_every_choice(setting: str, choices: set[object]):
    defaults = flatten(Experiment()) | {"advantages": "default", "reward_penalty_on": "default"}
    assert {(defaults | ALWAYS | case)[setting] for case in CASES.values()} == choices
