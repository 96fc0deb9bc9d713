"""One update, against the loss of the whole batch computed at once, in float64 and with plain gradient descent."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from configs.experiment import Experiment
from envs.types import Prompt
from grpo.checks import BrokenInvariant
from grpo.logprobs import piece_logprobs
from grpo.loss import PolicyLoss, RatioFigures, policy_loss
from grpo.run import Run, build_run, prepare, step_prompts, trained_groups
from grpo.step import reference_logprobs
from grpo.update import Batch, Iteration, Pass, Update, clip_gradients, learning_rate, update
from routing.router import route
from runs.metrics import update_metrics
from runs.preflight import rehearse_sampling

MakeExperiment = Callable[..., Experiment]
RATE = 0.05
PLAIN = {"lr": RATE, "beta": 0.1, "grpo.max_grad_norm": 1e9}  # nothing is clipped: the step is RATE times the gradient
BAD = torch.tensor([False, True, True, False, False, False, True, False])
PASS = Pass(0.0, 0.0, 0.0, RatioFigures(1, 0.0, 0.0, 1.0, 1.0, 1.0), 1, 0.0, 0.0, 0.0, {})
ADVANTAGES = torch.tensor([1.0, -1.0, 0.5, 2.0, -0.3, 0.7, -1.5, 0.0], dtype=torch.float64)


@dataclass
class Case:
    run: Run
    batch: Batch
    before: dict[str, Tensor]

    def gradient(self) -> dict[str, Tensor]:
        """Of the one step of plain gradient descent that was taken."""
        return {name: (self.before[name] - p.detach()) / RATE for name, p in tensors(self.run).items()}


def tensors(run: Run) -> dict[str, Tensor]:
    return {name: p for group in trained_groups(run.policy).values() for name, p in group.items()}


def snapshot(run: Run) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in tensors(run).items()}


def case(experiment: Experiment, bad: Tensor = BAD, mode: str = "none") -> Case:
    """Eight completions in float64, of adapters that already do something, with advantages and labels by hand."""
    run = build_run(prepare(experiment))
    run.policy.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in tensors(run).items():
            if ".B." in name:
                p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.02)
    if run.reference is not None:
        run.reference.double()
        with torch.no_grad():
            run.reference.model.norm.weight += 0.1  # so that the KL is not zero
    groups = [{"params": list(group.values()), "name": name} for name, group in trained_groups(run.policy).items()]
    run.optimizer = torch.optim.SGD(groups, lr=1.0)
    rows = [prompt for prompt in step_prompts(run, 0) for _ in range(run.group_size)]
    rollout = rehearse_sampling(run)
    assert {bool(done) for done in rollout.finished} == {True, False}
    assert len(set(rollout.mask.sum(1).tolist())) > 2
    ref_logprobs = reference_logprobs(run, rollout, rows) if run.config.beta else None
    return Case(run, Batch(rows, rollout, ADVANTAGES, ref_logprobs, route(bad, mode)), snapshot(run))


def whole_batch(model: Any, given: Case, keep: Tensor | None = None) -> tuple[PolicyLoss, Tensor, Tensor]:
    """The loss of all rows at once, with the token log-probabilities and entropies; `keep` marks the rows in the loss."""
    rollout, config = given.batch.rollout, given.run.config
    logprobs, entropy = piece_logprobs(model.weights(), rollout, config.sampling.temperature)  # all rows in one piece
    mask = rollout.mask if keep is None else rollout.mask & keep[:, None]
    by = {"grpo": 8.0, "dr_grpo": 8.0 * 12, "dapo": float(rollout.mask.sum())}[config.grpo.loss_type]
    loss = policy_loss(
        logprobs,
        rollout.logprobs,
        given.batch.ref_logprobs,
        given.batch.advantages,
        mask,
        loss_type=config.grpo.loss_type,
        beta=config.beta,
        max_completion_length=12,
        denominator=by,
    )
    return loss, logprobs.detach(), entropy.detach()


def gradient_of(given: Case, keep: Tensor | None = None, only: Tensor | None = None) -> dict[str, Tensor]:
    """Of the whole batch's loss at the weights before; `only` leaves some rows' advantages and KL out."""
    loss, _, _ = whole_batch(given.run.policy, given, keep if only is None else only)
    named = tensors(given.run)
    grads = torch.autograd.grad(loss.loss, list(named.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), grads, strict=True)}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-12) -> None:
    assert set(one) == set(other)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


# Gradients


@pytest.mark.parametrize("kind", ["dual_lora", "lora", "none"])
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_passes_add_up_to_the_gradient_of_the_whole_batch(tiny: MakeExperiment, kind: str, loss_type: str):
    given = case(tiny(**PLAIN, **{"adapter.kind": kind, "grpo.loss_type": loss_type}))
    expected = gradient_of(given)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-4
    update(given.run, given.batch)
    assert_close(given.gradient(), expected)


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_truncated_completions_are_left_out_of_the_loss_and_count_in_the_denominator(tiny: MakeExperiment, loss_type: str):
    given = case(tiny(**PLAIN, **{"adapter.kind": "lora", "grpo.loss_type": loss_type, "grpo.mask_truncated": True}))
    expected = gradient_of(given, keep=given.batch.rollout.finished)
    everything = gradient_of(given)
    assert max(float((everything[name] - expected[name]).abs().max()) for name in expected) > 1e-4
    figures = update_metrics(update(given.run, given.batch))
    assert_close(given.gradient(), expected)
    # What is sampled is still compared and described as a whole.
    loss, _, entropy = whole_batch(copy_of(given), given, keep=given.batch.rollout.finished)
    assert figures["loss"] == pytest.approx(loss.loss.item(), abs=1e-12)
    assert figures["entropy"] == pytest.approx(float(entropy[given.batch.rollout.mask].mean()), abs=1e-12)


def copy_of(given: Case) -> Any:
    """The policy as it was before the update."""
    model = copy.deepcopy(given.run.policy)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in given.before:
                p.copy_(given.before[name])
    return model


@pytest.mark.parametrize(("mode", "of_retain", "of_forget"), [("classic", ~BAD, ~BAD | BAD), ("exclusive", ~BAD, BAD)])
def test_each_adapter_gets_the_gradient_of_the_samples_that_it_learns_from(
    tiny: MakeExperiment, mode: str, of_retain: Tensor, of_forget: Tensor
):
    given = case(tiny(**PLAIN, **{"routing.enabled": True, "routing.mode": mode}), mode=mode)
    groups = trained_groups(given.run.policy)
    retain, forget = gradient_of(given, only=of_retain), gradient_of(given, only=of_forget)
    expected = {name: retain[name] for name in groups["retain"]} | {name: forget[name] for name in groups["forget"]}
    figures = update_metrics(update(given.run, given.batch))
    assert_close(given.gradient(), expected)
    for adapter in ("retain", "forget"):
        norm = torch.cat([expected[name].flatten() for name in groups[adapter]]).norm().item()
        assert figures[f"grad_norm/{adapter}"] == pytest.approx(norm, rel=1e-9)
    assert figures["grad_norm/bad/retain"] == 0.0


@pytest.mark.parametrize("group", ["good", "bad"])
def test_gradient_norms_of_a_pass_are_of_what_it_added(tiny: MakeExperiment, group: str):
    given = case(tiny(**PLAIN, **{"adapter.kind": "dual_lora"}))
    expected = gradient_of(given, only=BAD if group == "bad" else ~BAD)
    figures = update_metrics(update(given.run, given.batch))
    for adapter, named in trained_groups(given.run.policy).items():
        norm = torch.cat([expected[name].flatten() for name in named]).norm().item()
        assert figures[f"grad_norm/{group}/{adapter}"] == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("mode", ["classic", "exclusive", "none"])
def test_cosines_are_of_what_good_and_bad_samples_would_teach_each_adapter_without_masks(tiny: MakeExperiment, mode: str):
    given = case(tiny(**PLAIN, **{"adapter.kind": "dual_lora"}), mode=mode)
    good, bad = gradient_of(given, only=~BAD), gradient_of(given, only=BAD)
    figures = update_metrics(update(given.run, given.batch))
    for adapter, named in trained_groups(given.run.policy).items():
        one, other = (torch.cat([gradient[name].flatten() for name in named]) for gradient in (good, bad))
        expected = float((one / one.norm()) @ (other / other.norm()))
        assert 1e-3 < abs(expected) < 0.999
        assert figures[f"grad_cosine/{adapter}"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("bad", [True, False])
def test_there_is_no_cosine_without_good_or_without_bad_samples(tiny: MakeExperiment, bad: bool):
    given = case(tiny(**PLAIN, **{"routing.enabled": True}), torch.full((8,), bad), "classic")
    figures = update_metrics(update(given.run, given.batch))
    assert (figures["grad_cosine/retain"], figures["grad_cosine/forget"]) == (None, None)


def test_of_several_iterations_the_cosines_are_the_last_one_s(tiny: MakeExperiment):
    given = case(tiny(**PLAIN, **{"adapter.kind": "dual_lora", "grpo.num_iterations": 2}))
    first, last = update(given.run, given.batch).iterations
    figures = update_metrics(Update(1.0, (first, last)))
    assert figures["grad_cosine/retain"] == last.grad_cosines["retain"] != first.grad_cosines["retain"]


@pytest.mark.parametrize("kind", ["lora", "none"])
def test_without_two_adapters_there_are_no_cosines(tiny: MakeExperiment, kind: str):
    given = case(tiny(**PLAIN, **{"adapter.kind": kind}))
    assert not [name for name in update_metrics(update(given.run, given.batch)) if name.startswith("grad_cosine/")]


def test_an_adapter_without_samples_is_not_touched_by_momentum(tiny: MakeExperiment):
    given = case(
        tiny(**PLAIN, **{"routing.enabled": True, "routing.mode": "exclusive"}), torch.zeros(8, dtype=torch.bool), "exclusive"
    )
    for group in given.run.optimizer.param_groups:
        group["momentum"] = 0.9
    forget = trained_groups(given.run.policy)["forget"]
    for p in forget.values():  # as if it had learnt before
        given.run.optimizer.state[p]["momentum_buffer"] = torch.ones_like(p)
    figures = update_metrics(update(given.run, given.batch))
    after = snapshot(given.run)
    assert all(torch.equal(after[name], given.before[name]) for name in forget)
    assert figures["grad_norm/forget"] == 0.0
    assert any(not torch.equal(after[name], given.before[name]) for name in trained_groups(given.run.policy)["retain"])


# Clipping


def test_huge_forget_gradients_do_not_shrink_retain_s_update(tiny: MakeExperiment):
    run = build_run(prepare(tiny(**{"routing.enabled": True})))
    groups = trained_groups(run.policy)
    for name, group in groups.items():
        for p in group.values():
            p.grad = torch.full_like(p, {"retain": 1e-4, "forget": 1e6}[name])
    count = {name: sum(p.numel() for p in group.values()) for name, group in groups.items()}
    norms = clip_gradients(run, 1.0)
    assert all(torch.equal(p.grad, torch.full_like(p, 1e-4)) for p in groups["retain"].values())
    clipped = torch.cat([p.grad.flatten() for p in groups["forget"].values()])
    assert clipped.norm().item() == pytest.approx(1.0, abs=1e-5)
    # before clipping: every entry the same, so the norm is the entry times the root of their number
    retain, forget = 1e-4 * count["retain"] ** 0.5, 1e6 * count["forget"] ** 0.5
    assert norms == pytest.approx({"retain": retain, "forget": forget}, rel=1e-5)
    joint = update_metrics(Update(1.0, (Iteration({"good": PASS}, norms, {}),)))["grad_norm"]
    assert joint == pytest.approx((retain**2 + forget**2) ** 0.5, rel=1e-5)


def test_an_update_is_clipped_at_the_norm_asked_for(tiny: MakeExperiment):
    given = case(tiny(**(PLAIN | {"grpo.max_grad_norm": 1e-3, "adapter.kind": "dual_lora"})))
    expected = gradient_of(given)
    update(given.run, given.batch)
    for named in trained_groups(given.run.policy).values():
        norm = torch.cat([expected[name].flatten() for name in named]).norm().item()
        assert norm > 1e-3
        scaled = {name: expected[name] * 1e-3 / norm for name in named}
        assert_close({name: given.gradient()[name] for name in named}, scaled, atol=1e-7)  # clipping divides by norm + 1e-6


# The learning rate


@pytest.mark.parametrize(
    ("step", "max_steps", "warmup", "expected"),
    [
        (0, 10, 0, 1.0),
        (5, 10, 0, 0.5),
        (9, 10, 0, 0.1),
        (0, 1, 0, 1.0),
        (0, 10, 4, 0.2),  # 1/5, 2/5, 3/5, 4/5, then 6 steps down from 1
        (3, 10, 4, 0.8),
        (4, 10, 4, 1.0),
        (7, 10, 4, 0.5),
        (9, 10, 4, 1 / 6),
    ],
)
def test_learning_rate_schedule(step: int, max_steps: int, warmup: int, expected: float):
    assert learning_rate(step, 3e-4, max_steps, warmup, "linear") == pytest.approx(3e-4 * expected, rel=1e-12)


def test_the_optimizer_gets_the_rate_of_the_step(tiny: MakeExperiment):
    given = case(tiny(**PLAIN, max_steps=10, **{"adapter.kind": "lora", "grpo.warmup_steps": 4}))
    expected = gradient_of(given)
    given.run.step = 7
    figures = update_metrics(update(given.run, given.batch))
    assert figures["learning_rate"] == pytest.approx(RATE / 2)
    assert_close({name: gradient * 2 for name, gradient in given.gradient().items()}, expected)


# Several passes over one rollout, and the figures


def test_a_second_iteration_keeps_the_old_logprobs_and_figures_are_those_of_the_whole_batch(tiny: MakeExperiment):
    # Reference: two steps of gradient descent on the whole batch's loss, always against the sampler's log-probabilities.
    rate = 1.0
    given = case(tiny(**(PLAIN | {"lr": rate, "adapter.kind": "dual_lora", "grpo.num_iterations": 2})))
    first = gradient_of(given)
    once = copy_of(given)
    with torch.no_grad():
        for name, p in once.named_parameters():
            if name in first:
                p -= rate * first[name]
    loss, logprobs, _ = whole_batch(once, given)
    named = {name: p for name, p in once.named_parameters() if name in first}
    second = dict(zip(named, torch.autograd.grad(loss.loss, list(named.values())), strict=True))
    before, start, entropy = whole_batch(given.run.policy, given)

    figures = update_metrics(update(given.run, given.batch))
    after = snapshot(given.run)
    assert_close(after, {name: given.before[name] - rate * (first[name] + second[name]) for name in first}, atol=1e-11)

    mask = given.batch.rollout.mask
    ratios = (logprobs - given.batch.rollout.logprobs).exp()[mask]
    advantages = ADVANTAGES[:, None].expand_as(mask)[mask]
    low, high = (ratios < 0.8) & (advantages < 0), (ratios > 1.2) & (advantages > 0)
    assert low.any() and high.any(), "the rate is to be large enough for clipping"
    difference = (start - given.batch.rollout.logprobs).abs()[mask].detach()
    expected = {
        "loss": loss.loss.item(),
        "loss/policy": loss.policy.item(),
        "loss/kl": loss.kl.item(),
        "ratio/mean": ratios.mean().item(),
        "ratio/min": ratios.min().item(),
        "ratio/max": ratios.max().item(),
        "clip_ratio/low_mean": low.double().mean().item(),
        "clip_ratio/high_mean": high.double().mean().item(),
        "clip_ratio/region_mean": (low | high).double().mean().item(),
        "entropy": entropy[mask].mean().item(),  # of the policy that sampled, like the difference to the sampler
        "sampling/sampling_logp_difference/mean": difference.mean().item(),
        "sampling/sampling_logp_difference/max": difference.max().item(),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-11)
    assert before.ratio[mask].max().item() == pytest.approx(1.0, abs=1e-12)


# What stops a run


@pytest.fixture
def given(tiny: MakeExperiment) -> Case:
    return case(tiny(**PLAIN, **{"adapter.kind": "dual_lora"}))


def prompt_of(prompt: Prompt) -> str:
    return f"prompt {prompt.index} {prompt.text!r}"


def test_logprobs_that_are_not_finite_name_step_tensor_and_prompt(given: Case):
    with torch.no_grad():
        next(iter(tensors(given.run).values()))[0, 0] = float("nan")
    given.run.step = 2
    with pytest.raises(BrokenInvariant) as error:
        update(given.run, given.batch)
    assert str(error.value).startswith("step 2: logprobs[0, 0] is nan (")
    assert str(error.value).endswith(prompt_of(given.batch.prompts[0]))  # the first good row


def test_a_loss_that_is_not_finite_names_step_and_class(given: Case):
    advantages = torch.where(torch.arange(8) == 6, torch.inf, ADVANTAGES)
    with pytest.raises(BrokenInvariant, match=r"step 0: loss of the bad samples is -?(inf|nan)"):
        update(given.run, replace(given.batch, advantages=advantages))


def test_a_gradient_that_is_not_finite_names_step_and_tensor(given: Case):
    name, parameter = list(trained_groups(given.run.policy)["forget"].items())[5]
    parameter.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(BrokenInvariant) as error:
        update(given.run, given.batch)
    assert str(error.value).startswith("step 0: ")
    assert name in str(error.value)
    assert all(torch.equal(tensor, given.before[n]) for n, tensor in snapshot(given.run).items())


@pytest.mark.parametrize("row", [3, 6])
def test_a_gap_between_sampling_and_training_logprobs_stops_the_run(given: Case, row: int):
    def shifted(by: float) -> Batch:
        logprobs = given.batch.rollout.logprobs.clone()
        logprobs[row, 0] += by
        return replace(given.batch, rollout=replace(given.batch.rollout, logprobs=logprobs))

    figures = update_metrics(update(copy.deepcopy(given.run), shifted(0.9e-3)))
    assert figures["sampling/sampling_logp_difference/max"] == pytest.approx(0.9e-3, rel=1e-9)
    with pytest.raises(BrokenInvariant, match=r"step 0: sampling and training .* differ by 0\.0011 nats") as error:
        update(given.run, shifted(1.1e-3))
    assert str(error.value).endswith(prompt_of(given.batch.prompts[row]))
    assert all(torch.equal(tensor, given.before[n]) for n, tensor in snapshot(given.run).items())
