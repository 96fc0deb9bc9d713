"""One training step, as prose: prompts, samples, scores, labels, routes, advantages, update."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from envs.types import Prompt
from grpo.advantages import group_advantages
from grpo.checks import check_finite
from grpo.logprobs import completion_logprobs
from grpo.metrics import StepRecord
from grpo.randomness import sample_uniforms
from grpo.rollout import Rollout
from grpo.run import Run, reference_model, step_prompts
from grpo.sampler import sample
from grpo.scoring import completions_of, label, rewards_tensor, score_completions
from grpo.update import Batch, update
from routing.router import route


def train_step(run: Run) -> StepRecord:
    """Advances `run` by one step. Raises BrokenInvariant or ContractViolation rather than train on broken numbers."""
    seconds: dict[str, float] = {}
    config = run.config
    prompts = step_prompts(run, run.step)
    rows = [prompt for prompt in prompts for _ in range(run.group)]

    with phase(seconds, "sampling", run.device):
        rollout = sample_training(run, prompts)
    with phase(seconds, "scoring", run.device):
        completions = completions_of(run, rows, rollout)
        scores, audit = score_completions(run, completions)
        rewards = rewards_tensor(scores, run.device)
        check_finite("rewards", rewards, run.step, rows)
    routes = route(label(scores, run.device), config.routing.mode if config.routing.enabled else "none")
    advantages = group_advantages(rewards, run.group, config.grpo.scale_rewards)
    with phase(seconds, "reference", run.device):
        ref_logprobs = reference_logprobs(run, rollout, rows) if config.beta else None
    with phase(seconds, "update", run.device):
        stats = update(run, Batch(rows, rollout, advantages.advantages.to(rollout.logprobs.dtype), ref_logprobs, routes))
    record = StepRecord(run.step, rows, completions, rollout, scores, audit, advantages, routes, stats, seconds)
    run.step += 1
    return record


def sample_training(run: Run, prompts: list[Prompt]) -> Rollout:
    indices = [prompt.index for prompt in prompts for _ in range(run.group)]
    generations = list(range(run.group)) * len(prompts)
    settings = run.config.sampling
    uniforms = sample_uniforms(
        run.config.seed, "training sample", run.step, indices, generations, settings.max_completion_length
    )
    rollout = sample(run.policy, [prompt.token_ids for prompt in prompts], run.group, uniforms, settings)
    check_finite("sampling logprobs", rollout.logprobs, run.step)
    return rollout


@torch.no_grad()
def reference_logprobs(run: Run, rollout: Rollout, prompts: list[Prompt]) -> Float[Tensor, "n t"]:
    with reference_model(run) as model:
        logprobs, _ = completion_logprobs(
            model, rollout.ids, rollout.prompt_lengths, rollout.completion_ids, rollout.mask, run.config.sampling.temperature
        )
    check_finite("reference logprobs", logprobs, run.step, prompts)
    return logprobs


@contextmanager
def phase(seconds: dict[str, float], name: str, device: torch.device) -> Iterator[None]:
    """Adds the wall-clock seconds spent within, the device's queue emptied."""
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
