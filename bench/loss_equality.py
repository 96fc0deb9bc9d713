"""Whether both sides of `bench.against_trl` compute the same: loss and gradient norm of one batch."""

from typing import Any

import torch
from torch import Tensor

from bench.trl_side import copy_adapters, draw_adapters, trl_inputs, trl_loss
from bench.workloads import Unequal
from grpo.advantages import group_advantages
from grpo.logprobs import completion_logprobs
from grpo.loss import policy_loss
from grpo.randomness import group_keys
from grpo.rollout import Rollout
from grpo.run import Run, reference_model, step_prompts, trained_groups
from grpo.step import sample_training

TOLERANCE = 1e-5  # between losses, in nats and advantages
NORM_TOLERANCE = 1e-4  # between gradient norms, as a share
NOISE = 0.1  # nats by which the old log-probabilities are moved, so that some ratios are clipped and none is 1


def check_equal_losses(run: Run, trainer: Any) -> str:
    """A line that says how equal they are. Raises Unequal. Leaves both sides with adapters that do nothing yet, equal ones.

    Rollout, advantages and reference log-probabilities are ours; for the check the adapters are drawn at random.
    """
    generator = torch.Generator().manual_seed(0)
    draw_adapters(run.policy, 0.02, generator)
    copy_adapters(run.policy, trainer.model)
    prompts = step_prompts(run, 0)
    rollout = sample_training(run, prompts, group_keys(run.config.seed, 0, [each.index for each in prompts], run.group_size))
    advantages = group_advantages(torch.randn(len(rollout), generator=generator), run.group_size)
    old_logprobs = rollout.logprobs + NOISE * torch.randn(rollout.logprobs.shape, generator=generator)
    with torch.no_grad(), reference_model(run) as model:
        ref_logprobs = completion_logprobs(model, rollout, 1.0)
    loss, norm = our_loss(run, rollout, advantages, old_logprobs, ref_logprobs)
    their_loss, their_norm = trl_loss(trainer, trl_inputs(rollout, advantages, old_logprobs, ref_logprobs))
    found = f"loss {loss:.7f} and TRL's {their_loss:.7f}, gradient norm {norm:.5f} and TRL's {their_norm:.5f}"
    if abs(loss - their_loss) > TOLERANCE or abs(norm / their_norm - 1) > NORM_TOLERANCE:
        raise Unequal(found)
    draw_adapters(run.policy, 0.0, generator)
    copy_adapters(run.policy, trainer.model)
    return found


def our_loss(run: Run, rollout: Rollout, advantages: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor) -> tuple[float, float]:
    """Our loss of a batch, in one pass and without routing, and the norm of its gradient."""
    logprobs = completion_logprobs(run.policy, rollout, 1.0)
    loss = policy_loss(logprobs, old_logprobs, ref_logprobs, advantages, rollout.mask, loss_type="grpo", beta=run.config.beta)
    loss.loss.backward()
    parameters = [parameter for group in trained_groups(run.policy).values() for parameter in group.values()]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    run.optimizer.zero_grad()
    return loss.loss.item(), float(norm)
