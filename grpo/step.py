"""One training step, as prose: prompts, samples, scores, labels, routes, advantages, update."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from configs.resolved import ResolvedExperiment
from envs.types import Audit, Completion, Prompt, Scores
from grpo.advantages import routed_advantages
from grpo.checks import check_finite
from grpo.labels import eligible_samples, label_samples
from grpo.logprobs import completion_logprobs
from grpo.loss_terms import KL_ESTIMATORS
from grpo.randomness import SampleKeys, group_keys
from grpo.rollout import Rollout, concatenate
from grpo.run import Run, per_completion, reference_model, step_prompts
from grpo.sampler import sample
from grpo.scoring import completions_of, detected_tensor, rewards_tensor, score_completions, trained_rewards
from grpo.update import Batch, Update, update
from routing.adapters import scaled
from routing.modes import RETAIN_SCALES
from routing.router import Routes, route


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
    trained_rewards: Float[Tensor, " n"]  # that the advantages are made of
    advantages: Float[Tensor, " n"]
    kl: float | None  # of the policy that sampled to the reference, nats a token; None without a reference
    update: Update
    seconds: dict[str, float]  # by phase


def train_step(run: Run) -> StepRecord:
    """Advances `run` by one step. Raises BrokenInvariant or ContractViolation rather than train on broken numbers."""
    seconds: dict[str, float] = {}
    config = run.config
    group_prompts = step_prompts(run, run.step)
    prompts = per_completion(run, group_prompts)
    keys = group_keys(config.seed, run.step, [prompt.index for prompt in group_prompts], run.group_size)

    with phase(seconds, "sampling", run.device):
        rollout = sample_training(run, group_prompts, keys)
    with phase(seconds, "scoring", run.device):
        completions = completions_of(run, prompts, rollout)
        eligible = eligible_samples(config.env.eligible_fraction, keys)
        scores, audit = score_completions(run, completions, eligible)
        rewards = rewards_tensor(scores, run.device)
        check_finite("rewards", rewards, run.step, prompts)
    labelled = label_samples(detected_tensor(scores, run.device), config.labels, keys)
    routes = route(labelled, config.treatment.mode, retain_rollouts(config, len(prompts), run.device))
    trained = trained_rewards(run, scores, eligible, labelled)
    advantages = advantages_of(trained, labelled, config)
    with phase(seconds, "reference", run.device):
        ref_logprobs = reference_logprobs(run, rollout, prompts) if config.beta else None
    with phase(seconds, "update", run.device):
        batch = Batch(prompts, rollout, advantages.to(rollout.logprobs.dtype), ref_logprobs, routes)
        updated = update(run, batch)
    kl = None if ref_logprobs is None else mean_kl(rollout, ref_logprobs, config.grpo.kl_estimator)
    record = StepRecord(run.step, prompts, completions, rollout, eligible, scores, audit, routes,
                        trained, advantages, kl, updated, seconds)  # fmt: skip
    run.step += 1
    return record


def retain_rollouts(config: ResolvedExperiment, count: int, device: torch.device) -> Bool[Tensor, " count"]:
    """The last `retain_rollouts` generations of each group, which are sampled and trained with the forget adapter ablated."""
    generation = torch.arange(count, device=device) % config.num_generations
    return generation >= config.num_generations - config.treatment.retain_rollouts


def advantages_of(rewards: Float[Tensor, " n"], labelled: Bool[Tensor, " n"], config: ResolvedExperiment) -> Float[Tensor, " n"]:
    """By the rule; retain rollouts are compared with one another only."""
    ablated, ablated_size = retain_rollouts(config, len(rewards), rewards.device), config.treatment.retain_rollouts

    def advantages_among(rows: Bool[Tensor, " n"], size: int) -> Tensor:
        return routed_advantages(rewards[rows], ~labelled[rows], size, config.advantages, config.grpo.scale_rewards)

    advantages = torch.empty_like(rewards)
    advantages[~ablated] = advantages_among(~ablated, config.num_generations - ablated_size)
    if ablated_size:
        advantages[ablated] = advantages_among(ablated, ablated_size)
    return advantages


def sample_training(run: Run, prompts: list[Prompt], keys: SampleKeys) -> Rollout:
    """A group of each prompt. With retain rollouts, its last generations are drawn with the forget adapter ablated."""
    settings, ablated_size = run.config.sampling, run.config.treatment.retain_rollouts
    ids = [prompt.token_ids for prompt in prompts]
    uniforms = keys.uniforms("training sample", settings.max_completion_length)  # [n, t]
    ablated = retain_rollouts(run.config, len(uniforms), uniforms.device)
    rollout = sample(run.policy, ids, run.group_size - ablated_size, uniforms[~ablated], settings)
    if ablated_size:
        with scaled(run.policy, RETAIN_SCALES):
            retain = sample(run.policy, ids, ablated_size, uniforms[ablated], settings)
        order = ablated.argsort(stable=True).argsort()  # where each sample stands in `rollout` and then `retain`
        rollout = concatenate([rollout, retain], run.policy.config.eos_token_ids[0]).rows(order.to(run.device))
    check_finite("sampling logprobs", rollout.logprobs, keys.step, per_completion(run, prompts))
    return rollout


@torch.no_grad()
def reference_logprobs(run: Run, rollout: Rollout, prompts: list[Prompt]) -> Float[Tensor, "n t"]:
    with reference_model(run) as model:
        logprobs = completion_logprobs(model, rollout, run.config.sampling.temperature)
    check_finite("reference logprobs", logprobs, run.step, prompts)
    return logprobs


def mean_kl(rollout: Rollout, ref_logprobs: Float[Tensor, "n t"], estimator: str) -> float:
    """Nats a token over all sampled tokens, whether they are in the loss or not."""
    estimate = KL_ESTIMATORS[estimator](rollout.logprobs - ref_logprobs)  # [n, t]
    return float(estimate[rollout.mask].mean())


@contextmanager
def phase(seconds: dict[str, float], name: str, device: torch.device) -> Iterator[None]:
    """Adds the wall-clock seconds spent within, the device's queue emptied."""
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
