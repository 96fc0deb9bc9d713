"""What a run is built from, the order of its prompts, and the model before training."""

from collections.abc import Callable

import pytest
import torch

from configs.experiment import Experiment
from envs.types import Prompt
from grpo.logprobs import completion_logprobs
from grpo.rollout import Rollout
from grpo.run import Run, build_run, prepare, reference_model, step_prompts, trained_groups
from grpo.step import train_step
from models.llama import Llama
from models.loading import load_pretrained
from routing.adapters import get_scales
from runs.metrics import update_metrics
from runs.restore import prompts_fingerprint

MakeExperiment = Callable[..., Experiment]


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def indices(prompts: list[Prompt]) -> list[int]:
    return [prompt.index for prompt in prompts]


# The order of prompts


@pytest.mark.parametrize(("batch_size", "steps_a_pass"), [(8, 20), (4, 40), (12, 13), (160, 1)])
def test_each_pass_covers_every_prompt_once(tiny: MakeExperiment, batch_size: int, steps_a_pass: int):
    run = built(tiny(batch_size=batch_size))
    per_step = batch_size // 4
    assert len(run.environment.train_prompts) == 40
    for start in (0, steps_a_pass, 5 * steps_a_pass):
        steps = [indices(step_prompts(run, start + step)) for step in range(steps_a_pass)]
        assert all(len(step) == per_step for step in steps)
        seen = [index for step in steps for index in step]
        # 12 completions are 3 prompts: the fortieth does not fill a step
        assert len(set(seen)) == len(seen) == 40 - 40 % per_step


def test_each_pass_has_its_own_order(tiny: MakeExperiment):
    run = built(tiny(batch_size=160))
    passes = [indices(step_prompts(run, step)) for step in range(3)]
    assert len({tuple(order) for order in passes}) == 3
    assert {tuple(sorted(order)) for order in passes} == {tuple(range(40))}


def test_the_order_is_a_function_of_seed_and_step_alone(tiny: MakeExperiment):
    one, other = built(tiny()), built(tiny())
    steps = [step_prompts(one, step) for step in range(30)]
    assert [step_prompts(other, step) for step in reversed(range(30))] == steps[::-1]
    third = built(tiny(seed=7))
    assert [step_prompts(third, step) for step in range(30)] != steps


# The model before training


@torch.no_grad()
def logprobs_of(model: Llama) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 30, 31, 32, 1], [6, 7, 8, 40, 41, 42]])
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    rollout = Rollout(ids, torch.tensor([2, 2]), ids[:, 2:], mask, torch.zeros(2, 4), torch.tensor([True, False]))
    return completion_logprobs(model, rollout, 1.0)


KINDS = {
    "routed": {"routing.enabled": True, "lr": 1e-2},
    "lora": {"adapter.kind": "lora", "lr": 1e-2},
    "full": {"adapter.kind": "none", "lr": 1e-2},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_stays_the_model_before_training(tiny: MakeExperiment, kind: str):
    run = built(tiny(**KINDS[kind]))
    untouched = load_pretrained(run.config.model).model
    for _ in range(2):
        train_step(run)
    with reference_model(run) as model:
        assert torch.equal(logprobs_of(model), logprobs_of(untouched))
    assert (logprobs_of(run.policy) - logprobs_of(untouched)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_kl_of_the_first_step_is_exactly_zero(tiny: MakeExperiment, kind: str):
    run = built(tiny(**KINDS[kind]))
    first, second = train_step(run), train_step(run)
    assert update_metrics(first.update)["loss/kl"] == 0.0
    assert update_metrics(second.update)["loss/kl"] > 1e-6
    assert first.kl == pytest.approx(0.0, abs=1e-8)  # between sampler and scorer there is rounding
    assert second.kl > 1e-6


def test_the_reference_of_full_fine_tuning_is_a_frozen_copy(tiny: MakeExperiment):
    run = built(tiny())
    assert run.reference is not None
    assert not any(parameter.requires_grad for parameter in run.reference.parameters())
    own = {parameter.data_ptr() for parameter in run.policy.parameters()}
    assert not own & {parameter.data_ptr() for parameter in run.reference.parameters()}
    trained = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    assert trained == {id(parameter) for parameter in run.policy.parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_without_beta_there_is_no_reference_to_pay_for(tiny: MakeExperiment, kind: str):
    run = built(tiny(**KINDS[kind], beta=0.0))
    assert run.reference is None
    record = train_step(run)
    figures = update_metrics(record.update)
    assert figures["loss/kl"] is None
    assert record.kl is None
    assert figures["loss"] == figures["loss/policy"]
    if kind == "full":
        with pytest.raises(AssertionError, match="no reference"), reference_model(run):
            pass


def test_adapters_need_no_copy_and_come_back_on_after_an_error(tiny: MakeExperiment):
    run = built(tiny(**KINDS["routed"]))
    assert run.reference is None
    with pytest.raises(RuntimeError, match="in between"), reference_model(run) as model:
        assert get_scales(model) == {"retain": 0.0, "forget": 0.0}
        raise RuntimeError("in between")
    assert get_scales(run.policy) == {"retain": 1.0, "forget": 1.0}


# What is trained


@pytest.mark.parametrize(("kind", "groups"), [("routed", {"retain", "forget"}), ("lora", {"lora"}), ("full", {"policy"})])
def test_each_adapter_is_a_group_of_the_optimizer_and_nothing_else_is_trained(tiny: MakeExperiment, kind: str, groups: set[str]):
    run = built(tiny(**KINDS[kind]))
    trained = trained_groups(run.policy)
    assert {group["name"]: [id(p) for p in group["params"]] for group in run.optimizer.param_groups} == {
        name: [id(p) for p in group.values()] for name, group in trained.items()
    }
    assert set(trained) == groups
    wanting = {name for name, parameter in run.policy.named_parameters() if parameter.requires_grad}
    assert wanting == {name for group in trained.values() for name in group}
    assert {(group["betas"], group["weight_decay"]) for group in run.optimizer.param_groups} == {((0.9, 0.999), 0.0)}


def test_initial_adapters_come_from_the_seed(tiny: MakeExperiment):
    def first(**settings) -> torch.Tensor:
        return next(iter(trained_groups(built(tiny(**KINDS["routed"], **settings)).policy)["retain"].values()))

    assert torch.equal(first(), first(reward="happy_exp"))
    assert not torch.equal(first(), first(seed=7))


def test_fingerprints_tell_prompts_apart():
    prompts = (Prompt(0, "a", (1, 2)), Prompt(1, "b", (3,)))
    assert prompts_fingerprint(prompts) == prompts_fingerprint((Prompt(5, "x", (1, 2)), Prompt(6, "y", (3,))))
    assert prompts_fingerprint(prompts) != prompts_fingerprint(prompts[::-1])
    assert prompts_fingerprint(prompts) != prompts_fingerprint((Prompt(0, "a", (1, 2, 3)), Prompt(1, "b", ())))
