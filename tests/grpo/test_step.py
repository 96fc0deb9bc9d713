"""A step's order, and what the treatments of a run do to it: retain rollouts, filter, reward penalty, partial labels."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from configs.errors import UserError
from configs.experiment import Experiment
from envs.types import ContractViolation
from grpo.advantages import EPSILON, penalized_rewards
from grpo.checks import BrokenInvariant
from grpo.randomness import group_keys
from grpo.run import Run, build_run, prepare, step_prompts
from grpo.step import advantages_of, retain_rollouts, sample_training, train_step
from routing.adapters import adapter_parameters, scaled
from routing.modes import FORGET, RETAIN

MakeExperiment = Callable[..., Experiment]
ONE_HAPPY = {"env.detector": "happy_at_least(threshold=1)"}


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def snapshot(run: Run) -> dict[str, list[torch.Tensor]]:
    return {name: [p.detach().clone() for p in group.values()] for name, group in adapter_parameters(run.policy).items()}


def moved(run: Run, before: dict[str, list[torch.Tensor]]) -> dict[str, bool]:
    after = snapshot(run)
    return {name: any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True)) for name in before}


CONTROLS: dict[str, dict[str, Any]] = {
    "unrouted dual": {"adapter.kind": "dual_lora"},
    "lora of equal capacity": {"lora_rank": 8},
    "filter": {"adapter.kind": "dual_lora", "baseline": "filter"},
    "reward penalty": {"adapter.kind": "dual_lora", "baseline": "reward_penalty"},
    "full fine-tuning": {},
}


@pytest.mark.parametrize("control", CONTROLS)
def test_first_rollout_and_labels_are_those_of_the_routed_twin(tiny: MakeExperiment, control: str):
    # labels.* belong to runs with adapters; the full run is compared on the rollout alone.
    labels = {} if control == "full fine-tuning" else {"labels.fraction": 0.5, "labels.noise": 0.3}
    routed = train_step(built(tiny(**{"routing.enabled": True, "lr": 1e-3}, **ONE_HAPPY, **labels)))
    other = train_step(built(tiny(**CONTROLS[control], lr=1e-3, **ONE_HAPPY, **labels)))
    assert torch.equal(routed.rollout.ids, other.rollout.ids)
    assert torch.equal(routed.rollout.logprobs, other.rollout.logprobs)
    assert routed.scores == other.scores
    if labels:
        assert torch.equal(routed.routes.labelled, other.routes.labelled)
        assert routed.routes.labelled.tolist() != routed.scores.detected  # the labels do say something else


def test_penalty_takes_lambda_off_labelled_samples_down_to_zero(tiny: MakeExperiment):
    config = prepare(tiny(**{"adapter.kind": "lora", "baseline": "reward_penalty", "reward_penalty": 0.4}))
    rewards = torch.tensor([1.0, 1.0, 0.3, 0.3], dtype=torch.float64)
    labelled = torch.tensor([True, False, True, False])
    assert penalized_rewards(rewards, labelled, config.treatment.penalty).tolist() == [0.6, 1.0, 0.0, 0.3]


def test_filter_normalises_what_is_left_and_trains_on_nothing_else(tiny: MakeExperiment):
    run = built(tiny(**{"adapter.kind": "lora", "baseline": "filter", "lr": 1e-3}, **ONE_HAPPY))
    record = train_step(run)
    labelled = record.routes.labelled
    assert 0 < int(labelled.sum()) < len(labelled)
    (micro_batch,) = record.routes.micro_batches
    assert micro_batch.rows.tolist() == (~labelled).nonzero().flatten().tolist()
    # happy_binary pays every detected sample 1 and every other 0: what is left earns the same and gets zeros.
    assert record.advantages[~labelled].tolist() == [0.0] * int((~labelled).sum())


def test_filtering_everything_leaves_all_weights_and_moments_untouched(tiny: MakeExperiment):
    run = built(tiny(**{"adapter.kind": "dual_lora", "baseline": "filter", "labels.noise": 1.0, "lr": 1e-3}, **ONE_HAPPY))
    before = snapshot(run)
    train_step(run)
    assert moved(run, before) == {RETAIN: False, FORGET: False}
    assert not run.optimizer.state


def retain_run(tiny: MakeExperiment, **more: Any) -> Run:
    return built(tiny(**{"routing.enabled": True, "routing.retain_rollouts": 2, "lr": 1e-2}, **ONE_HAPPY, **more))


def grow_forget(run: Run) -> None:
    """Lets the forget adapter change what is said, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapter_parameters(run.policy)[FORGET].items():
            if ".B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)


def test_retain_rollouts_are_the_last_generations_sampled_with_forget_ablated(tiny: MakeExperiment):
    run = retain_run(tiny)
    grow_forget(run)
    prompts = list(run.environment.train_prompts[:2])
    keys = group_keys(run.config.seed, 0, [p.index for p in prompts], 4)
    alone = retain_rollouts(run.config, 8, run.device)
    assert alone.tolist() == [False, False, True, True] * 2
    mixed = sample_training(run, prompts, keys)
    run.config = prepare(tiny(**{"routing.enabled": True, "lr": 1e-2}, **ONE_HAPPY))
    both = sample_training(run, prompts, keys)
    with scaled(run.policy, {RETAIN: 1.0, FORGET: 0.0}):
        retain = sample_training(run, prompts, keys)

    def text(rollout, row: int) -> list[int]:
        return rollout.completion_ids[row][rollout.mask[row]].tolist()

    assert [text(mixed, row) for row in range(8)] == [text(retain if alone[row] else both, row) for row in range(8)]
    assert [text(both, row) for row in range(8)] != [text(retain, row) for row in range(8)]


def test_retain_rollouts_update_retain_only_and_leave_bad_ones_out(tiny: MakeExperiment):
    record = train_step(retain_run(tiny))
    parts = {part.name: part for part in record.routes.micro_batches}
    third = parts["retain_rollout"]
    assert third.learns == {RETAIN} and third.scales == {RETAIN: 1.0, FORGET: 0.0}
    assert all(row % 4 >= 2 and not record.routes.labelled[row] for row in third.rows.tolist())
    assert record.update.iterations[0].passes["retain_rollout"].grad_norms[FORGET] == 0.0


def test_retain_rollouts_have_a_baseline_of_their_own(tiny: MakeExperiment):
    config = prepare(tiny(**{"routing.enabled": True, "routing.retain_rollouts": 2, "advantages": "group"}))
    rewards = torch.tensor([0.0, 1.0, 5.0, 9.0, 1.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    advantages = advantages_of(rewards, torch.zeros(8, dtype=torch.bool), config)
    # Pairs (0, 1), (5, 9), (1, 1), (2, 2): Bessel-corrected deviations sqrt(1/2) and sqrt(8), then two constant pairs.
    first, second = 0.5 / (0.5**0.5 + EPSILON), 2 / (8**0.5 + EPSILON)
    expected = torch.tensor([-first, first, -second, second, 0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(advantages, expected, rtol=0, atol=1e-12)


def test_ineligible_samples_are_scored_without_the_forget_components(tiny: MakeExperiment):
    changes = {"reward": "sentence_length_5_with_happy", "env.eligible_fraction": 0.5, "routing.enabled": True}
    record = train_step(built(tiny(**changes, **ONE_HAPPY)))
    task, bonus = record.scores.components["sentence_length_5"], record.scores.components["happy_bonus"]
    assert len(set(record.eligible)) == 2
    assert any(paid > 0 and not eligible for paid, eligible in zip(bonus, record.eligible, strict=True))
    for i, eligible in enumerate(record.eligible):
        assert record.scores.rewards[i] == (min(task[i] + bonus[i], 1.0) if eligible else task[i])


def test_eligibility_without_a_forget_component_is_refused(tiny: MakeExperiment):
    with pytest.raises(UserError, match=r"--env.eligible_fraction 0.5: has no effect: --reward happy_binary"):
        built(tiny(**{"env.eligible_fraction": 0.5}))


def test_a_perfect_memory_of_the_step_is_not_needed_to_repeat_it(tiny: MakeExperiment):
    # Two builds of one experiment take the same three steps; every draw is a function of its key.
    runs = [built(tiny(**{"routing.enabled": True, "labels.fraction": 0.5}, **ONE_HAPPY)) for _ in range(2)]
    for _ in range(3):
        one, other = (train_step(run) for run in runs)
        assert one.update == other.update
        assert torch.equal(one.rollout.ids, other.rollout.ids)


# What routing may see, and what stops a step


def test_routes_follow_detected_not_hacked(tiny: MakeExperiment):
    """The detector looks for another word than the hack predicate counts, so that a label by the truth would be another."""
    run = built(tiny(**{"routing.enabled": True, "env.detector": "contains_words(words=['cat', 'very', 'the'])"}))
    differing = 0
    for _ in range(3):
        record = train_step(run)
        detected, hacked = record.scores.detected, record.audit.hacked
        assert hacked is not None
        assert record.routes.labelled.tolist() == record.routes.routed.tolist() == detected
        rows = {part.name: part.rows.tolist() for part in record.routes.micro_batches}
        assert rows.get("bad", []) == [row for row, flag in enumerate(detected) if flag]
        assert rows.get("good", []) == [row for row, flag in enumerate(detected) if not flag]
        differing += sum(d != h for d, h in zip(detected, hacked, strict=True))
    assert differing >= 4


def test_the_truth_changes_no_weight(tiny: MakeExperiment):
    runs = [built(tiny(**{"routing.enabled": True, "lr": 1e-2}, **ONE_HAPPY)) for _ in range(2)]
    runs[1].reward = replace(runs[1].reward, hack=lambda completions: [True] * len(completions))
    for _ in range(2):
        one, other = (train_step(run) for run in runs)
        assert one.audit != other.audit
        assert one.update == other.update
    weights = [run.policy.state_dict() for run in runs]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def stopped(run: Run, error: type[Exception]) -> str:
    """What is said by a step that is not taken."""
    before, step = {name: tensor.clone() for name, tensor in run.policy.state_dict().items()}, run.step
    with pytest.raises(error) as raised:
        train_step(run)
    assert run.step == step
    assert not run.optimizer.state
    assert all(tensor.equal(before[name]) or tensor.isnan().any() for name, tensor in run.policy.state_dict().items())
    return str(raised.value)


def test_a_reward_that_is_no_number_stops_with_its_name_and_prompt(tiny: MakeExperiment):
    run = built(tiny())
    (component,) = run.reward.components
    broken = replace(component, function=lambda completions: [0.5] * (len(completions) - 1) + [float("nan")])
    run.reward = replace(run.reward, components=(broken,))
    said = stopped(run, ContractViolation)
    last = step_prompts(run, 0)[-1]
    assert said == f"step 0: reward happy_binary returned nan at index 7, not finite; prompt {last.text!r}"


def test_a_sum_of_rewards_that_overflows_stops_with_step_and_prompt(tiny: MakeExperiment):
    # 1e308 for the word, and at least half of 1.7e308 more
    parts = [
        {"name": "happy_binary", "role": "retain", "scale": 1e308},
        {"name": "happy_exp", "role": "retain", "scale": 1.7e308},
    ]
    run = built(tiny(reward={"components": parts}))
    run.step = 2
    said = stopped(run, BrokenInvariant)
    assert re.fullmatch(r"step 2: rewards\[\d\] is inf \(\d not finite\), prompt \d+ '.*'", said)


def test_weights_that_are_not_finite_stop_with_step_and_prompt(tiny: MakeExperiment):
    run = built(tiny())
    with torch.no_grad():
        run.policy.model.norm.weight[3] = torch.nan
    first = step_prompts(run, 0)[0]
    said = stopped(run, BrokenInvariant)
    assert said.startswith("step 0: sampling logprobs[0, 0] is nan (")
    assert said.endswith(f"prompt {first.index} {first.text!r}")


def test_a_reference_that_is_not_finite_stops_with_step_and_prompt(tiny: MakeExperiment):
    run = built(tiny())
    assert run.reference is not None
    with torch.no_grad():
        run.reference.model.norm.weight[3] = torch.inf
    first = step_prompts(run, 0)[0]
    said = stopped(run, BrokenInvariant)
    assert said.startswith("step 0: reference logprobs[0, 0] is nan (")
    assert said.endswith(f"prompt {first.index} {first.text!r}")
