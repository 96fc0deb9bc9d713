"""The rehearsal before a run: it leaves no trace, and each of its checks fails for the run that it is meant to stop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import runs.preflight
from configs.experiment import Experiment
from grpo import sampler
from grpo.run import Run, build_run, prepare, trained_groups
from grpo.sampler import prefill_prompts
from grpo.step import train_step
from grpo.update import Batch, update
from runs.preflight import PreflightFailure, preflight, rehearse_sampling

MakeExperiment = Callable[..., Experiment]
KINDS: dict[str, dict[str, Any]] = {
    "classic": {"routing.enabled": True},
    "exclusive": {"routing.enabled": True, "routing.mode": "exclusive"},
    "unrouted dual": {"adapter.kind": "dual_lora"},
    "lora": {"adapter.kind": "lora"},
    "full": {"adapter.kind": "none"},
    "without reference": {"beta": 0.0},
    "two iterations, by tokens": {"grpo.num_iterations": 2, "grpo.loss_type": "dapo"},
    "smallest step": {"batch_size": 2, "num_generations": 2, "routing.enabled": True},
}


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def state(run: Run) -> dict[str, Tensor]:
    weights = {name: tensor.clone() for name, tensor in run.policy.state_dict().items()}
    gradients = {f"{name}/grad": p.grad.clone() for name, p in run.policy.named_parameters() if p.grad is not None}
    moments = {f"{i}/{k}": v for i, values in enumerate(run.optimizer.state.values()) for k, v in values.items()}
    return weights | gradients | moments


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_the_same_with_and_without_it(tiny: MakeExperiment, kind: str):
    rehearsed, other = built(tiny(**KINDS[kind])), built(tiny(**KINDS[kind]))
    torch.manual_seed(3)
    before, random = state(rehearsed), torch.random.get_rng_state()
    preflight(rehearsed)
    assert torch.equal(torch.random.get_rng_state(), random)
    after = state(rehearsed)
    assert rehearsed.step == 0
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    one, two = train_step(rehearsed), train_step(other)
    assert torch.equal(one.rollout.ids, two.rollout.ids)
    assert torch.equal(one.rollout.logprobs, two.rollout.logprobs)
    assert one.update == two.update
    assert all(torch.equal(a, b) for a, b in zip(state(rehearsed).values(), state(other).values(), strict=True))


def test_it_draws_from_keys_of_its_own(tiny: MakeExperiment):
    run = built(tiny())
    assert rehearse_sampling(run).ids.tolist() != train_step(run).rollout.ids.tolist()


def test_it_updates_on_a_whole_batch_at_the_longest_length_and_then_on_little(
    tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch
):
    batches: list[Batch] = []
    monkeypatch.setattr(runs.preflight, "update", lambda run, batch: (batches.append(batch), update(run, batch)))
    run = built(tiny(**{"routing.enabled": True, "batch_size": 16, "sampling.max_completion_length": 24}))
    preflight(run)
    first, second = (batch.rollout for batch in batches)
    assert (first.completion_ids.shape, second.completion_ids.shape) == ((16, 24), (8, 16))
    assert first.mask.all() and second.mask.all()
    assert (first.ids.shape, second.ids.shape) == ((16, 8 + 24), (8, 8 + 16))
    assert torch.equal(first.ids[:, :8], rehearse_sampling(run).ids[:, :8])
    assert torch.equal(first.ids[:, 8:], first.completion_ids)
    assert torch.equal(second.ids, first.ids[:8, : 8 + 16])


def eos_weight(run: Run, value: float) -> None:
    with torch.no_grad():
        run.policy.model.embed_tokens.weight[run.policy.config.eos_token_ids[0], 0] = value


def test_eos_out_of_reach_stops(tiny: MakeExperiment):
    run = built(tiny())
    eos_weight(run, -20.0)
    with pytest.raises(PreflightFailure, match=r"expects .* EOS \(token 1 '\[EOS\]'\) a completion of 12 tokens"):
        preflight(run)


def test_a_rare_eos_is_in_reach(tiny: MakeExperiment):
    run = built(tiny())
    eos_weight(run, 2.0)  # as likely as any of 4,000 words
    preflight(run)


def test_a_sampler_that_counts_positions_wrongly_stops(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    """Of what it samples, not of the prompts."""
    run = built(tiny())
    preflight(run)

    def prefill_later(*arguments):
        cache, hidden, positions = prefill_prompts(*arguments)
        return cache, hidden, positions + 1

    monkeypatch.setattr(sampler, "prefill_prompts", prefill_later)
    with pytest.raises(PreflightFailure, match=r"sampler and scorer differ by .* nats"):
        preflight(run)


@torch.no_grad()
def test_weights_that_are_not_finite_stop(tiny: MakeExperiment):
    run = built(tiny())
    run.policy.model.norm.weight[3] = torch.nan
    with pytest.raises(PreflightFailure, match="sampler and scorer differ by nan nats"):
        preflight(run)


@pytest.mark.parametrize("kind", ["classic", "lora", "full"])
def test_a_frozen_tensor_stops(tiny: MakeExperiment, kind: str):
    run = built(tiny(**KINDS[kind]))
    group = list(trained_groups(run.policy).values())[-1]
    name, parameter = list(group.items())[2]
    parameter.requires_grad_(False)
    with pytest.raises(PreflightFailure) as error:
        preflight(run)
    total = sum(len(tensors) for tensors in trained_groups(run.policy).values())
    assert str(error.value) == f"preflight: two updates left 1 of {total} trainable tensors as they were: {name}"


def test_an_adapter_that_is_not_connected_stops(tiny: MakeExperiment):
    run = built(tiny(**KINDS["classic"]))
    for layer in run.policy.model.layers:
        layer.mlp.down_proj.gains["forget"] = 0.0
    with pytest.raises(PreflightFailure, match=r"left 4 of 56 trainable tensors as they were: .*down_proj\.A\.forget"):
        preflight(run)


def test_a_long_warm_up_is_no_frozen_tensor(tiny: MakeExperiment):
    # The first step's rate, 2e-9, would not move a float32 of 1; the peak rate does.
    run = built(tiny(**{"adapter.kind": "none", "lr": 1e-5, "grpo.warmup_steps": 4999, "max_steps": 5000}))
    with torch.no_grad():
        for name, parameter in run.policy.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)
    preflight(run)


def test_what_does_not_fit_into_memory_stops(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2 TB")

    monkeypatch.setattr(runs.preflight, "update", full)
    with pytest.raises(PreflightFailure, match="a step does not fit into the memory of cpu: tried to allocate 2 TB"):
        preflight(built(tiny()))
