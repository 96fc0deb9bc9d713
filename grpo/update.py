"""One update: the routed passes over a batch, gradient clipping for each adapter by itself, and the optimizer."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter

from envs.types import Prompt
from grpo.checks import BrokenInvariant, check_finite, check_sampling_logprobs
from grpo.choices import lookup
from grpo.logprobs import piece_logprobs, pieces
from grpo.loss import PolicyLoss, RatioFigures, loss_denominator, policy_loss, ratio_figures
from grpo.rollout import Rollout
from grpo.run import Run, trained_groups
from grpo.schedules import SCHEDULES
from models.decoder import Weights, backward_from, leaves_of
from routing.gradients import Gradients, gradient_cosines, unmasked_gradients
from routing.modes import BAD, GOOD
from routing.router import MicroBatch, Routes, routed_backward

LOSS_SETTINGS = ("loss_type", "epsilon_low", "epsilon_high", "kl_estimator", "kl_corrected")  # what `policy_loss` takes of `grpo`


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
    """One micro-batch's forward and backward pass. Sums are over its sampled tokens, whether in the loss or not."""

    loss: float
    policy: float
    kl: float | None  # None without a reference
    ratios: RatioFigures
    tokens: int
    entropy_sum: float
    logp_difference_sum: float  # of |training - sampling|, in nats
    logp_difference_max: float
    grad_norms: dict[str, float]  # of the gradient this pass added, by adapter


@dataclass(frozen=True)
class Piece:
    """A few rows' part of a pass. Of tokens in the loss: `ratio` and `advantages`; of all sampled tokens: the others."""

    loss: PolicyLoss
    ratio: Float[Tensor, " tokens"]
    advantages: Float[Tensor, " tokens"]
    entropy: Float[Tensor, " sampled"]
    logp_difference: Float[Tensor, " sampled"]  # |training - sampling|, nats


@dataclass(frozen=True)
class Iteration:
    """One optimizer step."""

    passes: dict[str, Pass]  # by micro-batch
    grad_norms: dict[str, float]  # before clipping, by adapter
    grad_cosines: dict[str, float | None]  # of good and bad samples' gradients before masks, by adapter where there are two


@dataclass(frozen=True)
class Update:
    learning_rate: float
    iterations: tuple[Iteration, ...]  # none where every sample was dropped or masked


def learning_rate(step: int, peak: float, max_steps: int, warmup_steps: int, schedule: str) -> float:
    """Rises linearly over `warmup_steps`, no step of them at zero, then goes on as the schedule says."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return lookup(SCHEDULES, schedule, "lr_schedule")(peak, step - warmup_steps, max_steps - warmup_steps)


def update(run: Run, batch: Batch) -> Update:
    """`num_iterations` optimizer steps on one batch, none where every sample was dropped or masked.

    Raises BrokenInvariant for anything not finite, and when the first passes' log-probabilities are not the sampler's.
    """
    config = run.config.grpo
    rate = learning_rate(run.step, run.config.lr, run.config.max_steps, config.warmup_steps, config.lr_schedule)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    batch = replace(batch, routes=with_loss(batch, config.mask_truncated))
    if not batch.routes.micro_batches:
        return Update(rate, ())
    # Of all samples, dropped and truncated ones too, so that leaving some out does not weigh the others up.
    denominator = loss_denominator(batch.rollout.mask, config.loss_type, run.config.sampling.max_completion_length)
    return Update(rate, tuple(optimizer_step(run, batch, denominator, i == 0) for i in range(config.num_iterations)))


def with_loss(batch: Batch, mask_truncated: bool) -> Routes:
    """Without the micro-batches that no sample brings a loss to: they would still move their adapters, by momentum."""
    in_loss = batch.rollout.finished if mask_truncated else torch.ones_like(batch.rollout.finished)
    kept = tuple(micro_batch for micro_batch in batch.routes.micro_batches if in_loss[micro_batch.rows].any())
    return replace(batch.routes, micro_batches=kept)


def optimizer_step(run: Run, batch: Batch, denominator: float, on_policy: bool) -> Iteration:
    """`on_policy`: the policy is still the one that sampled, which is checked."""
    by_class: dict[str, Gradients] = {}

    def one_pass(micro_batch: MicroBatch) -> Pass:
        done = forward_backward(run, batch, micro_batch, denominator, on_policy)
        by_class[micro_batch.name] = dict(unmasked)
        unmasked.clear()
        return done

    with unmasked_gradients(run.policy) as unmasked:
        passes = routed_backward(run.policy, batch.routes, one_pass)
    norms = clip_gradients(run, run.config.grpo.max_grad_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return Iteration(passes, norms, gradient_cosines(run.policy, by_class.get(GOOD, {}), by_class.get(BAD, {})))


def forward_backward(run: Run, batch: Batch, micro_batch: MicroBatch, denominator: float, on_policy: bool) -> Pass:
    """Piece by piece (`grpo.logprobs.pieces`). Losses and gradients of the pieces add up, the gradients in the matrices that
    the model computes with; from there they reach the parameters once.
    """
    before = {parameter: parameter.grad.clone() for parameter in run.policy.parameters() if parameter.grad is not None}
    weights, rows, config = run.policy.weights(), micro_batch.rows, run.config.grpo
    leaves = leaves_of(weights)
    done = [
        piece_forward_backward(run, batch, leaves, rows[piece], micro_batch.name, denominator, on_policy)
        for piece in pieces(batch.rollout.rows(rows))
    ]
    backward_from(leaves, weights)
    ratio, advantages = torch.cat([piece.ratio for piece in done]), torch.cat([piece.advantages for piece in done])
    entropy, difference = torch.cat([piece.entropy for piece in done]), torch.cat([piece.logp_difference for piece in done])
    return Pass(
        loss=sum(piece.loss.loss.item() for piece in done),
        policy=sum(piece.loss.policy.item() for piece in done),
        kl=None if batch.ref_logprobs is None else sum(piece.loss.kl.item() for piece in done),
        ratios=ratio_figures(ratio, advantages, config.epsilon_low, config.epsilon_high),
        tokens=len(entropy),
        entropy_sum=float(entropy.sum()),
        logp_difference_sum=float(difference.sum()),
        logp_difference_max=float(difference.max()),
        grad_norms=added_norms(run, before),
    )


def piece_forward_backward(
    run: Run, batch: Batch, leaves: Weights, rows: Int[Tensor, " m"], name: str, denominator: float, on_policy: bool
) -> Piece:
    """Leaves its gradients in `leaves`. Raises BrokenInvariant."""
    config = run.config.grpo
    part, prompts = batch.rollout.rows(rows), [batch.prompts[i] for i in rows.tolist()]
    advantages = batch.advantages[rows]
    mask = part.mask & part.finished[:, None] if config.mask_truncated else part.mask  # [m, t]
    logprobs, entropy = piece_logprobs(leaves, part, run.config.sampling.temperature)  # [m, t]
    assert entropy is not None
    check_finite("logprobs", logprobs.detach(), run.step, prompts)
    difference = (logprobs.detach() - part.logprobs).abs() * part.mask  # [m, t]
    if on_policy:
        check_sampling_logprobs(difference, run.step, prompts)
    ref_logprobs = None if batch.ref_logprobs is None else batch.ref_logprobs[rows, : mask.shape[1]]
    settings: dict[str, Any] = {name: getattr(config, name) for name in LOSS_SETTINGS} | {"beta": run.config.beta}
    loss = policy_loss(logprobs, part.logprobs, ref_logprobs, advantages, mask, denominator=denominator, **settings)
    check_finite(f"loss of the {name} samples", loss.loss.detach(), run.step)
    loss.loss.backward()
    of_tokens = advantages[:, None].expand_as(mask)[mask]
    return Piece(loss, loss.ratio[mask], of_tokens, entropy[part.mask], difference[part.mask])


def added_norms(run: Run, before: dict[Parameter, Tensor]) -> dict[str, float]:
    """The norm of what one pass added to each adapter's gradient; `before` holds copies of the gradients that there were."""
    norms = {}
    for name, group in trained_groups(run.policy).items():
        added = [p.grad - before[p] if p in before else p.grad for p in group.values() if p.grad is not None]
        norms[name] = math.sqrt(sum(float(grad.square().sum()) for grad in added))
    return norms


def clip_gradients(run: Run, max_norm: float) -> dict[str, float]:
    """Clips each adapter's gradient by itself; returns the norms before clipping, by adapter.

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
        norms[name] = norm.item()
    return norms
