"""One training step, as prose: prompts, samples, scores, labels, routes, advantages, update."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from configs.experiment import Experiment
from envs.types import Audit, Completion, Prompt, Scores
from grpo.advantages import GroupAdvantages, routed_advantages
from grpo.checks import check_finite
from grpo.labels import SampleKeys, eligible_samples, label
from grpo.logprobs import completion_logprobs
from grpo.randomness import sample_uniforms
from grpo.rollout import Rollout, concatenate
from grpo.run import Run, reference_model, step_prompts
from grpo.sampler import sample
from grpo.scoring import completions_of, detected_tensor, rewards_tensor, score_completions
from grpo.update import Batch, update
from routing.adapters import scaled
from routing.router import RETAIN_SCALES, Routes, route


@dataclass(frozen=True)
class StepRecord:
    """All that a step knows and says; nothing in it is used again by training."""

    step: int
    prompts: list[Prompt]  # one a completion
    completions: list[Completion]
    rollout: Rollout
    eligible: list[bool]  # for the reward's forget components
    scores: Scores
    audit: Audit
    routes: Routes
    advantages: GroupAdvantages
    update: dict[str, float | None]
    seconds: dict[str, float]  # by phase


def train_step(run: Run) -> StepRecord:
    """Advances `run` by one step. Raises BrokenInvariant or ContractViolation rather than train on broken numbers."""
    seconds: dict[str, float] = {}
    config = run.config
    prompts = step_prompts(run, run.step)
    rows = [prompt for prompt in prompts for _ in range(run.group)]
    keys: SampleKeys = (config.seed, run.step, [prompt.index for prompt in rows], list(range(run.group)) * len(prompts))

    with phase(seconds, "sampling", run.device):
        rollout = sample_training(run, prompts, keys)
    with phase(seconds, "scoring", run.device):
        completions = completions_of(run, rows, rollout)
        eligible = eligible_samples(config.env.eligible_fraction, keys)
        scores, audit = score_completions(run, completions, eligible)
        rewards = rewards_tensor(scores, run.device)
        check_finite("rewards", rewards, run.step, rows)
    labelled = label(detected_tensor(scores, run.device), config.labels, keys)
    routes = route(labelled, routing_mode(config), retain_rollouts(run, len(rows)))
    advantages = advantages_of(penalized(rewards, labelled, config), labelled, config)
    with phase(seconds, "reference", run.device):
        ref_logprobs = reference_logprobs(run, rollout, rows) if config.beta else None
    with phase(seconds, "update", run.device):
        stats = update(run, Batch(rows, rollout, advantages.advantages.to(rollout.logprobs.dtype), ref_logprobs, routes))
    record = StepRecord(run.step, rows, completions, rollout, eligible, scores, audit, routes, advantages, stats, seconds)
    run.step += 1
    return record


def routing_mode(config: Experiment) -> str:
    if config.baseline == "filter":
        return "filter"
    return config.routing.mode if config.routing.enabled else "none"


def retain_rollouts(run: Run, count: int) -> Bool[Tensor, " n"]:
    """The last `retain_rollouts` generations of each group."""
    generation = torch.arange(count, device=run.device) % run.group
    return generation >= run.group - run.config.routing.retain_rollouts


def penalized(rewards: Float[Tensor, " n"], labelled: Bool[Tensor, " n"], config: Experiment) -> Float[Tensor, " n"]:
    """The reward-penalty baseline: max(0, r - reward_penalty) for labelled samples."""
    if config.baseline != "reward_penalty":
        return rewards
    return torch.where(labelled, (rewards - config.reward_penalty).clamp(min=0), rewards)


def advantages_of(rewards: Float[Tensor, " n"], labelled: Bool[Tensor, " n"], config: Experiment) -> GroupAdvantages:
    """By the rule of the run; retain rollouts are compared with one another only. Filtered runs compare good with good."""
    rule = config.routing.advantages if config.routing.enabled else ("retain_only" if config.baseline == "filter" else "group")
    group, alone = config.num_generations, config.routing.retain_rollouts
    shared = torch.arange(len(rewards), device=rewards.device) % group < group - alone
    parts = [
        (rows, routed_advantages(rewards[rows], ~labelled[rows], size, rule, config.grpo.scale_rewards))
        for rows, size in ((shared, group - alone), (~shared, alone))
        if size
    ]
    advantages = torch.empty_like(rewards)
    for rows, part in parts:
        advantages[rows] = part.advantages
    whole = parts[0][1]
    return GroupAdvantages(advantages, whole.std, whole.constant)


def sample_training(run: Run, prompts: list[Prompt], keys: SampleKeys) -> Rollout:
    """With retain rollouts, the last generations of each group are drawn with the forget adapter ablated."""
    seed, step, indices, generations = keys
    settings, alone, group = run.config.sampling, run.config.routing.retain_rollouts, run.group
    uniforms = sample_uniforms(seed, "training sample", step, indices, generations, settings.max_completion_length)
    ids = [prompt.token_ids for prompt in prompts]
    if not alone:
        rollout = sample(run.policy, ids, group, uniforms, settings)
    else:
        with_forget = torch.tensor(generations) < group - alone
        both = sample(run.policy, ids, group - alone, uniforms[with_forget], settings)
        with scaled(run.policy, RETAIN_SCALES):
            retain = sample(run.policy, ids, alone, uniforms[~with_forget], settings)
        order = torch.cat([with_forget.nonzero(), (~with_forget).nonzero()]).flatten().argsort()
        rollout = concatenate([both, retain], run.policy.config.eos_token_id).rows(order.to(run.device))
    check_finite("sampling logprobs", rollout.logprobs, step, [prompt for prompt in prompts for _ in range(group)])
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
