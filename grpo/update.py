"""One update: the routed passes over a batch, gradient clipping for each adapter by itself, and the optimizer."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from envs.types import Prompt
from grpo.checks import BrokenInvariant, check_finite, check_sampling_logprobs
from grpo.logprobs import completion_logprobs
from grpo.loss import PolicyLoss, loss_denominator, policy_loss
from grpo.rollout import Rollout
from grpo.run import Run, trained_groups
from routing.router import MicroBatch, Routes, routed_backward

Gradients = dict[str, list[Tensor | None]]
SAMPLING_FIGURES = ("entropy", "sampling/sampling_logp_difference/mean", "sampling/sampling_logp_difference/max")
PASS_FIGURES = ("loss", "loss/policy", "kl", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean",
                "ratio/mean", "ratio/min", "ratio/max")  # fmt: skip
FIGURES = (*SAMPLING_FIGURES, *PASS_FIGURES, "grad_norm")  # in every row, beside those by class and adapter


@dataclass(frozen=True)
class Batch:
    """What an update learns from: N completions with their advantages and routes."""

    prompts: list[Prompt]  # one a row
    rollout: Rollout
    advantages: Float[Tensor, " n"]
    ref_logprobs: Float[Tensor, "n t"] | None
    routes: Routes


@dataclass(frozen=True)
class Pass:
    """One micro-batch's forward and backward pass."""

    loss: PolicyLoss
    entropy: Float[Tensor, "m t"]
    logp_difference: Float[Tensor, "m t"]  # |training - sampling|
    tokens: int  # scored, whether in the loss or not
    grad_norms: dict[str, float]  # of the gradient this pass added, by adapter


def learning_rate(step: int, peak: float, max_steps: int, warmup_steps: int) -> float:
    """Rises linearly over `warmup_steps`, then falls linearly to zero, which it would reach at `max_steps`."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (max_steps - step) / (max_steps - warmup_steps)


def update(run: Run, batch: Batch) -> dict[str, float | None]:
    """`num_iterations` optimizer steps on one batch; returns figures by metric name, None where every sample was dropped.

    Raises BrokenInvariant for anything not finite, and when the first pass's log-probabilities are not the sampler's.
    """
    config = run.config.grpo
    assert run.config.lr is not None
    rate = learning_rate(run.step, run.config.lr, run.config.max_steps, config.warmup_steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    if not batch.routes.micro_batches:
        return dict.fromkeys(FIGURES) | {"learning_rate": rate}
    # Truncated completions included, so that leaving them out does not weigh the others up.
    counted = batch.rollout.mask[batch.routes.trained]
    denominator = loss_denominator(counted, config.loss_type, run.config.sampling.max_completion_length)
    figures: dict[str, float | None] = {}
    for iteration in range(config.num_iterations):
        passes = routed_backward(
            run.policy, batch.routes, lambda micro_batch: forward_backward(run, batch, micro_batch, denominator)
        )
        if iteration == 0:
            check_first_pass(run, batch, passes)
            figures |= sampling_figures(passes)
        norms = clip_gradients(run, config.max_grad_norm)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        figures |= pass_figures(passes) | norms
    assert set(FIGURES) <= set(figures), sorted(set(FIGURES) - set(figures))
    return figures | {"learning_rate": rate}


def forward_backward(run: Run, batch: Batch, micro_batch: MicroBatch, denominator: float) -> Pass:
    config, rows = run.config.grpo, micro_batch.rows
    part = batch.rollout.rows(rows)
    mask = part.mask & part.finished[:, None] if config.mask_truncated else part.mask
    logprobs, entropy = completion_logprobs(
        run.policy, part.ids, part.prompt_lengths, part.completion_ids, part.mask, run.config.sampling.temperature
    )
    prompts = [batch.prompts[i] for i in rows.tolist()]
    check_finite("logprobs", logprobs.detach(), run.step, prompts)
    loss = policy_loss(
        logprobs,
        part.logprobs,
        None if batch.ref_logprobs is None else batch.ref_logprobs[rows, : mask.shape[1]],
        batch.advantages[rows],
        mask,
        loss_type=config.loss_type,
        beta=run.config.beta,
        epsilon_low=config.epsilon_low,
        epsilon_high=config.epsilon_high,
        kl_estimator=config.kl_estimator,
        kl_corrected=config.kl_corrected,
        max_completion_length=run.config.sampling.max_completion_length,
        denominator=denominator,
    )
    check_finite(f"loss of the {micro_batch.name} samples", loss.loss.detach(), run.step)
    before = gradients(run)
    loss.loss.backward()
    difference = (logprobs.detach() - part.logprobs).abs() * part.mask
    return Pass(loss, entropy, difference, int(part.mask.sum()), added_norms(before, gradients(run)))


def gradients(run: Run) -> Gradients:
    """A copy of the gradients so far, by adapter."""
    return {
        name: [None if parameter.grad is None else parameter.grad.clone() for parameter in group.values()]
        for name, group in trained_groups(run.policy).items()
    }


def added_norms(before: Gradients, after: Gradients) -> dict[str, float]:
    """The norm of what one pass added to each adapter's gradient."""
    norms = {}
    for name, grads in after.items():
        added = [new if old is None else new - old for old, new in zip(before[name], grads, strict=True) if new is not None]
        norms[name] = math.sqrt(sum(float(grad.square().sum()) for grad in added))
    return norms


def clip_gradients(run: Run, max_norm: float) -> dict[str, float]:
    """Clips each adapter's gradient by itself; norms before clipping, `grad_norm` that of all together.

    With one joint norm, large gradients of the forget adapter would shrink the retain adapter's update.
    """
    norms = {}
    for name, group in trained_groups(run.policy).items():
        norm = torch.nn.utils.get_total_norm([p.grad for p in group.values() if p.grad is not None])
        if not torch.isfinite(norm):
            broken = (key for key, p in group.items() if p.grad is not None and not p.grad.isfinite().all())
            where = next(broken, "all of its tensors together")
            raise BrokenInvariant(f"step {run.step}: the gradient norm of {name} is {norm.item()}, because of {where}")
        torch.nn.utils.clip_grads_with_norm_(group.values(), max_norm, norm)
        norms[f"grad_norm/{name}"] = norm.item()
    return {"grad_norm": math.sqrt(sum(norm**2 for norm in norms.values()))} | norms


def check_first_pass(run: Run, batch: Batch, passes: dict[str, Pass]) -> None:
    rows = {micro_batch.name: micro_batch.rows.tolist() for micro_batch in batch.routes.micro_batches}
    for name, done in passes.items():
        check_sampling_logprobs(done.logp_difference, run.step, [batch.prompts[i] for i in rows[name]])


def sampling_figures(passes: dict[str, Pass]) -> dict[str, float]:
    tokens = sum(done.tokens for done in passes.values())
    differences = [done.logp_difference for done in passes.values()]
    return {
        "entropy": sum(float(done.entropy.sum()) for done in passes.values()) / tokens,
        "sampling/sampling_logp_difference/mean": sum(float(d.sum()) for d in differences) / tokens,
        "sampling/sampling_logp_difference/max": max(float(d.max()) for d in differences),
    }


def pass_figures(passes: dict[str, Pass]) -> dict[str, float]:
    losses = [done.loss for done in passes.values()]
    filled = [loss for loss in losses if loss.tokens]
    tokens = sum(loss.tokens for loss in losses)

    def token_mean(values: list[float]) -> float:
        return sum(value * loss.tokens for value, loss in zip(values, losses, strict=True)) / max(tokens, 1)

    low, high = token_mean([loss.clip_low for loss in losses]), token_mean([loss.clip_high for loss in losses])
    figures = {
        "loss": sum(loss.loss.item() for loss in losses),
        "loss/policy": sum(loss.policy.item() for loss in losses),
        "kl": sum(loss.kl.item() for loss in losses),
        "clip_ratio/low_mean": low,
        "clip_ratio/high_mean": high,
        "clip_ratio/region_mean": low + high,
        "ratio/mean": token_mean([loss.ratio_mean for loss in losses]),
        "ratio/min": min((loss.ratio_min for loss in filled), default=0.0),
        "ratio/max": max((loss.ratio_max for loss in filled), default=0.0),
    }
    for name, done in passes.items():
        figures |= {f"grad_norm/{name}/{adapter}": norm for adapter, norm in done.grad_norms.items()}
    return figures
